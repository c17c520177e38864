"""What is shown of a run, in the list and on its page."""

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy import disclosure, display, masking
from sisy.admin.actions import details_of
from sisy.admin.attempts import attempts, retries
from sisy.admin.links import run_link
from sisy.models import Run


class RunColumns:
    """One method for each thing that is shown."""

    @admin.display(description=_("state"), ordering="state")
    def state_now(self, run: Run) -> SafeString:
        return display.state_of_run(run, in_full=details_of(run))

    @admin.display(description=_("due"), ordering="due_at")
    def due(self, run: Run) -> str:
        """Return the due moment; of a gap, its first and last ones and how many they are."""
        first = display.moment(run.due_at, display.now())
        if run.due_until is None:
            return first
        last = display.moment(run.due_until, display.now())
        return format_html("{}<br>… {}<br>{}", first, last, gettext("%d in all") % run.count)

    @admin.display(description=_("due"), ordering="due_at")
    def occurrence(self, run: Run) -> str:
        """Return when it was due; of a retry or a backfill, when what it makes good was due."""
        if run.stands_for is None:
            return self.due(run)
        moment = display.moment(run.stands_for, display.now())
        return format_html("<small>{}</small> {}", gettext("for"), moment)

    @admin.display(description=_("stands for"))
    def made_good(self, run: Run) -> str:
        return display.instant(run.stands_for)

    @admin.display(description=_("planned"), ordering="planned_at")
    def planned(self, run: Run) -> str:
        return display.instant(run.planned_at)

    @admin.display(description=_("ready"))
    def ready(self, run: Run) -> str:
        return display.instant(run.ready_at)

    @admin.display(description=_("handed over"))
    def handed(self, run: Run) -> str:
        return display.instant(run.dispatched_at)

    @admin.display(description=_("started"))
    def started(self, run: Run) -> str:
        return display.instant(run.started_at)

    @admin.display(description=_("finished"))
    def finished(self, run: Run) -> str:
        return display.instant(run.finished_at)

    @admin.display(description=_("late"))
    def late(self, run: Run) -> str:
        return display.span(run.lateness)

    @admin.display(description=_("took"))
    def took(self, run: Run) -> str:
        return display.span(run.duration)

    @admin.display(description=_("reason"))
    def short_reason(self, run: Run) -> str:
        return Truncator(self.full_reason(run)).chars(80)

    @admin.display(description=_("reason"), empty_value=display.NOTHING)
    def full_reason(self, run: Run) -> str:
        return disclosure.reason_of(run, in_full=details_of(run))

    @admin.display(description=_("cancel asked"))
    def cancel_asked(self, run: Run) -> str:
        by_force = gettext("by force") if run.cancel_by_force else ""
        asked = (display.instant(run.cancel_asked_at), by_force, run.cancel_reason)
        return " · ".join(filter(None, asked))

    @admin.display(description=_("task"))
    def task_link(self, run: Run) -> str:
        if run.task_id is None:
            return gettext("%s (deleted)") % run.label
        address = reverse("admin:sisy_task_change", args=[run.task_id])
        return format_html('<a href="{}">{}</a>', address, run.label)

    @admin.display(description=_("blocked by"))
    def blocker(self, run: Run) -> str:
        return _link(run.blocked_by_id)

    @admin.display(description=_("retry of"))
    def original(self, run: Run) -> str:
        return _link(run.retry_of_id)

    @admin.display(description=_("retried by"))
    def retries(self, run: Run) -> SafeString:
        return retries(run)

    @admin.display(description=_("earlier attempts"))
    def attempts(self, run: Run) -> SafeString:
        return attempts(run)

    @admin.display(description=_("user data"))
    def user_data(self, run: Run) -> SafeString:
        return _as_json(run.payload)

    @admin.display(description=_("return value"))
    def returned(self, run: Run) -> SafeString:
        return _as_json(run.result)

    @admin.display(description=_("error"))
    def traceback(self, run: Run) -> str:
        return format_html("<pre>{}</pre>", run.error) if run.error else display.NOTHING


def _link(pk: int | None) -> str:
    return display.NOTHING if pk is None else run_link(pk, str(pk))


def _as_json(value: Any) -> SafeString:
    return format_html("<pre>{}</pre>", masking.as_json(value))
