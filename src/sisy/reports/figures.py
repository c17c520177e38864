"""The figures of a day of runs, compared with the day before and the same day a week before.

The whole ledger is never read. Failures have entries in a small table, so they are counted
exactly. Durations and delays come from a sample: keys grow with the moments at which runs were
planned, so a day is a range of keys, and some keys of it, evenly spaced, are read.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sisy.models import Run, RunState
from sisy.records.choices import FAILED_STATES
from sisy.records.small_tables import TroubledRun
from sisy.reports.durations import percentile
from sisy.store.reports import key_at

DAY, WEEK = timedelta(days=1), timedelta(days=7)
MAX_RUNS_SAMPLED = 300  # of each day
MAX_FAILURES_COUNTED = 10_000  # of each day


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one day.

    Attributes:
        success: the percentage of runs that succeeded, of those that succeeded or failed.
        is_sampled: whether durations and delays, and the number of runs, are those of a sample.
    """

    success: float
    failed: int
    usual: timedelta
    slow: timedelta
    late: timedelta
    is_sampled: bool


def figures(using: str, now: datetime) -> list[Figures | None]:
    """Return the figures of the last 24 hours, of the 24 hours before, and of those a week ago.

    A day without executed runs has none.
    """
    return [_of_day(using, now - ago) for ago in (timedelta(0), DAY, WEEK)]


def _of_day(using: str, end: datetime) -> Figures | None:
    start = end - DAY
    low, high = key_at(using, start), key_at(using, end)
    step = max(1, -(-(high - low) // MAX_RUNS_SAMPLED))
    runs = Run.objects.using(using).filter(pk__in=range(low, high, step))
    ended = runs.filter(state__in=(RunState.SUCCEEDED, *FAILED_STATES), started_at__isnull=False)
    rows = ended.values_list("ready_at", "started_at", "finished_at")
    moments = [(ready, begun, done) for ready, begun, done in rows if begun and done]
    if not moments:
        return None
    trouble = TroubledRun.objects.using(using).filter(finished_at__gte=start, finished_at__lt=end)
    trouble = trouble.filter(state__in=FAILED_STATES).order_by()
    failed = trouble[:MAX_FAILURES_COUNTED].count()
    took = sorted(max(timedelta(0), done - begun) for _, begun, done in moments)
    late = sorted(begun - ready for ready, begun, _ in moments)
    total = max(failed, len(moments) * step)
    return Figures(
        success=100 * (total - failed) / total,
        failed=failed,
        usual=percentile(took, 0.5),
        slow=percentile(took, 0.95),
        late=percentile(late, 0.95),
        is_sampled=step > 1,
    )
