"""Whether judging problems costs more with more tasks, or with a longer ledger.

Measured are the statements of a round of a heartbeat's judge, the pages that PostgreSQL reads for
them, and the CPU time of this process and of its session. So a machine that is busy with other
programs does not change the result. Each kind of round is repeated.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks import jobs, layouts, ledger, report
from sisy import clock
from sisy.alerting.judge import Judge
from sisy.execution import Outcome
from sisy.models import Alert, Overlap, Process, Role, RunState, Task, task_with_callable
from sisy.worker.claim import claim
from sisy.worker.record import record

SIZES = ((3_000, 10_000), (1_000_000, 10_000), (3_000, 10_000_000), (1_000_000, 10_000_000))
"""The numbers of tasks and of runs. All tasks but a thousand expect something."""

IDLE = "nothing is wrong"
TIMES = 11
FAILED = 20  # runs that fail before a round
MAX_SLOWDOWN = 1.5  # times as much CPU time as on the smallest site
MAX_IDLE_STATEMENTS = 8  # of a round in which nothing is wrong, but much is expected
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a kind of round costs."""

    statements: int
    seconds: float


def measure(tasks: int, runs: int) -> dict[str, Cost]:
    """Return what each kind of round costs on a site of this size."""
    report.progress(f"{tasks:,} tasks and {runs:,} runs: storing them")
    with layouts.opened(ledger.SITE):
        ledger.store(runs)
        add_tasks(tasks - ledger.TASKS)
        report.progress(f"{tasks:,} tasks and {runs:,} runs: measuring")
        return Rounds().costs()


def add_tasks(count: int) -> None:
    """Store tasks that expect something, as copies of one. Half of them must not be silent."""
    if count <= 0:
        return
    task = task_with_callable(jobs.noop, label="more", schedule="0 0 1 1 *")
    task.expected_duration = task.start_within = HOUR
    task.save()
    columns = [field.column for field in Task._meta.concrete_fields]
    own = ("id", "label", "success_every", "silent_at")
    named = ", ".join(column for column in columns if column not in own)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO sisy_task (label, success_every, silent_at, {named}) "
            "SELECT 'more ' || n, CASE WHEN n %% 2 = 0 THEN interval '1 day' END, "
            f"now() + interval '1 day', {named} "
            "FROM sisy_task, generate_series(1, %(count)s) AS n WHERE id = %(pk)s",
            {"count": count, "pk": task.pk},
        )
        cursor.execute("VACUUM ANALYZE")


class Rounds:
    """The rounds of a judge, each after something has happened."""

    def __init__(self) -> None:
        self._now = clock.now("default")
        self._worker = Process.join(Role.WORKER, using="default", now=self._now, lease=HOUR)
        self._judge = Judge("default")
        self._tasks = list(Task.objects.order_by("pk")[:FAILED])
        Task.objects.filter(pk__in=[task.pk for task in self._tasks]).update(
            overlap=Overlap.ALLOW, alert_after=None
        )
        self._judge.go_on(self._now, may_judge=True)
        while Alert.objects.open().exists() or self._judge.next_at is None:
            # What has failed in the ledger is told first, and is over when it succeeds.
            self._finish(RunState.SUCCEEDED)
            self._go_on()
            Alert.objects.close("benchmark", self._now)
        self.all: dict[str, Callable[[], None]] = {
            IDLE: lambda: None,
            f"{FAILED} runs failed": lambda: self._finish(RunState.FAILED),
            f"{FAILED} alerts are open": lambda: None,
            f"{FAILED} runs succeeded": lambda: self._finish(RunState.SUCCEEDED),
        }

    def costs(self) -> dict[str, Cost]:
        """Return what each kind of round costs, by the fastest of its repetitions."""
        statements = dict.fromkeys(self.all, 0)
        taken: dict[str, list[float]] = {name: [] for name in self.all}
        # Without problems first: afterwards, alerts are told, and told to be over.
        order = [IDLE] * TIMES + [name for name in self.all if name != IDLE] * TIMES
        for name in order:
            self.all[name]()
            with CaptureQueriesContext(connection) as queries:
                begun = ledger.cpu_time()
                self._go_on()
                taken[name].append(ledger.cpu_time() - begun)
            statements[name] = max(statements[name], len(queries))
        return {
            name: Cost(
                statements=statements[name],
                seconds=report.quantile(taken[name][1:], ledger.FASTEST),
            )
            for name in self.all
        }

    def _go_on(self) -> None:
        self._now += timedelta(minutes=1)
        self._judge.next_at = None
        self._judge.go_on(self._now, may_judge=True)

    def _finish(self, state: RunState) -> None:
        for task in self._tasks:
            task.run_now()
        begun: datetime = self._now
        runs = claim(self._worker, ["default"], FAILED, max(begun, clock.now("default")))
        error = "KeyError" if state == RunState.FAILED else ""
        ended = Outcome(state=state, started_at=begun, finished_at=begun, error_class=error)
        record("default", [(run, ended) for run in runs], begun)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alerts", description=__doc__)
    parser.add_argument("--tasks", type=int, action="append", help="how many; may be repeated")
    parser.add_argument("--runs", type=int, action="append", help="how many; may be repeated")
    given = parser.parse_args()
    sizes: tuple[tuple[int, int], ...] = SIZES
    if given.tasks or given.runs:
        every = given.runs or [SIZES[0][1]]
        sizes = tuple((tasks, runs) for tasks in given.tasks or [SIZES[0][0]] for runs in every)
    found = {size: measure(*size) for size in sizes}
    first = found[sizes[0]]
    rows, are_met = [], True
    for (tasks, runs), costs in found.items():
        for name, cost in costs.items():
            ratio = cost.seconds / first[name].seconds
            is_met = cost.statements <= first[name].statements and ratio <= MAX_SLOWDOWN
            are_met &= is_met
            rows.append(
                [
                    f"{tasks:,}",
                    f"{runs:,}",
                    name,
                    str(cost.statements),
                    report.milliseconds(cost.seconds),
                    f"{ratio:.2f}",
                    report.verdict(is_met),
                ]
            )
    idle = max(costs[IDLE].statements for costs in found.values())
    are_met &= idle <= MAX_IDLE_STATEMENTS
    report.show(
        "ALERTS: whether judging problems costs more on a larger site",
        f"CPU time of a round in ms, the fastest quarter of {TIMES - 1} repetitions, and as a "
        "multiple of the smallest site's.",
        report.table(["tasks", "runs", "round", "statements", "CPU", "ratio", "bar"], rows),
        f"Bars: no more statements and at most {MAX_SLOWDOWN:g} times the CPU time of the "
        f"smallest site;\nat most {MAX_IDLE_STATEMENTS} statements if nothing is wrong.",
        module="benchmarks.alerts",
    )
    kept = {
        f"{tasks} tasks, {runs} runs": {name: asdict(cost) for name, cost in costs.items()}
        for (tasks, runs), costs in found.items()
    }
    report.keep("alerts", kept)
    return report.judged(are_met)


if __name__ == "__main__":
    sys.exit(main())
