"""A site whose problems two heartbeats judge, second by second."""

from datetime import timedelta

from sisy.execution import Outcome
from sisy.heartbeat import Heartbeat
from sisy.models import Alert, Process, Role, Run, RunState
from sisy.models.outbox import OutboxMessage
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.support.moments import HOUR, SECOND
from tests.support.records import scheduled

IDLE = "0 0 1 1 *"
LEASE = timedelta(seconds=30)


class Site:
    """A site in a test's time.

    Args:
        clocks: the clocks of the test.
        heartbeats: how many heartbeats watch it.
    """

    def __init__(self, clocks, heartbeats=2):
        self.clocks = clocks
        self.heartbeats = [Heartbeat() for _ in range(heartbeats)]
        self.worker = self.join()
        self.later(20)

    @property
    def now(self):
        return self.clocks.moment

    def join(self, queues=("default",), lease=1000 * HOUR):
        """Return a new worker. By default, its lease outlives the test."""
        process = Process.join(
            Role.WORKER, using="default", now=self.now, lease=LEASE, queues=queues, slots=4
        )
        Process.objects.filter(pk=process.pk).update(lease_until=self.now + min(lease, HOUR))
        return process

    def restart(self, number=None):
        """Replace the heartbeats by new ones, which know nothing of what the old ones did.

        Args:
            number: replace only the first ones, which make their passes before the others.
        """
        for place, heartbeat in enumerate(self.heartbeats[:number]):
            heartbeat._lease.end()
            self.heartbeats[place] = Heartbeat()

    def later(self, seconds):
        """Let each heartbeat make a pass each second, or every few seconds if it is for long."""
        until = self.now + seconds * SECOND
        # A heartbeat that makes no pass for half a lease believes that it was asleep.
        step = (9 if seconds >= 120 else 3 if seconds >= 30 else 1) * SECOND
        while self.now < until:
            Process.objects.filter(role=Role.WORKER).update(lease_until=self.now + HOUR)
            for heartbeat in self.heartbeats:
                heartbeat._pass()
            self.clocks.go_on(min(step, until - self.now))

    def asleep(self, by):
        """Let time pass without heartbeats, as on a host that was suspended."""
        self.clocks.go_on(by)

    def start(self, task):
        """Submit a run of a task, and let a worker start it."""
        run = task.run_now()
        [started] = [
            one for one in claim(self.worker, [task.queue], 10, self.now) if one.pk == run.pk
        ]
        return started

    def finish(self, run, state=RunState.SUCCEEDED, **columns):
        """Let a run end now."""
        columns.setdefault("error_class", "KeyError" if state == RunState.FAILED else "")
        outcome = Outcome(state=state, started_at=run.started_at, finished_at=self.now, **columns)
        record("default", [(run, outcome)], self.now)
        return Run.objects.get(pk=run.pk)

    def run(self, task, state=RunState.SUCCEEDED, **columns):
        """Let a run of a task start and end now."""
        return self.finish(self.start(task), state, **columns)

    def fail(self, task, times=1):
        for _ in range(times):
            self.run(task, RunState.FAILED)

    def idle_task(self, **fields):
        return scheduled(IDLE, **fields)

    @staticmethod
    def open_kinds():
        return sorted(Alert.objects.open().values_list("kind", flat=True))

    @staticmethod
    def told():
        """Return the messages so far, the oldest first: the event, and what each is about."""
        messages = OutboxMessage.objects.order_by("pk")
        return [
            (message.event, [(one["problem"], one["what"]) for one in message.payload["notices"]])
            for message in messages
            if message.event != "ping"
        ]
