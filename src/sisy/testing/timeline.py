"""A heartbeat and a worker that are driven by hand, and the clock that they use."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from zoneinfo import ZoneInfo

from asgiref.sync import sync_to_async
from django.db import router
from django.db.models import Min
from django.utils import timezone as django_timezone

from sisy import clock
from sisy.execution.inline import execute_inline
from sisy.heartbeat.pauses import end_pauses, next_end
from sisy.heartbeat.plan import plan_due
from sisy.heartbeat.timing_check import compute_unplanned
from sisy.models import Process, QueuedRun, Role, Run, Task, TaskState
from sisy.records.outcome import Outcome
from sisy.schedules import calendar
from sisy.testing.beginning import begin
from sisy.worker.claim import claim
from sisy.worker.record import record

CLAIM_BATCH = 100
LEASE = timedelta(hours=1)
MAX_RUNS_AT_ONE_MOMENT = 10_000
"""The limit of runs at one moment, which stops runs that submit each other endlessly."""


class Timeline:
    """A clock that only moves when you advance it. Advancing it executes the runs that are due.

    Get one from `sisy_time`. Functions are called in the test's thread, with its database
    connection, and take no time. If one raises, its run fails and the test continues: see
    `assert_ran`.

    Attributes:
        now: the current moment, as an aware datetime in UTC.
        using: the alias of the database.
    """

    def __init__(self, moment: datetime, using: str | None = None) -> None:
        self.now = moment
        self.using = using or router.db_for_write(Task)
        self._worker: Process | None = None

    def advance(self, by: timedelta | None = None, **span: float) -> list[Run]:
        """Advance the clock, and return the runs that finished in the meantime, in order.

        Args:
            by: the duration.
            span: or the duration as arguments of `timedelta`, such as ``hours=6``.

        Raises:
            ValueError: the duration is not positive.
            RuntimeError: runs submit each other endlessly at one moment.
        """
        length = timedelta(**span) if by is None else by
        if length <= timedelta(0):
            raise ValueError(f"Time only moves forward. Pass a duration longer than {length}.")
        return self.advance_to(self.now + length)

    def advance_to(self, moment: datetime) -> list[Run]:
        """Advance the clock to a moment; see `advance`.

        Raises:
            ValueError: the moment is naive or in the past.
        """
        if django_timezone.is_naive(moment):
            raise ValueError(f"{moment!r} is not an aware datetime. Pass one with a time zone.")
        if moment < self.now:
            raise ValueError(f"Time only moves forward: {moment} is before {self.now}.")
        ended = self.run_due()
        while (following := next_moment(self.using, self.now)) is not None and following <= moment:
            self.now = following
            ended += self.run_due()
        self.now = moment.astimezone(UTC)
        return ended

    def run_due(self) -> list[Run]:
        """Execute the runs that are due now, without advancing the clock; return them."""
        ended: list[Run] = []
        end_pauses(self.using, self.now)
        plan_due(self.using, self.now)
        if compute_unplanned(self.using, self.now):
            plan_due(self.using, self.now)
        while runs := self._claim():
            for run in runs:
                execute_inline(run, self.now, partial(self._record, run))
                ended.append(run)
            if len(ended) > MAX_RUNS_AT_ONE_MOMENT:
                raise RuntimeError(
                    f"More than {MAX_RUNS_AT_ONE_MOMENT} runs ended at {self.now}, and more are "
                    f"queued. Do they submit each other? The last run was {ended[-1]}"
                )
        return ended

    async def aadvance(self, by: timedelta | None = None, **span: float) -> list[Run]:
        """Advance the clock in an async test; see `advance`."""
        return await sync_to_async(self.advance)(by, **span)

    def close(self) -> None:
        """Unregister the worker."""
        if self._worker is not None:
            self._worker.leave()

    def _record(self, run: Run, outcome: Outcome) -> None:
        record(self.using, [(run, outcome)], self.now)

    def _claim(self) -> list[Run]:
        queues: dict[str, set[str]] = {}
        for engine, queue in _ready_queues(self.using, self.now):
            queues.setdefault(engine, set()).add(queue)
        return [
            run
            for engine, names in sorted(queues.items())
            for run in claim(self._process(), sorted(names), CLAIM_BATCH, self.now, engine)
        ]

    def _process(self) -> Process:
        worker = self._worker
        if worker is not None and worker.lease_until - self.now < LEASE / 2:
            worker = worker if worker.renew(self.now, LEASE) else None
        if worker is None:
            worker = Process.join(Role.WORKER, using=self.using, now=self.now, lease=LEASE)
        self._worker = worker
        return worker


def next_moment(using: str, now: datetime) -> datetime | None:
    """Return when a task is due, a run is ready or a pause ends next after ``now``, if ever."""
    tasks = Task.objects.using(using).filter(state=TaskState.ACTIVE, next_run__gt=now)
    runs = QueuedRun.objects.using(using).filter(ready_at__gt=now)
    pause_ends = next_end(using)
    moments = (
        tasks.aggregate(first=Min("next_run"))["first"],
        runs.aggregate(first=Min("ready_at"))["first"],
        pause_ends if pause_ends is not None and pause_ends > now else None,
    )
    return min(filter(None, moments), default=None)


def _ready_queues(using: str, now: datetime) -> list[tuple[str, str]]:
    """Return the engine and the name of each queue in which a run is ready."""
    ready = QueuedRun.objects.using(using).filter(ready_at__lte=now)
    return list(ready.values_list("engine", "queue").distinct())


class _TimelineClock:
    """The clock of Sisy while a timeline is in use."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def now(self, using: str) -> datetime:
        return self._timeline.now

    def last_known(self, using: str) -> datetime:
        return self._timeline.now

    def earliest(self, using: str) -> datetime:
        return self._timeline.now

    def read_again(self, using: str) -> None:
        """Do nothing: the clock is always exact."""


