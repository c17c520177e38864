"""The formats of moments, durations and schedules, and the colours of states."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from django.db import router
from django.utils import dates, timezone
from django.utils.html import format_html
from django.utils.translation import get_language, gettext, ngettext
from django.utils.translation import override as use_language

from sisy import clock
from sisy.exceptions import ScheduleError
from sisy.models import RunState, Task, TaskState
from sisy.reports.schedule_text import in_words
from sisy.runtime.durations import duration_text, largest_unit
from sisy.schedules import Schedule, zones

NOTHING = "-"
SECOND = timedelta(seconds=1)

LOOKS: dict[str, str] = {
    TaskState.ACTIVE: "good",
    TaskState.PAUSED: "quiet",
    TaskState.BROKEN: "bad",
    TaskState.RETIRED: "quiet",
    RunState.QUEUED: "open",
    RunState.RUNNING: "open",
    RunState.SUCCEEDED: "good",
    RunState.FAILED: "bad",
    RunState.TIMED_OUT: "bad",
    RunState.LOST: "bad",
    RunState.CANCELLED: "quiet",
    RunState.MISSED: "warn",
    RunState.SKIPPED: "warn",
}

NAMES_OF_STATES: dict[str, Any] = {**dict(RunState.choices), **dict(TaskState.choices)}


def looks_of(state: str) -> str:
    """Return the look of a stored state, which may be one of a newer version of Sisy."""
    return LOOKS.get(state, "quiet")


def name_of_state(state: str) -> str:
    """Return the word for a stored state of a run or a task; an unknown one stands for itself."""
    return str(NAMES_OF_STATES.get(state, state))


def counted_states(states: Counter[str]) -> list[str]:
    """Return how many runs are in each state, the most common first, such as "2 failed"."""
    return [f"{number} {name_of_state(state)}" for state, number in states.most_common()]


def now() -> datetime:
    """Return the current moment by the clock of the database that stores tasks."""
    return clock.now(router.db_for_write(Task))


def moment(value: datetime | None, now: datetime) -> str:
    """Return a moment in the reader's time zone, with its distance from ``now``.

    The date is left out if it is today.
    """
    if value is None:
        return NOTHING
    return format_html(
        '<time datetime="{}" title="{}">{} <small>{}</small></time>',
        value.isoformat(),
        f"{value:%Y-%m-%d %H:%M:%S.%f} UTC",
        brief(value, now),
        distance(value, now),
    )


def instant(value: datetime) -> str:
    """Return a moment in the reader's time zone to the millisecond."""
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.isoformat(),
        f"{value:%Y-%m-%d %H:%M:%S.%f} UTC",
        _local(value).replace(tzinfo=None).isoformat(" ", "milliseconds"),
    )


def short(value: datetime) -> str:
    """Return a moment in the reader's time zone to the second."""
    return f"{_local(value):%Y-%m-%d %H:%M:%S}"


def brief(value: datetime, now: datetime) -> str:
    """Return a moment in the reader's time zone to the second, without the date if it is today."""
    zone = timezone.get_current_timezone()
    local = value.astimezone(zone)
    is_today = local.date() == now.astimezone(zone).date()
    return f"{local:%H:%M:%S}" if is_today else f"{local:%Y-%m-%d %H:%M:%S}"


def zone_named(name: str) -> tzinfo:
    """Return the zone with a name, or UTC if there is none: a task's zone may be invalid."""
    try:
        return zones.zone_named(name)
    except ScheduleError:
        return ZoneInfo("UTC")


def _local(value: datetime) -> datetime:
    return timezone.localtime(value, timezone.get_current_timezone())


def distance(value: datetime, now: datetime) -> str:
    """Return the distance of ``value`` from ``now`` in its largest unit, such as "3 h ago"."""
    if abs(value - now) < SECOND:
        return gettext("now")
    words = largest_unit(abs(value - now))
    return (gettext("in %s") if value > now else gettext("%s ago")) % words


def span(value: timedelta | None) -> str:
    """Return a duration in the format of all pages and commands, or a dash for None."""
    return NOTHING if value is None else duration_text(value)


def recurred(times: int) -> str:
    """Return how often a problem recurred since its alert was opened; empty for never."""
    if times < 2:
        return gettext("recurred once") if times else ""
    return ngettext("recurred %d time", "recurred %d times", times) % times


def first_of(names: Sequence[str], number: int | None = None, *, most: int = 3) -> str:
    """Return names as a text, and how many more there are, such as "a, b, c and 2 more".

    Args:
        names: the names, of which only the first are shown.
        number: how many there are in all; by default, as many as ``names``.
        most: how many are shown.
    """
    shown = ", ".join(names[:most])
    more = (len(names) if number is None else number) - len(names[:most])
    if more <= 0:
        return shown
    return gettext("%(shown)s and %(more)d more") % {"shown": shown, "more": more}


def percent(value: float) -> str:
    """Return a percentage with one digit, which is 100 only if it is exactly that."""
    rounded = round(value, 1)
    return f"{99.9 if rounded == 100 and value < 100 else rounded:g} %"


def schedule(task: Task, default_zone: str) -> str:
    """Return a schedule, its description in words, and its zone unless it is the default one."""
    if not task.schedule:
        return gettext("once")
    zone = "" if task.timezone == default_zone else task.timezone
    return format_html(
        "<code>{}</code><br><small>{}{}</small>",
        task.schedule,
        words_of(task.schedule, task.timezone, task.label),
        f" ({zone})" if zone else "",
    )


def schedule_error(subject: str, error: str) -> str:
    """Return why a schedule is not valid, as a sentence that names the schedule once.

    Args:
        subject: the schedule, such as "The task's schedule".
        error: the message of a `ScheduleError`.
    """
    return error if error.startswith("The schedule ") else f"{subject} is not valid: {error}"


def words_of(expression: str, zone: str, label: str) -> str:
    """Return a schedule in words, in the reader's language; empty if there are none for it."""
    try:
        readable = Schedule(expression, zone, key=label)
    except ScheduleError:
        return ""
    return in_words(readable, get_language() or "en", _names())


def _names() -> dict[str, str]:
    """Return the reader's words for the English names of months and weekdays."""
    ours = [*dates.WEEKDAYS.values(), *dates.MONTHS.values()]
    with use_language("en"):
        english = [str(name) for name in ours]
    return dict(zip(english, map(str, ours), strict=True))
