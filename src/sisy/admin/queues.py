"""Queues in the admin: what waits in each, who serves it, and whether it is paused."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import router
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy import display
from sisy.admin.actions import may
from sisy.admin.cleaning import CleanedRequests
from sisy.admin.lookups import OfferedLookups
from sisy.dashboard.actions import queues as actions
from sisy.models import Queue, RunState
from sisy.queries.queues import Seen, queues

NAMED = 3  # workers of a queue that are named


@admin.register(Queue)
class QueueAdmin(OfferedLookups, CleanedRequests):
    """All queues that anything names. Rows are written by pausing alone."""

    fields = readonly_fields = ("name", "paused", "paused_by", "pause_reason")

    class Media:
        css = {"all": ("sisy/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Queue | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Queue | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.action_view)
        return [path("do/<str:verb>/", view, name="sisy_queue_action"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """List the queues, with a button for each that the user may pause or resume."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        known = queues(router.db_for_write(Queue), display.now())
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Queues"),
            "opts": self.opts,
            "media": self.media,
            "rows": [_row(queue) for queue in known],
            "may_pause": may(request, "sisy.pause_task"),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/sisy/queue/change_list.html", context)

    def action_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Pause or resume the queue that is named, and list them again."""
        may_do = self.has_view_permission(request) and may(request, "sisy.pause_task")
        if request.method != "POST" or not may_do or verb not in ("pause", "resume"):
            raise PermissionDenied
        act = {"pause": actions.pause, "resume": actions.resume}[verb]
        for said in act(request.user, request.POST.get("name", "")):
            self.message_user(request, said.words, said.level)
        return HttpResponseRedirect(reverse("admin:sisy_queue_changelist"))

    @admin.display(description=_("paused"))
    def paused(self, queue: Queue) -> str:
        return display.moment(queue.paused_at, display.now())


def _row(queue: Seen) -> dict[str, Any]:
    """Return a queue as it is shown."""
    now = display.now()
    return {
        "name": queue.name,
        "is_paused": queue.paused_at is not None,
        "state": _state(queue),
        "since": display.moment(queue.paused_at, now) if queue.paused_at else "",
        "reason": " ".join(filter(None, (_by(queue), queue.pause_reason))),
        "waiting": _runs_link(queue, RunState.WAITING, queue.waiting),
        "oldest": display.moment(queue.oldest, now),
        "running": _runs_link(queue, RunState.RUNNING, queue.running),
        "workers": queue.workers[:NAMED],
        "more": len(queue.workers[NAMED:]),
    }


def _by(queue: Seen) -> str:
    return gettext("by %s") % queue.paused_by if queue.paused_by else ""


def _state(queue: Seen) -> str:
    if queue.paused_at is not None:
        return display.state("paused", gettext("paused"))
    if not queue.workers:
        return format_html('<span class="sisy-state bad">{}</span>', gettext("no worker"))
    return format_html('<span class="sisy-state good">{}</span>', gettext("open"))


def _runs_link(queue: Seen, state: str, count: int) -> str:
    ledger = reverse("admin:sisy_run_changelist")
    query = urlencode({"queue": queue.name, "state__exact": state})
    return format_html('<a href="{}?{}">{}</a>', ledger, query, f"{count:,}") if count else "0"
