"""A site in the world: its processes, and when they look for something to do."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection

from sisy import conf
from sisy.models import Process, Run
from tests.simulation.history import History
from tests.simulation.roles import Role, SimulatedHeartbeat, SimulatedWorker
from tests.simulation.world import World

LONGEST_LOOK = 1000.0
WATCH = 4.0  # seconds between two looks of a heartbeat that waits to judge an expired lease
PROBABILITY_OF_SEVERAL = (
    0.3  # how often several look at the same moment, and not the first one only
)
PLANNED_AHEAD = 0.8  # how often a heartbeat looks before something is due
SKEW = 300.0  # seconds by which a host's clock is off at the most
AGENDA = """
SELECT EXISTS(SELECT 1 FROM sisy_task WHERE state = 'active' AND next_run IS NULL),
       (SELECT MIN(next_run) FROM sisy_task WHERE state = 'active'),
       (SELECT MIN(lease_until) FROM sisy_process
        WHERE ended_at IS NULL AND id NOT IN ({alive})),
       EXISTS(SELECT 1 FROM sisy_queued_run WHERE ready_at <= %s),
       (SELECT MIN(ready_at) FROM sisy_queued_run WHERE ready_at > %s),
       EXISTS(
           SELECT 1 FROM sisy_running_run entry JOIN sisy_run ON sisy_run.id = entry.run_id
           WHERE sisy_run.cancel_requested_at IS NOT NULL
       ),
       EXISTS(
           SELECT 1 FROM sisy_running_run entry
           JOIN sisy_process ON sisy_process.id = entry.process_id
           WHERE sisy_process.ended_at IS NOT NULL
       )
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """What stands in the database, and when somebody will find something to do by it."""

    heartbeat_at: datetime | None
    worker_at: datetime | None
    obey_at: datetime | None
    all_watch: bool

    @property
    def next(self) -> datetime | None:
        moments = (self.heartbeat_at, self.worker_at, self.obey_at)
        return min(filter(None, moments), default=None)


