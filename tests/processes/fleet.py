"""Heartbeats and workers, and tasks that keep them busy for a certain number of seconds."""

from datetime import datetime, timedelta

from sisy import clock
from sisy.models import Process, Run, Task, task_with_callable
from tests.app import jobs
from tests.processes.ledger import assert_each_run_was_executed_once
from tests.processes.site import Site
from tests.support.waiting import wait_until

SECOND, YEAR = timedelta(seconds=1), timedelta(days=365)
TIME_TO_PLAN = 4 * SECOND


class Fleet:
    """Some heartbeats and workers that have signed on."""

    def __init__(self, site: Site, heartbeats: int, workers: int, *options: str) -> None:
        self.heartbeats = [site.manage("sisy_heartbeat") for _ in range(heartbeats)]
        self.workers = [site.manage("sisy_worker", *options) for _ in range(workers)]
        self.all = [*self.heartbeats, *self.workers]
        have_signed_on = Process.objects.filter(pid__in=[process.pid for process in self.all])
        wait_until(lambda: have_signed_on.count() == len(self.all), "all have signed on")

    def ends_well(self) -> None:
        """Check that all are still up, and end in good order."""
        assert [process.is_up for process in self.all] == [True] * len(self.all)
        assert [process.stop() for process in self.all] == [0] * len(self.all)


class EverySecond:
    """Tasks that run every second, from a start on that is still to be set."""

    def __init__(self, labels: list[str]) -> None:
        self._labels = labels
        self.start: datetime | None = None
        self.seconds = 0

    def run_for(self, seconds: int) -> datetime:
        """Let all tasks run for so many whole seconds, and return the first one."""
        self.seconds = seconds
        self.start = clock.now("default").replace(microsecond=0) + TIME_TO_PLAN
        Task.objects.update(start_running=self.start, end_running=self.start + seconds * SECOND)
        return self.start

    def reaches(self, second: int) -> None:
        """Wait until that second of theirs has begun."""
        moment = self.start + second * SECOND
        wait_until(lambda: clock.now("default") >= moment, f"it is second {second}")

    def wait_for_the_end(self) -> None:
        """Wait until all tasks have run and are deleted."""
        wait_until(lambda: not Task.objects.exists(), "the tasks are gone", self.seconds + 120)

    def assert_exact(self, *, recorded: bool = True) -> None:
        """Check that the ledger has each second of each task once, and that each run succeeded.

        Those whose functions recorded it must have been executed once.
        """
        seconds = [self.start + n * SECOND for n in range(self.seconds)]
        expected = {(label, second) for label in self._labels for second in seconds}
        rows = list(Run.objects.values_list("label", "due_at"))
        assert len(rows) == len(expected)
        assert set(rows) == expected
        assert set(Run.objects.values_list("state", flat=True)) == {"succeeded"}
        if recorded:
            assert_each_run_was_executed_once()


def every_second(count: int, *functions, **fields) -> EverySecond:
    """Save tasks that run every second, but not yet; by default one in ten is async."""
    functions = functions or (jobs.arecord, *[jobs.record] * 9)
    labels = [f"task {n}" for n in range(count)]
    for n, label in enumerate(labels):
        task_with_callable(
            functions[n % len(functions)],
            label=label,
            schedule="* * * * * *",
            start_running=clock.now("default") + YEAR,
            **fields,
        ).save()
    return EverySecond(labels)
