"""A request for a page, with its user, its dashboard and its time."""

from collections.abc import Iterable
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any

from django.contrib import messages
from django.db import router
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme

from sisy import clock
from sisy.dashboard.access import Dashboard
from sisy.dashboard.actions.result import Result
from sisy.dashboard.preferences import Preferences
from sisy.models import Task
from sisy.reports import disclosure
from sisy.reports.grid import News, read_news

PARTS = "parts"
"""The URL parameter that names the parts to fetch."""


class PageRequest:
    """One request for a page or for some of its parts.

    Args:
        dashboard: the dashboard to which the page belongs.
        request: the request of Django.
        keys: the captured parts of the URL, such as ``pk``.
    """

    def __init__(self, dashboard: Dashboard, request: HttpRequest, keys: dict[str, Any]) -> None:
        self.dashboard = dashboard
        self.request = request
        self.keys = keys
        self.using = router.db_for_write(Task)

    @cached_property
    def now(self) -> datetime:
        """The current time by the database's clock, the same for all parts of the page."""
        return clock.now(self.using)

    @property
    def asked(self) -> dict[str, str]:
        """The parameters of the query; a page reads only those that its ``asks`` names."""
        return self.request.GET.dict()

    def may(self, permission: str) -> bool:
        """Return whether the user has a permission of Sisy, named without ``sisy.``."""
        return self.dashboard.may(self.request.user, f"sisy.{permission}")

    @cached_property
    def news(self) -> News:
        """The tasks that the overview shows first, and their newest runs."""
        return read_news(self.using, self.now)

    @cached_property
    def sees_details(self) -> bool:
        """Return whether the user may read user data, return values and the texts of errors."""
        return self.may(disclosure.PERMISSION)

    def address(self, name: str, *args: Any) -> str:
        """Return the address of another page."""
        return self.dashboard.address(name, *args)

    @property
    def here(self) -> str:
        """The address of the page with its parameters, even if a script fetches parts of it."""
        query = self.request.GET.copy()
        query.pop(PARTS, None)
        return f"{self.request.path}?{query.urlencode()}" if query else self.request.path

    def next_address(self, default: str) -> str:
        """Return the page to which a form leads back: the one that it names, or ``default``."""
        wanted = self.request.POST.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(
            wanted, {self.request.get_host()}, require_https=self.request.is_secure()
        )
        return wanted if is_ours else self.address(default)

    def show(self, results: Iterable[Result]) -> bool:
        """Show what an action did on the next page, and return whether all of it succeeded."""
        is_good = True
        for said in results:
            words, link = said.words, said.link
            if link is not None:
                address = self.address(link.page, *link.keys)
                address += f"?{link.query}" if link.query else ""
                address += f"#{link.anchor}" if link.anchor else ""
                words = format_html('{} <a href="{}">{}</a>', words, address, link.words)
            messages.add_message(self.request, said.level, words, fail_silently=True)
            is_good = is_good and said.level != messages.ERROR
        return is_good

    @cached_property
    def preferences(self) -> Preferences:
        """The reader's choices for all pages."""
        return Preferences.of(self.request)

    @property
    def zone(self) -> tzinfo:
        """The time zone in which moments without one are read, on pages about no single task."""
        return self.preferences.timezone() or timezone.get_current_timezone()

    def admin_address(self, name: str, *args: Any) -> str:
        """Return the address of a page of the admin; empty if it does not exist."""
        try:
            return reverse(f"admin:{name}", args=args, current_app=self.dashboard.admin_name)
        except NoReverseMatch:
            return ""
