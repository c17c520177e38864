"""Pages that consist of parts, each of which can be fetched alone."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, ClassVar

from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import get_script_prefix
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _
from django.views import View

from sisy import conf
from sisy.dashboard.access import Dashboard
from sisy.dashboard.page_request import PARTS, PageRequest
from sisy.dashboard.parameters import Check, refusals
from sisy.dashboard.preferences import THEMES, ZONES
from sisy.messaging import carriers, channel_layer, messages
from sisy.runtime import live_socket

RUNS, OUTPUT, BEAT = messages.RUNS, messages.OUTPUT, "beat"
"""The events that make a part stale: runs changed, they printed or reported something, or a
heartbeat made a pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a page, with a template of its own.

    Args:
        name: the name of the part and of its template.
        build: a function that returns the context of the template.
        stale_on: the events after which the page fetches the part again.
    """

    name: str
    build: Callable[[PageRequest], dict[str, Any]]
    stale_on: tuple[str, ...] = (RUNS, BEAT)


class Missing(Http404):
    """A page is about something that does not exist.

    Args:
        words: what does not exist.
        links: the addresses and titles of the pages where people may look instead.
    """

    def __init__(self, words: str, links: Sequence[tuple[str, Any]]) -> None:
        super().__init__(words)
        self.links = links


class Page(View):
    """Shows all parts in the page's template, or returns the parts that a script requests."""

    dashboard: Dashboard = Dashboard()
    """The dashboard to which it belongs; set when it is mounted."""

    http_method_names = ["get", "head", "options"]

    name: ClassVar[str]
    title: ClassVar[Any]
    tab: ClassVar[str] = ""
    """The page whose tab is highlighted; by default its own."""
    parts: ClassVar[tuple[Part, ...]] = ()
    sheets: ClassVar[tuple[str, ...]] = ()
    """The style sheets that it needs besides those of all pages."""
    asks: ClassVar[Mapping[str, Check]] = {}
    """The URL parameters that it reads, each with the check of its value."""

    def get(self, request: HttpRequest, **keys: Any) -> HttpResponse:
        page_request = PageRequest(self.dashboard, request, keys)
        try:
            self.prepare(page_request)
        except Missing as missing:
            return NotFoundPage.of(self, page_request, missing)
        zone = self.chosen_zone(page_request)
        # The page is rendered here, while its zone is active.
        with timezone.override(zone) if zone else nullcontext():
            if PARTS in request.GET:
                return self._some(
                    page_request, {name for name in request.GET[PARTS].split(",") if name}
                )
            return self.whole(page_request).render()

    def whole(self, page_request: PageRequest) -> TemplateResponse:
        """Return the whole page."""
        request = page_request.request
        context = {
            **self.dashboard.context(request),
            "base_template": self.dashboard.base_template,
            "page_request": page_request,
            "page": self.name,
            "sheets": self.sheets,
            "title": self.title_of(page_request),
            "tabs": self._tabs(page_request),
            "trail": self.trail(page_request),
            "zone_name": timezone.get_current_timezone_name(),
            "zone_choices": self._zones(page_request),
            "theme_choices": self._themes(page_request),
            "theme": page_request.preferences.theme,
            "full_path": request.get_full_path(),
            "live": live_address(),
            "refusals": self.refusals_of(page_request),
            "parts": {part.name: self._rendered(part, page_request) for part in self.parts},
            **self.context(page_request),
        }
        return TemplateResponse(request, f"sisy/dashboard/{self.name}/page.html", context)

    def prepare(self, page_request: PageRequest) -> None:
        """Look up the object in the URL before any part is built.

        Raises:
            Missing: it does not exist.
        """

    def title_of(self, page_request: PageRequest) -> str:
        """Return the heading of the page."""
        return str(self.title)

    def refusals_of(self, page_request: PageRequest) -> list[str]:
        """Return the errors about the URL parameters."""
        return refusals(page_request.asked, self.asks)

    def trail(self, page_request: PageRequest) -> list[tuple[str, Any]]:
        """Return the address and the title of each page above this one, the outermost first."""
        return []

    def zone_of(self, page_request: PageRequest) -> str:
        """Return the time zone of the task that the page is about; empty if it is about none."""
        return ""

    def chosen_zone(self, page_request: PageRequest) -> tzinfo | None:
        """Return the time zone that the reader chose; None for the one of the site."""
        return page_request.preferences.timezone(self.zone_of(page_request))

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        """Return the context of the page's template, without its parts."""
        return {}

    def _some(self, page_request: PageRequest, names: set[str]) -> HttpResponse:
        """Return the named parts, or 304 if the page has them already."""
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

    def _tabs(self, page_request: PageRequest) -> list[tuple[str, Any, bool, str]]:
        here = self.tab or self.name
        return [
            (page_request.address(name), words, name == here, key)
            for name, (words, key) in TABS.items()
        ]

    def _zones(self, page_request: PageRequest) -> list[tuple[str, Any, bool]]:
        chosen = page_request.preferences.zone
        known = [name for name in ZONES if name != "task" or self.zone_of(page_request)]
        return [(name, ZONES[name], name == chosen) for name in known]

    def _themes(self, page_request: PageRequest) -> list[tuple[str, Any, bool]]:
        """Return the themes to choose from; none if another base template decides."""
        if self.dashboard.base_template != Dashboard.base_template:
            return []
        chosen = page_request.preferences.theme
        return [(name, words, name == chosen) for name, words in THEMES.items()]


class NotFoundPage(Page):
    """Says that something does not exist, and leads to where people may look instead."""

    name = "not_found"
    title = _("Not found")

    @classmethod
    def of(cls, page: Page, page_request: PageRequest, missing: Missing) -> HttpResponse:
        """Return the answer of a page whose object does not exist.

        Raises:
            Missing: a script requested parts of it.
        """
        if PARTS in page_request.request.GET:
            raise missing
        page_request.keys["missing"] = missing
        instead = cls(dashboard=page.dashboard)
        instead.tab = page.tab or page.name  # type: ignore[misc]  # of this page only
        response = instead.whole(page_request).render()
        response.status_code = 404
        return response

    def refusals_of(self, page_request: PageRequest) -> list[str]:
        """Return nothing: the parameters in the address do not matter."""
        return []

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        missing: Missing = page_request.keys["missing"]
        return {"words": str(missing), "links": missing.links}


TABS = {
    "overview": (_("Overview"), "o"),
    "tasks": (_("Tasks"), "t"),
    "runs": (_("Runs"), "r"),
    "load": (_("Upcoming"), "u"),
    "fleet": (_("Workers"), "w"),
    "editor": (_("Editor"), "e"),
}
"""The tabs of each page: their names, and the keys that open them after "g"."""


def live_address() -> str:
    """Return the path of the WebSocket; empty if there is none, or it would get no messages."""
    # With a layer, the socket may be in another process. Without one, most projects have none.
    is_live = channel_layer.has_layer() or (live_socket.is_served() and carriers.is_available())
    if not is_live:
        return ""
    return get_script_prefix() + conf.get_settings().live_path