class sisy_time:  # noqa: N801 - it is used as a function
    """Set Sisy's clock to a moment in a ``with`` or ``async with`` block; returns a `Timeline`.

    Existing tasks, such as declared ones, are planned from that moment on: nothing is overdue, and
    nothing was missed.

    Django's and Python's clocks are not changed. Set them, too, if your functions use them.

    Args:
        moment: a datetime, or a text in ISO 8601 such as "2026-03-29 00:00".
        timezone: the zone of a moment without one, by name or as an object; by default Django's
            ``TIME_ZONE``.
        using: the alias of the database; by default the one to which tasks are written.

    Raises:
        ValueError: the moment is not valid.
    """

    def __init__(
        self,
        moment: datetime | str,
        timezone: tzinfo | str | None = None,
        *,
        using: str | None = None,
    ) -> None:
        self._timeline = Timeline(_moment(moment, timezone), using)

    def __enter__(self) -> Timeline:
        before = clock.now(self._timeline.using)
        with ExitStack() as stack:
            stack.enter_context(clock.use(_TimelineClock(self._timeline)))
            begin(self._timeline.using, self._timeline.now, before)
            self._stack = stack.pop_all()
        return self._timeline

    def __exit__(self, *raised: object) -> None:
        with self._stack:
            self._timeline.close()

    async def __aenter__(self) -> Timeline:
        return await sync_to_async(self.__enter__)()

    async def __aexit__(self, *raised: object) -> None:
        await sync_to_async(self.__exit__)()


def _moment(moment: datetime | str, timezone: tzinfo | str | None) -> datetime:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if django_timezone.is_naive(moment):
        zone = ZoneInfo(timezone) if isinstance(timezone, str) else timezone
        moment = moment.replace(tzinfo=zone or django_timezone.get_default_timezone())
    if not calendar.is_within(moment):
        raise ValueError(
            f"{moment} is not a valid date and time. Use a year from {calendar.YEARS}."
        )
    return moment.astimezone(UTC)
