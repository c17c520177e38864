"""Find what fails intermittently, so that it has one alert and not one for each failure.

Most problems are over when a run succeeds. If a task fails every third time, that would close its
alert each time: people would get a message about each failure and each success, and could never
acknowledge the problem. So the alert of a task that *flaps* stays open while the task works, until
it has worked for a while.

Nagios counts how often a check has changed its state, and uses a lower threshold for the end of
flapping than for its beginning. Here, the rule is:

- A task flaps if it failed in three separate series among the 20 runs up to its last failure.
- It also flaps if it has failed again while its alert was open. So an occasional failure keeps an
  alert open that was opened because of many.
- That is over when ten runs in a row have succeeded, and the last failure is ten minutes old.

The runs say all of that. So it is the same for each heartbeat, and after each restart.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby, takewhile
from operator import attrgetter

from django.utils.translation import ngettext

from sisy.records.choices import RunState
from sisy.store.judging import Ended

LATEST = 40  # finished runs that are read, unless these show too little
WINDOW = 20  # of these, up to the last failure
SERIES = 3  # separate series of failures among these
ENOUGH = 10  # runs in a row that must succeed
QUIET = timedelta(minutes=10)  # without a failure
MEMORY = timedelta(hours=24)  # older failures do not count

is_success = attrgetter("is_success")


def flaps(
    latest: Sequence[Ended], now: datetime, limit: int, opened_by: int | None = None
) -> bool:
    """Return whether something fails intermittently, and has not worked for long enough.

    Args:
        latest: its latest runs, the newest first.
        limit: the number of failures in a row that are a reason for an alert.
        opened_by: the key of the run that opened its alert; None if no alert is open.
    """
    recent = [run for run in latest if not run.finished_at or now - run.finished_at < MEMORY]
    successes = in_a_row(recent)
    failing = recent[successes : successes + WINDOW]
    if not failing:
        return False
    failed_at = failing[0].finished_at or now
    if successes >= ENOUGH and now - failed_at >= QUIET:
        return False
    series = [one for one in _series_of(failing) if is_reason(one, limit)]
    while_open = [one for one in series if opened_by is not None and one[0].pk >= opened_by]
    return len(series) >= SERIES or len(while_open) > 1


def shows_too_little(latest: Sequence[Ended], now: datetime) -> bool:
    """Return whether more than `LATEST` runs are needed to tell if something still flaps."""
    # What runs each second has succeeded hundreds of times before it has worked for long enough.
    successes = in_a_row(latest)
    is_window_cut = LATEST <= len(latest) < successes + WINDOW
    last = latest[min(successes, len(latest) - 1)] if is_window_cut else None
    return last is not None and (last.finished_at is None or now - last.finished_at < QUIET)


def is_reason(series: Sequence[Ended], limit: int) -> bool:
    """Return whether failures in a row, the newest first, are a reason for an alert."""
    return bool(series) and (series[0].state == RunState.LOST or len(series) >= limit)


def in_a_row(latest: Sequence[Ended]) -> int:
    """Return how many runs have succeeded since the last failure."""
    return len(list(takewhile(is_success, latest)))


def in_words(latest: Sequence[Ended]) -> str:
    """Return how often something that flaps has failed, as a sentence without its full stop."""
    counted, failed = _counted(latest), len(failures_in(latest))
    words = ngettext(
        "It fails intermittently. %(failed)d of the last run failed",
        "It fails intermittently. %(failed)d of the last %(all)d runs failed",
        len(counted),
    )
    return words % {"failed": failed, "all": len(counted)}


def failures_in(latest: Sequence[Ended]) -> list[Ended]:
    """Return the failures that the words count, the newest first."""
    return [run for run in _counted(latest) if not run.is_success]


def _counted(latest: Sequence[Ended]) -> Sequence[Ended]:
    """Return the latest runs, as many as are usually read, with the last failure at least."""
    return latest[: max(LATEST, in_a_row(latest) + 1)]


def _series_of(latest: Sequence[Ended]) -> list[list[Ended]]:
    """Return the failures between successes, each series with its newest run first."""
    return [list(runs) for has_succeeded, runs in groupby(latest, is_success) if not has_succeeded]
