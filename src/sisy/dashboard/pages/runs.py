"""The page of all runs, newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import BEAT, OUTPUT, RUNS, Page, Part
from sisy.dashboard.parameters import a_key, of_filter, refusals
from sisy.models import Origin, Run, RunState, Task
from sisy.records.choices import FAILED_STATES, LIVE_STATES
from sisy.reports.ledger import PAGE_LIMIT, key_of
from sisy.reports.output import progress_of
from sisy.reports.queue_names import queues_of
from sisy.reports.queue_pauses import Pause, pauses_of
from sisy.reports.run_filter import (
    UNSUCCESSFUL,
    RunFilter,
    moment_in_text,
    page_of_runs,
)
from sisy.reports.run_search import RunSearch, count_older
from sisy.reports.walk import Walked

QUICK = (
    ("", _("all")),
    (UNSUCCESSFUL, _("unsuccessful")),
    (RunState.RUNNING.value, _("running")),
    (RunState.QUEUED.value, _("queued")),
    (RunState.MISSED.value, _("missed")),
)
"""The states with a link of their own: what people on call look for."""
MAX_COUNTED = 1000  # matching runs; the page says "at least" instead
MAX_QUEUES_OFFERED = 200
MAX_TASKS_OFFERED = 5  # tasks with the label of a search
RANGES = (
    ("1h", _("last hour")),
    ("12h", _("last 12 hours")),
    ("24h", _("last 24 hours")),
    ("7d", _("last 7 days")),
    ("30d", _("last 30 days")),
)


def a_moment(text: str, asked: Mapping[str, str]) -> str:
    """Check the beginning or the end of a range."""
    if moment_in_text(text, timezone.get_current_timezone(), timezone.now()) is not None:
        return ""
    return gettext(
        "Use a duration before now, such as 30m, 2h or 7d, or a time such as 2030-12-31T23:59."
    )


class RunsPage(Page):
    """Lists runs, with filters, an order, actions on all that match, and an export."""

    name = "runs"
    title = _("Runs")
    asks = {
        **of_filter(RunFilter),
        "task": a_key,
        "since": a_moment,
        "start": a_moment,
        "until": a_moment,
        "before": a_key,
        "looked": a_key,
    }

    def refusals_of(self, page_request: PageRequest) -> list[str]:
        return problems_of(page_request)

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        filters = RunFilter.of(page_request.asked)
        # Links name a moment as `since`, too.
        start = filters.start or ("" if filters.since in dict(RANGES) else filters.since)
        return {
            "filters": filters,
            "task": _task_of(page_request.using, filters),
            "without_task": replace(filters, task="").query(),
            "query": filters.query(),
            "states": [
                *RunState.choices,
                (UNSUCCESSFUL, _("unsuccessful: failed, timed out, lost")),
            ],
            "origins": Origin.choices,
            "queues": queues_of(Task.objects.using(page_request.using))[:MAX_QUEUES_OFFERED],
            "quick": [
                (f"?{replace(filters, state=state).query()}", words, state == filters.state)
                for state, words in QUICK
            ],
            "ranges": RANGES,
            "start": _for_field(start, page_request),
            "until": _for_field(filters.until, page_request),
            "sorts": [
                ("", _("newest first")),
                ("duration", _("longest duration first")),
                ("delay", _("longest delay first")),
            ],
            "may_search_text": page_request.sees_details,
        }


def _for_field(text: str, page_request: PageRequest) -> str:
    """Return a moment as the browser's field for a date and a time reads it."""
    moment = moment_in_text(text, page_request.zone, page_request.now) if text else None
    if moment is None:
        return text
    # A field of browsers accepts no microseconds. It would be empty, and the filter would be lost.
    local = moment.astimezone(page_request.zone).replace(tzinfo=None)
    return local.isoformat(timespec="seconds")


def _task_of(using: str, filters: RunFilter) -> Task | None:
    """Return the task whose runs are listed, if there is one and it still exists."""
    return Task.objects.using(using).filter(pk=key_of(filters.task) or 0).first()


