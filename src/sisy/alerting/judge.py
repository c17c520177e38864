"""Judge problems twice a minute: open alerts, close those that are over, and notify people.

Each round begins with one statement, which asks whether there is a reason to look for any kind of
problem. On a site without problems and expectations, that is all. What a round reads does not
depend on how many tasks and runs there are:

- Each run that ended badly is judged once (`failures`).
- Only running and queued runs can be slow, stalled or late (`overruns`, `late`, `backlog`).
- A task that must succeed regularly is looked at when that moment has passed (`silence`).
- Open alerts are few. Each round checks whether their problems are over, for 500 of them.

What is late, silent or without a process is judged only after the heartbeat has watched without a
break for a while, and has planned what is due. Otherwise, a suspended host would find everything
late when it wakes up.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from sisy import conf
from sisy.alerting import backlog, broken, failures, heartbeats, late, overruns, silence
from sisy.alerting.notifying import LONGEST_WAIT, correct_moments, notify
from sisy.alerting.opening import Closing, close_alerts, open_alerts
from sisy.alerting.problem import Problem, Watch
from sisy.models import Alert
from sisy.records.problems import Kind
from sisy.runtime.compat import delete_bare
from sisy.runtime.log import logger
from sisy.runtime.loop import ENDLESS, Turn
from sisy.store.isolation import isolating
from sisy.store.judging import Reasons, look

INTERVAL = timedelta(seconds=30)
SHORTEST = timedelta(seconds=1)
RECHECK_BATCH = 500
PRUNE_INTERVAL = timedelta(hours=1)
PRUNE_BATCH = 1000


class Judge:
    """Judges the problems of a site, and notifies people of them.

    Attributes:
        next_at: when the next round is due; None if it is due at once.
    """

    def __init__(self, using: str) -> None:
        self.next_at: datetime | None = None
        self._using = using
        self._since: datetime | None = None
        self._rechecked = ""  # alerts up to this `open_key`
        self._pruned_at: datetime | None = None
        self._paused_until: dict[str, datetime] = {}  # when queues were last seen to be paused
        self._left: list[Callable[[], bool]] | None = None  # the other steps of this round
        self._is_behind = False

    def restart(self) -> None:
        """Begin a round at once, because the clock was set."""
        self.next_at = self._since = self._pruned_at = self._left = None
        self._paused_until.clear()

    def go_on(
        self, now: datetime, turn: Turn = ENDLESS, *, may_judge: bool, is_held_up: bool = False
    ) -> None:
        """Make a round if it is time.

        Args:
            may_judge: whether the heartbeat has watched long enough: see `SuspensionGuard`.
            is_held_up: whether tasks are due that are not planned yet.
        """
        if not may_judge:
            self._since = None
        elif self._since is None:
            self._since = now
        if self.next_at is not None and now < self.next_at:
            return
        if self._left is None:
            watch = Watch(using=self._using, now=now, since=None if is_held_up else self._since)
            reasons = look(self._using, now)
            self._left, self._is_behind = list(self._steps(reasons, watch)), False
            if not self._left:
                self._end_round(reasons, now)
                return
        # The next pass continues with the next step: a slow one must not keep out the others.
        while self._left:
            self._is_behind |= isolating(self._left.pop(0), _leave_for_the_next_pass)
            if self._left and turn.ends_here():
                return
        # The steps may have opened and closed alerts.
        self._end_round(look(self._using, now), now)

    def _end_round(self, reasons: Reasons, now: datetime) -> None:
        self._left = None
        self._prune(now)
        self.next_at = now + self._interval(reasons, now, is_behind=self._is_behind)

    def _steps(self, reasons: Reasons, watch: Watch) -> Iterator[Callable[[], bool]]:
        """Yield the steps that have a reason. Each returns whether it has left work."""
        using, now = self._using, watch.now
        if reasons.has_unjudged:
            yield lambda: failures.judge_failures(using, now)
        if reasons.has_broken:
            yield lambda: _open(watch, broken.judge_broken(watch))
        if watch.since is not None:
            yield from self._steps_of_late(reasons, watch)
        if reasons.has_open:
            yield lambda: self._recheck(now)
        if reasons.next_message is not None and reasons.next_message > now + LONGEST_WAIT:
            yield lambda: _correct_moments(using, now)
        elif reasons.next_message is not None and reasons.next_message <= now:
            yield lambda: _notify(using, now)

    def _steps_of_late(self, reasons: Reasons, watch: Watch) -> Iterator[Callable[[], bool]]:
        """Yield the steps that judge what is late, slow, stalled or silent."""
        if reasons.has_start_within:
            yield lambda: _open(watch, late.judge_late(watch))
        if reasons.has_expected_duration:
            yield lambda: _open(watch, overruns.slow(watch))
        if reasons.has_stalled_after:
            yield lambda: _open(watch, overruns.stalled(watch))
        if reasons.has_queued:
            yield lambda: _open(watch, backlog.judge_queues(watch, self._paused_until))
        if reasons.has_silent:
            yield lambda: silence.judge_silence(watch)

    def _recheck(self, now: datetime) -> bool:
        """Close the alerts whose problem is over, among the next open ones. Return if more are."""
        # In the order of the index that contains no closed alerts.
        alerts = Alert.objects.using(self._using).filter(open_key__gt=self._rechecked)
        some = list(alerts.rechecked(now).order_by("open_key")[:RECHECK_BATCH])
        has_more = len(some) == RECHECK_BATCH
        self._rechecked = (some[-1].open_key or "") if has_more else ""
        close_alerts(self._using, _over(self._using, some, now), now)
        return has_more

    def _interval(self, reasons: Reasons, now: datetime, *, is_behind: bool) -> timedelta:
        wait = INTERVAL
        if is_behind:
            return SHORTEST
        if reasons.has_start_within or reasons.has_expected_duration or reasons.has_stalled_after:
            shortest = overruns.shortest_expectation(self._using) or wait
            wait = min(wait, shortest / 2)
        if reasons.next_message is not None:
            # Messages about many alerts wait until it is quiet: see `notifying`.
            until = reasons.next_message - now
            wait = min(wait, until if until > SHORTEST else 10 * SHORTEST)
        return max(wait, SHORTEST)

    def _prune(self, now: datetime) -> None:
        """Delete alerts that were closed more than ``SISY_HISTORY_DAYS`` ago, once an hour."""
        days = conf.get_settings().history_days
        is_time = self._pruned_at is None or now - self._pruned_at >= PRUNE_INTERVAL
        if days and is_time:
            self._pruned_at = now
            closed = Alert.objects.using(self._using).closed()
            old = closed.filter(closed_at__lt=now - timedelta(days=days)).order_by("closed_at")
            pks = list(old.values_list("pk", flat=True)[:PRUNE_BATCH])
            if pks:
                delete_bare(Alert.objects.using(self._using).filter(pk__in=pks))


def _open(watch: Watch, problems: Iterator[Problem]) -> bool:
    open_alerts(watch.using, problems, watch.now)
    return False


def _notify(using: str, now: datetime) -> bool:
    notify(using, now)
    return False


def _correct_moments(using: str, now: datetime) -> bool:
    correct_moments(using, now)
    return False


def _leave_for_the_next_pass(error: Exception) -> bool:
    logger.error("Could not check for problems; retrying in the next pass", exc_info=error)
    return False


def _over(using: str, alerts: list[Alert], now: datetime) -> Iterator[Closing]:
    """Yield those of the alerts whose problem is over."""

    def of(*kinds: Kind) -> list[Alert]:
        return [alert for alert in alerts if alert.kind in kinds]

    runs = of(Kind.FAILING, Kind.LOST, Kind.MISSED)
    if about_tasks := [alert for alert in runs if alert.task_id is not None]:
        yield from failures.over_of_tasks(using, about_tasks, now)
    if about_calls := [alert for alert in runs if alert.task_id is None]:
        yield from failures.over_of_calls(using, about_calls, now)
    if about := of(Kind.BROKEN):
        yield from broken.over(using, about)
    if about := of(Kind.LATE):
        yield from late.over(using, about, now)
    if about := of(Kind.SLOW, Kind.STALLED):
        yield from overruns.over(using, about, now)
    if about := of(Kind.SILENT):
        yield from silence.over(using, about)
    if about := of(Kind.NO_WORKER, Kind.QUEUED):
        yield from backlog.over(using, about, now)
    if about := of(Kind.NO_HEARTBEAT):
        yield from heartbeats.over(using, about)
