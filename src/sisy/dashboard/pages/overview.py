"""The overview: alerts, processes, the grid, the timeline, figures and the latest runs."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.charts.legend import legend
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.alert_rows import rows_of
from sisy.dashboard.pages.page import BEAT, OUTPUT, RUNS, Page, Part
from sisy.dashboard.parameters import a_key, moment_within, one_of
from sisy.models import Run, Task, TaskState
from sisy.reports import formatting
from sisy.reports.alerts import Severity, find_alerts
from sisy.reports.alerts.alert import Kind
from sisy.reports.alerts.group import AlertGroup
from sisy.reports.alerts.grouping import grouped
from sisy.reports.alerts.recorded import last_closed_at
from sisy.reports.alerts.recovered import closed_in_words, closed_since
from sisy.reports.alerts.verdict import by_need, first_since, in_words, problems_in
from sisy.reports.figures import Figures, figures
from sisy.reports.fleet import status
from sisy.reports.grid import MAX_ROWS, grid
from sisy.reports.ledger import ended_counts, key_of, listed, live_counts
from sisy.reports.outbox import dead_letters
from sisy.reports.output import progress_of
from sisy.reports.task_rows import TaskRow, row_of, rows_by
from sisy.reports.timeline import timeline
from sisy.reports.timeline.window import Window

Builder = Callable[[PageRequest], dict[str, Any]]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ZOOMS = (1, 3, 6, 12, 24)  # hours to either side
ZOOM = 6
YEARS = range(1971, 9990)  # arithmetic with days and zones may fail outside these years
MAX_GROUPED_TASKS = 200  # tasks that share rows
GROUPS = {"queue": "queue", "target": "target_path"}  # columns, by the filters of tasks
ROWS = (("", _("task")), ("queue", _("queue")), ("target", _("function")))
MAX_LATEST_RUNS = 12
FIGURES: tuple[tuple[Any, Callable[[Figures], str]], ...] = (
    (_("Success rate"), lambda day: formatting.percent(day.success)),
    (_("Duration, median"), lambda day: formatting.span(day.usual)),
    (_("Duration, 95th percentile"), lambda day: formatting.span(day.slow)),
    (_("Delay, 95th percentile"), lambda day: formatting.span(day.late)),
)


class OverviewPage(Page):
    """Shows whether Sisy is running, whether anything failed, and what is happening."""

    name = "overview"
    title = _("Overview")
    sheets = ("sisy/squares.css", "sisy/overview.css")


def build_status(page_request: PageRequest) -> dict[str, Any]:
    """Return the state of processes, which the page shows only if something is wrong with them."""
    found = status(page_request.using, page_request.now)
    is_expected = found.silent or not _is_new(page_request)
    is_well = found.heartbeats and found.workers and not found.silent and not found.clock_is_off
    return {"status": found, "is_shown": not is_well and is_expected}


def build_start(page_request: PageRequest) -> dict[str, Any]:
    """Return the first steps, for a site without tasks and runs."""
    if not _is_new(page_request):
        return {"is_new": False}
    found = status(page_request.using, page_request.now)
    return {
        "is_new": True,
        "is_running": found.heartbeats and found.workers,
        "add_address": page_request.admin_address("sisy_task_add")
        if page_request.may("add_task")
        else "",
    }


def _is_new(page_request: PageRequest) -> bool:
    """Return whether the site has no tasks and no runs."""
    if "is_new" not in page_request.keys:
        rows = (model.objects.using(page_request.using) for model in (Task, Run))
        page_request.keys["is_new"] = not any(row.exists() for row in rows)
    is_new: bool = page_request.keys["is_new"]
    return is_new


def unless_new(build: Builder) -> Builder:
    """Return a builder whose part a new site leaves out, because it would be an empty frame."""

    def built(page_request: PageRequest) -> dict[str, Any]:
        return {"is_new": True} if _is_new(page_request) else build(page_request)

    return built


def build_grid(page_request: PageRequest) -> dict[str, Any]:
    shown = grid(page_request.news, page_request.now, in_full=page_request.sees_details)
    return {"grid": shown, "drawn": [row.latest for row in shown.rows]}


def build_figures(page_request: PageRequest) -> dict[str, Any]:
    days = figures(page_request.using, page_request.now)
    return {
        "is_sampled": any(day.is_sampled for day in days if day),
        "rows": [
            (words, *(text(day) if day else formatting.NOTHING for day in days))
            for words, text in FIGURES
        ],
    }


def build_counts(page_request: PageRequest) -> dict[str, Any]:
    hour, day = ended_counts(page_request.using, page_request.now, HOUR, DAY)
    return {
        "live": live_counts(page_request.using, page_request.now),
        "ended": [(each, in_day) for each, in_day in zip(hour, day, strict=True)],
    }


def build_alerts(page_request: PageRequest) -> dict[str, Any]:
    using, now = page_request.using, page_request.now
    groups = by_need(grouped(find_alerts(using, now, in_full=page_request.sees_details)), now)
    verdict = in_words(groups, now)
    closed = closed_since(using, now - DAY)
    return rows_of(page_request, groups) | {
        "verdict": verdict,
        "index": [group for group in groups if _is_indexed(group, now)],
        "headings": _headings(groups, now),
        "since": first_since(groups),
        "has_several": len(problems_in(groups)) > 1,
        "cleared_at": None if verdict else last_closed_at(using),
        "closed": closed_in_words(closed) if closed else "",
        "dead_letters": dead_letters(using),
        "paused": Task.objects.using(using).filter(state=TaskState.PAUSED).count(),
        "messages_address": _messages_address(page_request),
    }


def _is_indexed(group: AlertGroup, now: datetime) -> bool:
    """Return whether the index of the list names a group: those that people must know of."""
    is_paused = group.lead.kind == Kind.QUEUE_PAUSED
    return is_paused or (group.severity != Severity.INFO and not group.is_handled(now))


def _headings(groups: Sequence[AlertGroup], now: datetime) -> dict[str, Any]:
    """Return the headings of the list, by the key of the group that follows each.

    The list needs none before its first group: the verdict is above that.
    """
    known = [group for group in problems_in(groups) if group.is_handled(now)]
    informing = [group for group in groups if group.severity == Severity.INFO]
    again = [group for group in informing if group.will_recur]
    paused = [group for group in informing if group.lead.kind == Kind.QUEUE_PAUSED]
    calm = [group for group in informing if not group.will_recur and group not in paused]
    headings = [
        (known, _("Acknowledged or muted")),
        (paused, _("Paused")),
        (again, _("Recovered, but likely to recur")),
        (calm, _("No action needed")),
    ]
    return {some[0].key: words for some, words in headings if some and some[0] is not groups[0]}


def _messages_address(page_request: PageRequest) -> str:
    """Return the address of the list of messages; empty if the reader may not see it."""
    may_look = page_request.may("view_outboxmessage")
    return page_request.admin_address("sisy_outboxmessage_changelist") if may_look else ""


def build_timeline(page_request: PageRequest) -> dict[str, Any]:
    hours = _zoom(page_request.asked.get("hours", ""))
    middle = _moment(page_request.asked.get("at", ""))
    after = key_of(page_request.asked.get("after", ""))
    grouped = (
        page_request.asked.get("by", "") if page_request.asked.get("by", "") in GROUPS else ""
    )
    window = Window.around(middle or page_request.now, timedelta(hours=2 * hours))
    has_news = after is None and not grouped
    rows, following = (
        _with_news(page_request) if has_news else _all_tasks(page_request, after, grouped)
    )
    tracks = timeline(
        page_request.using,
        rows,
        window,
        page_request.now,
        newest=page_request.news.runs if has_news and middle is None else None,
        in_full=page_request.sees_details,
    )
    here = {"hours": hours, "by": grouped, "at": middle.isoformat() if middle else ""}
    half = window.span / 4

    def link(**changes: Any) -> str:
        asked = {**here, "after": "" if after is None else after, **changes}
        given = {name: value for name, value in asked.items() if value != ""}
        return f"?{urlencode(given)}#timeline"

    def moved(moment: datetime) -> str:
        return link(at=moment.replace(microsecond=0).isoformat())

    return {
        "tracks": tracks,
        "legend": legend(tracks, is_now_shown=window.holds(page_request.now)),
        "ticks": window.ticks(timezone.get_current_timezone()),
        "now_at": window.place(page_request.now) if window.holds(page_request.now) else None,
        "zone": timezone.get_current_timezone_name(),
        "is_now": middle is None,
        "earlier": moved((middle or page_request.now) - half),
        "now": link(at=""),
        "later": moved((middle or page_request.now) + half),
        "zooms": [(link(hours=zoom), zoom, zoom == hours) for zoom in ZOOMS],
        "groups": [(link(by=by, after=""), words, by == grouped) for by, words in ROWS],
        "first": "" if after is None else link(after=""),
        "next": "" if following is None else link(after=following),
    }


def _with_news(page_request: PageRequest) -> tuple[list[TaskRow], int | None]:
    """Return the rows of the first page, those of the grid, and the ``after`` of the next one.

    The pages after it have all tasks. It is None if there are none.
    """
    return page_request.news.rows, None if page_request.news.is_all else 0


def _all_tasks(
    page_request: PageRequest, after: int | None, by: str
) -> tuple[list[TaskRow], int | None]:
    """Return the rows of another page, and the ``after`` of the next one; None on the last."""
    using, most = page_request.using, MAX_GROUPED_TASKS if by else MAX_ROWS
    # In the order of keys: in the order of due moments, rows would jump between pages.
    active = Task.objects.using(using).active().filter(pk__gt=after or 0).order_by("pk")
    found = list(active[: most + 1])
    last = found[most - 1].pk if len(found) > most else None
    tasks = sorted(found[:most], key=lambda task: (task.label.lower(), task.pk))
    return rows_by(tasks, GROUPS[by], by) if by else [row_of(task) for task in tasks], last


def build_latest(page_request: PageRequest) -> dict[str, Any]:
    runs = list(listed(page_request.using).order_by("-pk")[:MAX_LATEST_RUNS])
    return {"runs": runs, "progress": progress_of(page_request.using, runs)}


def _zoom(text: str) -> int:
    return int(text) if text in map(str, ZOOMS) else ZOOM


def _moment(text: str) -> datetime | None:
    """Return the moment in a link; None means now."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        return None
    return moment if moment.tzinfo and moment.year in YEARS else None


OverviewPage.asks = {
    "hours": one_of([str(zoom) for zoom in ZOOMS]),
    "at": moment_within(_moment),
    "by": one_of(list(GROUPS)),
    "after": a_key,
}
OverviewPage.parts = (
    Part(name="alerts", build=build_alerts),
    Part(name="start", build=build_start),
    Part(name="status", build=build_status, stale_on=(BEAT,)),
    Part(name="grid", build=unless_new(build_grid), stale_on=(RUNS,)),
    Part(name="timeline", build=unless_new(build_timeline)),
    Part(name="figures", build=unless_new(build_figures), stale_on=()),
    Part(name="counts", build=unless_new(build_counts)),
    Part(name="latest", build=unless_new(build_latest), stale_on=(RUNS, OUTPUT)),
)