class Site:
    """Heartbeats and workers over one database.

    They look each second, in truth. Here they look when there is something to see: what will soon
    be due, has fallen due, has become ready, has expired. What is seen and cannot be done yet is
    looked at again after one second, two, four and so on, until something happens: what waits for
    the end of another run is looked at again by whoever records that end.
    """

    def __init__(self, world: World, heartbeats: int, workers: int) -> None:
        self.world = world
        self.history = History(world)
        self.is_dirty = True
        self._look_again = 1.0
        self._agenda: Agenda | None = None
        self._ahead: tuple[datetime | None, timedelta] = (None, timedelta(0))
        self._early: tuple[datetime | None, timedelta] = (None, timedelta(0))
        names = [f"heartbeat-{n}" for n in range(heartbeats)]
        self.heartbeats = [SimulatedHeartbeat(self, name, self._skew()) for name in names]
        names = [f"worker-{n}" for n in range(workers)]
        self.workers = [SimulatedWorker(self, name, self._skew()) for name in names]
        self.roles: list[Role] = [*self.heartbeats, *self.workers]

    def run_until(self, moment: datetime, or_until=lambda: False) -> None:
        """Let the world go on until a moment."""
        while self.world.now < moment and not or_until():
            upcoming = self.world.next_event()
            if upcoming is not None and upcoming <= self.world.now:
                self.world.advance()
                continue
            wanted = self._look_ahead()
            target = min(filter(None, (upcoming, wanted, moment)))
            self._pass_time_until(target)
            if target == wanted:
                self._wake_up(target)
            elif target == upcoming:
                self.world.advance()

    def something_happened(self) -> None:
        """Look again soon for what could not be done until now."""
        self._look_again = 1.0
        self.is_dirty = True

    def ring(self) -> None:
        """Wake a worker, or none: rings may be lost; each looks within a second, too."""
        able = [worker for worker in self.workers if worker.is_able]
        if able and self.world.random.random() < 0.9:
            self.world.random.choice(able).wake(self.world.random.uniform(0.001, 0.02))

    def wake_some(self) -> None:
        """Let some look within the second, as all do."""
        for roles in (self.heartbeats, self.workers):
            able = [role for role in roles if role.is_able]
            for role in self.world.random.sample(able, min(len(able), 1)):
                role.wake(self.world.random.uniform(0, 1))

    def duration_of(self, run: Run) -> float:
        story = self.history.stories.get(run.label)
        low, high = (0.05, 3.0) if story is None else story.takes
        return self.world.random.uniform(low, high)

    def fails(self, run: Run) -> bool:
        story = self.history.stories.get(run.label)
        return story is not None and self.world.random.random() < story.fails

    def close(self) -> None:
        """End the threads, whatever they are at."""
        for role in self.roles:
            role.player.kill()
            role.player.close()

    def _skew(self) -> timedelta:
        return timedelta(seconds=self.world.random.uniform(-SKEW, SKEW))

    def _look_ahead(self) -> datetime | None:
        if self.is_dirty or self._agenda is None:
            self._agenda = self._read_agenda()
            self.is_dirty = False
        return self._agenda.next

    def _read_agenda(self) -> Agenda:
        now = self.world.now
        alive = [role.process.pk for role in self.roles if role.is_able and role.process]
        at = connection.ops.adapt_datetimefield_value(now)
        with connection.cursor() as cursor:
            cursor.execute(AGENDA.format(alive=",".join(map(str, [0, *alive]))), [at, at])
            row = cursor.fetchone()
        unplanned, *moments, is_ready, next_ready, is_asked, has_orphan = row
        next_run, next_expiry, next_ready = map(_moment, (*moments, next_ready))
        soon = now + timedelta(seconds=self._look_again)
        is_watching = next_expiry is not None and next_expiry <= now
        watch = now + timedelta(seconds=min(self._look_again, WATCH))
        planning = [
            self._when_to_plan(next_run, now),
            now if unplanned else None,
            watch if is_watching else next_expiry,
            # A worker that stops leaves what it was asked to end. Only a beat finds that.
            now if has_orphan else None,
        ]
        working = [self._when_to_start(next_ready, now), now if is_ready else None]
        can_plan = any(heartbeat.is_able for heartbeat in self.heartbeats)
        can_work = any(worker.is_able and worker.free > 0 for worker in self.workers)
        return Agenda(
            heartbeat_at=_first(planning, now, soon) if can_plan else None,
            worker_at=_first(working, now, soon) if can_work else None,
            obey_at=soon if is_asked else None,
            all_watch=is_watching,
        )

    def _when_to_plan(self, next_run: datetime | None, now: datetime) -> datetime | None:
        """Return when the next look at what is due is: some time ahead of it, or at it."""
        if next_run is None or next_run <= now:
            return next_run
        if next_run != self._ahead[0]:
            draw = self.world.random
            least = draw.choice((0, 1.4, 1.4))  # in truth, a look is in the middle of each second
            seconds = draw.uniform(least, 2) if draw.random() < PLANNED_AHEAD else 0
            self._ahead = (next_run, timedelta(seconds=seconds))
        look = next_run - self._ahead[1]
        # What cannot be planned ahead is looked at again when it is due.
        return look if look > now else next_run

    def _when_to_start(self, next_ready: datetime | None, now: datetime) -> datetime | None:
        """Return when a worker looks for the run that becomes ready next: mostly just before."""
        if next_ready is None:
            return None
        if next_ready != self._early[0]:
            draw = self.world.random
            seconds = draw.uniform(0.005, 0.09) if draw.random() < PLANNED_AHEAD else 0
            self._early = (next_ready, timedelta(seconds=seconds))
        look = next_ready - self._early[1]
        return look if look > now else next_ready

    def _pass_time_until(self, moment: datetime) -> None:
        """Let time pass, in which those who are well renew their leases as ever."""
        lease = conf.get_settings().lease
        if moment - self.world.now > lease / 4:
            well = [role.process.pk for role in self.roles if role.is_able and role.process]
            Process.objects.filter(pk__in=well).update(lease_until=moment + lease)
        self.world.jump_to(moment)

    def _watch(self, heartbeats: list[Role]) -> None:
        """Let the same ones look again: none judges a lease that has not watched for a while."""
        for heartbeat in heartbeats[: 1 + (self.world.random.random() < PROBABILITY_OF_SEVERAL)]:
            heartbeat.wake(self.world.random.uniform(0, 1))

    def _wake_up(self, moment: datetime) -> None:
        """Wake those for whom there is something to see: first one or another, within a second."""
        agenda, draw = self._agenda, self.world.random
        assert agenda is not None
        self.is_dirty = True
        self._look_again = min(self._look_again * 2, LONGEST_LOOK)
        if agenda.obey_at is not None and agenda.obey_at <= moment:
            for worker in self.workers:
                if worker.is_able and worker.in_hand:
                    worker.wake(draw.uniform(0, 1))
        for at, roles in (
            (agenda.heartbeat_at, self.heartbeats),
            (agenda.worker_at, self.workers),
        ):
            able = [role for role in roles if role.is_able]
            if at is not None and at <= moment and able:
                several = draw.random() < PROBABILITY_OF_SEVERAL
                if agenda.all_watch and roles is self.heartbeats:
                    several = False
                    self._watch(able)
                for role in draw.sample(able, draw.randint(1, len(able)) if several else 1):
                    role.wake(draw.choice((0, 0, 0.002, draw.uniform(0, 0.9))))


def _first(moments: list[datetime | None], now: datetime, soon: datetime) -> datetime | None:
    """Return the first of the moments; what is over already is looked at ``soon``."""
    return min((soon if one <= now else one for one in moments if one is not None), default=None)


def _moment(value: datetime | str | None) -> datetime | None:
    """Return what the database returned; SQLite has no dates."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return None if moment is None else moment.replace(tzinfo=moment.tzinfo or UTC)
