"""The migration to the small tables, made while runs are queued, running and finished."""

from importlib import import_module

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from sisy.heartbeat import tick
from sisy.models import (
    Process,
    QueuedRun,
    Role,
    Run,
    RunningRun,
    RunState,
    TroubledRun,
    task_with_callable,
)
from sisy.records.choices import TROUBLE_STATES
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.steps import LEASE, finish
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import worker
from tests.support.small_tables import disagreements

BEFORE, MIGRATION = "0001_initial", "0002_live_runs"
SMALL_TABLES = {model._meta.db_table for model in (QueuedRun, RunningRun, TroubledRun)}
OLD_INDEXES = {
    "sisy_run_claim",
    "sisy_run_ready",
    "sisy_run_held",
    "sisy_run_live",
    "sisy_run_trouble",
    "sisy_run_finished",
}

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def migrate(name):
    """Migrate Sisy, and return its models as they were then."""
    executor = MigrationExecutor(connection)
    executor.migrate([("sisy", name)])
    return executor.loader.project_state([("sisy", name)]).apps


def newest():
    """Return the name of the newest migration, whose schema the models of the tests need."""
    [(_, name)] = MigrationExecutor(connection).loader.graph.leaf_nodes("sisy")
    return name


@pytest.fixture
def old_models(transactional_db):
    """Go back to the schema before the small tables, and return its models."""
    yield migrate(BEFORE)
    migrate(newest())


def constraints():
    with connection.cursor() as cursor:
        return connection.introspection.get_constraints(cursor, Run._meta.db_table)


def tables():
    return set(connection.introspection.table_names())


class Ledger:
    """Tasks and runs of all kinds, stored by the models of an old schema."""

    def __init__(self, models):
        self._models = models
        begin = NOON - HOUR
        self.dead = Process(
            role=Role.WORKER, host="web-1", pid=1, started_at=begin, lease_until=begin + LEASE
        )
        self.dead.pk = self._insert(self.dead)

    def store(self, state, on=None, planned_at=NOON - MINUTE, **fields):
        """Store a task with a run in a state, and return the key of the run."""
        task = on or self.task(**fields.pop("task", {}))
        return self._insert(task.new_run(now=planned_at, state=state, **fields))

    def task(self, **fields):
        task = task_with_callable(
            jobs.noop, **{"schedule": "0 0 1 1 *", "timezone": "UTC", **fields}
        )
        task.pk = self._insert(task)
        return task

    def _insert(self, record):
        """Store a record with the columns that it had in the old schema, and return its key."""
        model = self._models.get_model("sisy", type(record).__name__)
        names = [field.attname for field in model._meta.fields if not field.primary_key]
        return model.objects.create(**{name: getattr(record, name) for name in names}).pk

    def ended(self, state):
        return self.store(state, started_at=NOON - MINUTE, finished_at=NOON, attempt=1)

    def running(self):
        started = NOON - HOUR
        return self.store(RunState.RUNNING, process=self.dead, started_at=started, attempt=1)


def entries(model):
    return set(model.objects.values_list("run_id", flat=True))


def test_queued_runs_get_entries_with_all_that_claims_read(old_models):
    ledger = Ledger(old_models)
    plain = ledger.store(RunState.QUEUED)
    delayed = ledger.store(RunState.QUEUED, ready_at=NOON + HOUR)
    urgent = ledger.store(RunState.QUEUED, priority=7, queue="mails")
    foreign = ledger.store(RunState.QUEUED, engine="celery")
    migrate(newest())
    assert disagreements() == []
    columns = ("run_id", "engine", "queue", "priority", "is_delayed")
    assert list(QueuedRun.objects.order_by("run_id").values_list(*columns)) == [
        (plain, "", "default", 0, False),
        (delayed, "", "default", 0, True),
        (urgent, "", "mails", 7, False),
        (foreign, "celery", "default", 0, False),
    ]


