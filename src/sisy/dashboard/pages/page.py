"""A page made of parts; each part can be fetched again by itself."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from channels.layers import get_channel_layer
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import get_script_prefix
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _
from django.views import View

from sisy import conf
from sisy.dashboard.asking import Check, refusals
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.site import Dashboard

PARTS = "parts"
"""The name under which a query asks for parts."""

RUNS, BEAT = "runs", "beat"
"""What makes a part stale: that runs changed, or that the heartbeat beat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a page, with a template of its own.

    Args:
        name: of the part and its template.
        build: returns what the template needs.
        stale_on: the kinds of events after which it no longer shows what is.
    """

    name: str
    build: Callable[[PageRequest], dict[str, Any]]
    stale_on: tuple[str, ...] = (RUNS, BEAT)


class Page(View):
    """Shows the parts within the page's template, or answers with those that a script asks for."""

    dashboard: Dashboard = Dashboard()
    """Where it hangs; given by whoever mounts it."""

    http_method_names = ["get", "head", "options"]

    name: ClassVar[str]
    title: ClassVar[Any]
    tab: ClassVar[str] = ""
    """The page whose tab is marked, if it is another one."""
    parts: ClassVar[tuple[Part, ...]] = ()
    asks: ClassVar[Mapping[str, Check]] = {}
    """What its address may ask for, each with the check of its value."""

    def get(self, request: HttpRequest, **keys: Any) -> HttpResponse:
        page_request = PageRequest(self.dashboard, request, keys)
        self.prepare(page_request)
        if PARTS in request.GET:
            return self._some(
                page_request, {name for name in request.GET[PARTS].split(",") if name}
            )
        return self.whole(page_request)

    def whole(self, page_request: PageRequest) -> HttpResponse:
        """Return all of the page."""
        request = page_request.request
        context = {
            **self.dashboard.context(request),
            "base_template": self.dashboard.base_template,
            "page_request": page_request,
            "page": self.name,
            "title": self.title_of(page_request),
            "tabs": self._tabs(page_request),
            "live": live_address(),
            "refusals": refusals(page_request.asked, self.asks),
            "parts": {part.name: self._rendered(part, page_request) for part in self.parts},
            **self.context(page_request),
        }
        return TemplateResponse(request, f"sisy/dashboard/{self.name}/page.html", context)

    def prepare(self, page_request: PageRequest) -> None:
        """Find what the address names, before any part is built; may raise ``Http404``."""

    def title_of(self, page_request: PageRequest) -> str:
        """Return what stands above the page."""
        return str(self.title)

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        """Return what the page's template needs beside its parts."""
        return {}

    def _some(self, page_request: PageRequest, names: set[str]) -> HttpResponse:
        """Return the parts that are named; whoever has them already is told so in few bytes."""
        wanted = [part for part in self.parts if part.name in names]
        if names and not wanted:
            raise Http404("This page has no such part.")
        body = "".join(self._rendered(part, page_request) for part in wanted)
        response = HttpResponse(body)
        response["ETag"] = f'"{hashlib.blake2b(body.encode(), digest_size=16).hexdigest()}"'
        response["Cache-Control"] = "private, no-cache"
        if page_request.request.headers.get("If-None-Match") == response["ETag"]:
            response.status_code, response.content = 304, b""
        return response

    def _rendered(self, part: Part, page_request: PageRequest) -> SafeString:
        context = {"page_request": page_request, "page": self.name, **part.build(page_request)}
        template = f"sisy/dashboard/{self.name}/{part.name}.html"
        return format_html(
            '<div class="sisy-part" id="{}" data-sisy-part="{}" data-sisy-on="{}">{}</div>',
            f"sisy-{part.name}",
            part.name,
            " ".join(part.stale_on),
            mark_safe(render_to_string(template, context, page_request.request)),
        )

    def _tabs(self, page_request: PageRequest) -> list[tuple[str, Any, bool]]:
        here = self.tab or self.name
        return [(page_request.address(name), words, name == here) for name, words in TABS.items()]


TABS = {
    "overview": _("Overview"),
    "tasks": _("Tasks"),
    "runs": _("Runs"),
    "load": _("Load"),
    "fleet": _("Workers"),
    "editor": _("Schedule"),
}
"""The pages to which each page leads, with what they are called."""


def live_address() -> str:
    """Return where the socket listens; empty where there is no channel layer to hear from."""
    if get_channel_layer() is None:
        return ""
    return get_script_prefix() + conf.get_settings().live_path
