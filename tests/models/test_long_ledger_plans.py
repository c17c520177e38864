"""No statement reads the whole ledger, whatever the small tables hold and the planner expects.

A database chooses a plan by its statistics. With no queued runs, or with very many, another plan
may seem cheaper, and be a thousand times slower: ``state = 'running'`` once had that effect.
"""

import pytest
from django.db import transaction

from sisy.engines import dispatch, execute
from sisy.heartbeat import clock_rollback, quarantine, rescue, retention, timing_check
from sisy.heartbeat.entry_check import EntryCheck
from sisy.heartbeat.outlook import became_ready, look
from sisy.heartbeat.tick import first_ready, tick
from sisy.lifecycle.release import release
from sisy.models import Process, QueuedRun, Run, RunningRun, Task
from sisy.reports.ledger import listed
from sisy.worker.claim import claim, claim_one
from sisy.worker.low_water import LowWaterMarks
from tests.roles.steps import finish
from tests.support.long_ledger import reading, shown, store
from tests.support.moments import DAY, HOUR, NOON, SECOND

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

FINISHED = 40_000
MAX_ROWS = 36_000  # rows that a statement reads: fewer than the ledger has, more than small tables

MANY_TASKS = 3000

LEDGERS = {"nothing queued": (0, 0), "many queued": (4000, 0), "many running": (200, 200)}
"""How many runs are queued, and how many are running."""

OF_ALL_QUEUED = {f"query sets: {name}" for name in ("queued", "surely queued", "ready")}


def task():
    return Task.objects.order_by("pk")[5]


def process():
    return Process.objects.order_by("pk")[0]


def a_run(entries=QueuedRun):
    """Return a queued or running run, or else one that has finished."""
    entry = entries.objects.order_by("-run_id").first()
    return Run.objects.get(pk=entry.run_id) if entry else Run.objects.order_by("-pk").first()


def rescue_all():
    Process.objects.filter(pk=process().pk).update(end_reason="killed")
    rescue.rescue_lost("default", NOON)


def rescue_all_orphans():
    process().delete()
    rescue.rescue_orphans("default", NOON)


def work():
    for run in (runs := claim(process(), ["default"], 100, NOON)):
        finish(run, NOON)
    return runs


def release_some():
    release("default", claim(process(), ["default"], 10, NOON), "Stopped.", NOON)


def set_clock_back():
    clock_rollback.repair("default", NOON - DAY)


def check_entries():
    check = EntryCheck("default")
    for _ in range(2):
        check.go_on(NOON)


def reject():
    quarantine.reject_unreadable_rows("default", NOON)


def engines():
    run = a_run()
    dispatch.dispatch("default", NOON)
    dispatch.refuse_unknown("default", NOON)
    execute._send_others("default", run)
    execute._send_again("default", run.pk)
    claim_one(process(), run.pk, NOON)


def watch_cancellations():
    pks = list(RunningRun.objects.values_list("run_id", flat=True)[:100])
    runs = list(Run.objects.filter(pk__in=pks))
    list(Run.objects.held(runs).exclude(cancel_requested_at=None))


def prune():
    retention.prune_history("default", NOON + 25 * DAY)


def prune_surplus():
    Task.objects.filter(pk__lt=task().pk + 5).update(history_runs=100, runs_planned=5000)
    timing_check.Audit("default").go_on(NOON, timing_check.ENDLESS)


HEARTBEAT = {
    "look": lambda: look(process(), "default", NOON - SECOND),
    "became ready": lambda: became_ready("default", NOON - HOUR, NOON),
    "first ready": lambda: first_ready("default", NOON),
    "tick": lambda: tick("default", NOON),
    "rescue": rescue_all,
    "orphans": rescue_all_orphans,
    "clock": set_clock_back,
    "entries": check_entries,
    "unreadable": reject,
    "prune": prune,
    "prune surplus": prune_surplus,
    "delete ended": lambda: retention.delete_ended("default"),
}
WORKER = {
    "claim and record": work,
    "renew marks": lambda: LowWaterMarks("default").renew(["default"], NOON),
    "release": release_some,
    "unconfirmed": lambda: list(Run.objects.running_in(process().pk)),
    "cancellations": watch_cancellations,
    "engines": engines,
}
VERBS = {
    "cancel one": lambda: a_run().cancel(),
    "cancel a running one": lambda: a_run(RunningRun).cancel(),
    "cancel queued of a task": lambda: task().cancel_queued(),
    "cancel runs of a task": lambda: task().cancel_runs(),
    "delete a task": lambda: task().delete(),
    "delete tasks": lambda: Task.objects.filter(pk__lte=task().pk).delete(),
    "save a run": lambda: a_run().save(),
    "run now": lambda: task().run_now(),
    "pause": lambda: task().pause(),
    "update tasks": lambda: Task.objects.filter(pk=task().pk).update(schedule="0 0 1 2 *"),
}
QUERY_SETS = {
    "queued": lambda: Run.objects.queued().count(),
    "queued of a task": lambda: list(Run.objects.queued().filter(task=task())[:100]),
    "newest queued": lambda: list(Run.objects.queued()[:10]),
    "running": lambda: Run.objects.running().count(),
    "running of a task": lambda: list(Run.objects.running().filter(task=task())),
    "newest running": lambda: list(Run.objects.running()[:10]),
    "live": lambda: Run.objects.live().count(),
    "any live": lambda: Run.objects.live().exists(),
    "newest live": lambda: list(Run.objects.live()[:10]),
    "live of a task": lambda: list(Run.objects.live().filter(task=task())),
    "live of tasks": lambda: Run.objects.live_of([task().pk]).count(),
    "possibly running": lambda: Run.objects.possibly_running(NOON).count(),
    "surely queued": lambda: Run.objects.surely_queued(NOON).count(),
    "ready": lambda: list(Run.objects.ready(NOON)[:10]),
    "cancel all": lambda: Run.objects.cancel("Cancelled.", NOON),
    "cancel by queue": lambda: Run.objects.filter(queue="other").cancel("Cancelled.", NOON),
}


STEPS = {
    f"{area}: {name}": step
    for area, steps in {
        "heartbeat": HEARTBEAT,
        "worker": WORKER,
        "verbs": VERBS,
        "query sets": QUERY_SETS,
    }.items()
    for name, step in steps.items()
}


@pytest.fixture(autouse=True)
def few_unreadable(monkeypatch):
    monkeypatch.setattr(quarantine, "UNREADABLE_BATCH", 20)  # each of them is read by itself


@pytest.mark.parametrize("ledger", LEDGERS)
def test_no_statement_reads_the_whole_ledger(ledger):
    queued, running = LEDGERS[ledger]
    store(FINISHED, queued, running)
    found = {}
    for name, step in STEPS.items():
        # One that finds every tenth run may read the whole ledger.
        if ledger == "many queued" and name in OF_ALL_QUEUED:
            continue
        with transaction.atomic():
            with reading() as reads:
                step()
            transaction.set_rollback(True)
        if above := reads.above(MAX_ROWS):
            found[name] = above
    assert not found, shown(found)


def test_a_list_of_few_runs_does_not_read_the_keys_of_all_tasks():
    path = "tests.app.jobs.noop"
    Task.objects.bulk_create(Task(label=f"task {n}", target_path=path) for n in range(MANY_TASKS))
    store(FINISHED)
    with reading() as reads:
        assert len(listed("default").order_by("-pk")[:12]) == 12
    assert not (above := reads.above(MANY_TASKS)), shown({"list": above})