def test_a_worker_claims_and_finishes_what_was_queued(old_models):
    ledger = Ledger(old_models)
    low = ledger.store(RunState.QUEUED, priority=-1)
    high = ledger.store(RunState.QUEUED, priority=5)
    other = ledger.store(RunState.QUEUED, queue="mails")
    foreign = ledger.store(RunState.QUEUED, engine="celery")
    delayed = ledger.store(RunState.QUEUED, ready_at=NOON + HOUR)
    migrate(newest())
    me = worker()
    first = claim(me, ["default", "mails"], 1, NOON)
    rest = claim(me, ["default", "mails"], 9, NOON)
    assert [run.pk for run in first] == [high]
    assert {run.pk for run in rest} == {low, other}
    [late] = claim(me, ["default"], 9, NOON + HOUR)
    assert late.pk == delayed
    for run in [*first, *rest, late]:
        finish(run, NOON + HOUR)
    assert entries(QueuedRun) == {foreign}
    assert entries(RunningRun) == set()
    assert Run.objects.filter(state=RunState.SUCCEEDED).count() == 4


def test_a_heartbeat_rescues_what_was_running_under_a_dead_lease(old_models):
    lost = Ledger(old_models).running()
    migrate(newest())
    assert entries(RunningRun) == {lost}
    assert tick("default", NOON).rescued == 1
    [run] = claim(worker(), ["default"], 9, NOON)
    assert (run.pk, run.attempt, run.times_lost) == (lost, 2, 1)


def test_runs_that_ended_badly_are_found_and_succeeded_ones_cost_nothing(old_models):
    ledger = Ledger(old_models)
    ledger.ended(RunState.SUCCEEDED)
    badly = {state: ledger.ended(state) for state in TROUBLE_STATES}
    migrate(newest())
    found = TroubledRun.objects.values_list("state", "run_id", "finished_at")
    assert set(found) == {(state, run, NOON) for state, run in badly.items()}
    assert disagreements() == []


def test_runs_whose_task_was_deleted_are_moved_as_well(old_models):
    ledger = Ledger(old_models)
    task = ledger.task()
    run = ledger.store(RunState.QUEUED, on=task)
    old_models.get_model("sisy", "Task").objects.filter(pk=task.pk).delete()
    migrate(newest())
    assert entries(QueuedRun) == {run}
    assert claim(worker(), ["default"], 9, NOON) == []
    assert Run.objects.get(pk=run).state == RunState.CANCELLED


def test_the_ledger_has_its_indexes_back_after_a_step_back(old_models):
    ledger = Ledger(old_models)
    queued, running = ledger.store(RunState.QUEUED), ledger.running()
    before = constraints()
    assert before.keys() >= OLD_INDEXES
    migrate(newest())
    assert not constraints().keys() & OLD_INDEXES
    assert tables() >= SMALL_TABLES
    migrate(BEFORE)
    assert not tables() & SMALL_TABLES
    assert constraints() == before
    states = old_models.get_model("sisy", "Run").objects.values_list("pk", "state")
    assert set(states) == {(queued, RunState.QUEUED), (running, RunState.RUNNING)}


def test_an_occurrence_still_has_one_row_at_most(old_models):
    ledger = Ledger(old_models)
    task = ledger.task()
    ledger.store(RunState.QUEUED, on=task, due_at=NOON)
    for each in (1, 2):  # runs without a due moment
        ledger.store(RunState.QUEUED, on=task, planned_at=NOON + each * SECOND)
    migrate(newest())
    found = constraints()["sisy_run_one_row_per_occurrence"]
    assert (found["columns"], found["unique"]) == (["task_id", "due_at"], True)


def fail_at(operation, monkeypatch):
    """Make an operation of the migration fail after it has changed the database."""
    real = operation.database_forwards

    def and_fail(*args):
        real(*args)
        raise RuntimeError("the power failed")

    monkeypatch.setattr(operation, "database_forwards", and_fail)


OPERATIONS = import_module(f"sisy.migrations.{MIGRATION}").Migration.operations


def test_a_migration_that_fails_after_any_of_its_operations_can_be_repeated(
    old_models, monkeypatch
):
    ledger = Ledger(old_models)
    queued, running = ledger.store(RunState.QUEUED), ledger.running()
    # Each attempt finds what the one before it has left, and gets one operation further.
    for operation in OPERATIONS:
        with monkeypatch.context() as patch:
            fail_at(operation, patch)
            with pytest.raises(RuntimeError, match="power"):
                migrate(MIGRATION)
    migrate(newest())
    assert (entries(QueuedRun), entries(RunningRun)) == ({queued}, {running})
    assert not constraints().keys() & OLD_INDEXES
    assert disagreements() == []
