"""Sites in which the time between the start of a run and its call is as long as a test needs."""

from datetime import timedelta

from sisy import clock
from sisy.models import Missed, Overlap, Process, Run, RunState, Task
from tests.app import jobs
from tests.app.models import Execution
from tests.processes.clocked import FileClock
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.waiting import wait_until

DUE = NOON + MINUTE
EARLY = DUE - timedelta(milliseconds=50)
LONG = 120  # seconds: a lease that does not expire, however busy the machine is
NOT_CALLED = "start ahead: not called yet"


class Stage:
    """A site whose clock stands shortly before a moment, until the test sets it."""

    def __init__(self, site, forks):
        site.set(SISY_LEASE_SECONDS=LONG)
        self._site, self._forks = site, forks
        self._path = site.folder / "clock"
        self.clock = FileClock(self._path)
        self.clock.set_exactly(EARLY)
        self._notes = site.folder / "notes"

    def start(self, command, *options):
        process = self._site.fork(
            self._forks,
            *(command, *options),
            main="tests.processes.clocked:main",
            SISY_TEST_CLOCK=str(self._path),
        )
        wait_until(Process.objects.filter(pid=process.pid).exists, "it has signed on")
        return process

    @property
    def userdata(self):
        """What `jobs.notes_in_a_file` needs."""
        return {"file": str(self._notes)}

    def notes(self):
        """Return for each call the due moment and when it was, in the order of the calls."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return [tuple(map(float, line.split())) for line in lines]

    def started_ahead(self, fn=jobs.notes_in_a_file):
        """Return a run that a worker has started, and calls when it is due."""
        with clock.use(self.clock):
            task = Task.run_once(fn, delay_until=DUE, userdata=self.userdata)
        run = Run.objects.get(task=task)
        wait_until(Run.objects.running().filter(pk=run.pk).exists, "the run has started")
        run.refresh_from_db()
        assert (run.attempt, run.ready_at, run.started_at) == (1, DUE, DUE)
        return run


class Trap:
    """A site whose first worker ends or freezes when it has set the timer of a run."""

    def __init__(self, opened, forks, number, **settings):
        self._site, self.database = opened
        self._forks = forks
        self._site.set(**settings)
        self._reached = self._site.folder / "reached"
        self._number = number

    def worker(self):
        """Start the worker that falls into it."""
        return self._site.fork(
            self._forks,
            "sisy_worker",
            main="tests.processes.crashing:main",
            SISY_TEST_POINT=NOT_CALLED,
            SISY_TEST_SIGNAL=str(int(self._number)),
            SISY_TEST_REACHED=str(self._reached),
        )

    def start(self, command):
        return self._site.fork(self._forks, command)

    def run(self, **policies):
        """Return the run with which it has fallen in."""
        return submit_until(self._reached.exists, **policies)


def submit_until(is_reached, **fields):
    """Submit one run after the other until a process has reached a point; return the last run."""

    def submit():
        # A worker without a shared layer hears of it within a second or so.
        soon = clock.now("default") + 2 * SECOND
        run = Run.objects.get(task=Task.run_once(jobs.record, delay_until=soon, **fields))
        live = Run.objects.live().filter(pk=run.pk)
        wait_until(lambda: is_reached() or not live.exists(), "the run is over")
        return run if is_reached() else None

    run = wait_until(submit, "a run was started ahead")
    run.refresh_from_db()
    return run


def iterate_until(is_reached, **fields):
    """Let one task after the other run a few times, until a process has reached a point."""

    def iterate():
        # On a busy machine, some may be late and start together.
        alike = {"missed": Missed.ALL, "overlap": Overlap.ALLOW, **fields}
        task = Task.run_iterations(jobs.record, 3, **alike)
        this = Task.objects.filter(pk=task.pk)
        wait_until(lambda: is_reached() or not this.exists(), "its iterations are over")
        return is_reached()

    wait_until(iterate, "a task has retired after its last run")


def calls(run):
    """Return the attempts and the processes of the calls of the run's function."""
    return list(Execution.objects.filter(run=run.pk).order_by("id").values_list("attempt", "pid"))


def ends(run):
    """Wait until the run is over."""
    wait_until(lambda: not Run.objects.live().filter(pk=run.pk).exists(), "the run is over")
    run.refresh_from_db()
    return run


def succeeds(run, attempt=1):
    end = ends(run)
    assert (end.state, end.attempt) == (RunState.SUCCEEDED, attempt)
    assert end.started_at >= end.ready_at
    return end