def problems_of(page_request: PageRequest) -> list[str]:
    """Return the errors about the filters in the address.

    The search ignores such filters, so it finds more runs than were wanted.
    """
    found = refusals(page_request.asked, RunsPage.asks)
    filters = RunFilter.of(page_request.asked)
    since, until = filters.range_in(page_request.zone, page_request.now)
    if since and until and since > until:
        found.append(gettext("The range is empty: it begins after its end."))
    if filters.text and not page_request.sees_details:
        needed = gettext("You need the permission sisy.view_run_details to search in errors.")
        found.append(needed)
    return found


def search_of(page_request: PageRequest) -> RunSearch:
    """Return the search that the filters in the address mean."""
    return RunFilter.of(page_request.asked).search_in(
        page_request.using,
        page_request.now,
        page_request.zone,
        in_full=page_request.sees_details,
    )


def build_list(page_request: PageRequest) -> dict[str, Any]:
    filters = RunFilter.of(page_request.asked)
    before = key_of(page_request.asked.get("before", ""))
    looked = key_of(page_request.asked.get("looked", "")) or 0
    using = page_request.using
    search = search_of(page_request)
    found = page_of_runs(using, search, filters, before, looked)
    older = found.next_before
    shown = found.runs[:PAGE_LIMIT]
    return {
        "runs": shown,
        "pauses": _pauses(using, filters, shown),
        "found": found,
        "is_sorted": filters.is_sorted,
        "number": _number(using, search, filters, before, found),
        "of_tasks": _of_tasks(using, filters) if found.is_cut_short else [],
        "progress": progress_of(using, shown),
        "is_filtered": not filters.is_anything,
        "query": filters.query(),
        "may_retry": page_request.may("run_task") and _may_have_failed(filters),
        "may_cancel": page_request.may("cancel_run") and _may_be_live(filters),
        "newest": f"?{filters.query()}" if before is not None else "",
        "older": f"?{filters.query(before=str(older))}" if older is not None else "",
    }


def _number(
    using: str, search: RunSearch, filters: RunFilter, before: int | None, found: Walked
) -> str:
    """Return how many runs match, in words; empty where the page itself says what it has found."""
    if before is not None or filters.is_anything or filters.is_sorted or found.is_cut_short:
        return ""
    number, is_all = len(found.runs), True
    if found.next_before is not None:
        most = MAX_COUNTED - number
        older, is_all = count_older(using, search, found.next_before, most=most)
        number += older
    words = ngettext("%s run", "%s runs", number) % f"{number:,}"
    return words if is_all else gettext("At least %s") % words


def _pauses(using: str, filters: RunFilter, shown: Sequence[Run]) -> list[Pause]:
    """Return the pauses that keep the listed runs queued."""
    if filters.state != RunState.QUEUED:
        return []
    queues: set[str] | None = {run.queue for run in shown}
    if filters.queue:
        queues = {filters.queue}
    elif replace(filters, state="").is_anything:
        queues = None  # other pages may list runs of further queues
    return pauses_of(using, queues, timezone.get_current_timezone())


def _may_have_failed(filters: RunFilter) -> bool:
    return filters.state in ("", UNSUCCESSFUL, *FAILED_STATES)


def _may_be_live(filters: RunFilter) -> bool:
    return not filters.state or filters.state in LIVE_STATES


def _of_tasks(using: str, filters: RunFilter) -> list[tuple[str, str]]:
    """Return the tasks with the label that is searched, and the addresses of all of their runs.

    The history of a task has an index. A run keeps its label, even if its task gets another one,
    so a search for labels reads all runs.
    """
    if not filters.search or filters.task:
        return []
    tasks = Task.objects.using(using).filter(label__icontains=filters.search).order_by("label")
    return [
        (label, f"?{replace(filters, task=str(pk), search='').query()}")
        for pk, label in tasks.values_list("pk", "label")[:MAX_TASKS_OFFERED]
    ]


RunsPage.parts = (Part(name="list", build=build_list, stale_on=(RUNS, OUTPUT, BEAT)),)
