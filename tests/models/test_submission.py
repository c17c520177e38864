# ruff: noqa: E501 - messages are asserted whole
"""Tasks that save themselves: run some times, run once, run now."""

from datetime import datetime

import pytest
from django.db import connection, transaction
from django.db.models.signals import post_save

from sisy import signals
from sisy.exceptions import CallableError, ScheduleError
from sisy.heartbeat import tick
from sisy.models import Origin, Run, RunState, Task, TaskState, task_with_callable
from sisy.worker.claim import claim
from tests.app import jobs
from tests.app.models import Counter
from tests.roles.steps import finish
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def rung():
    """Return the list of runs for which the doorbell was rung."""
    heard = []

    def listen(*, runs, **kwargs):
        heard.extend(runs)

    signals.runs_queued.connect(listen)
    yield heard
    signals.runs_queued.disconnect(listen)


def test_run_iterations_runs_ten_times_every_second_by_default():
    task = Task.run_iterations(jobs.noop)
    kept = Task.objects.get()
    assert (kept.label, kept.schedule) == ("tests.app.jobs.noop", "* * * * * *")
    assert (kept.iterations, kept.userdata) == (10, {})
    assert task.next_run == kept.next_run == NOON + SECOND


def test_run_iterations_accepts_all_documented_arguments():
    counter = Counter.objects.create()
    Task.run_iterations(
        counter.tick,
        iterations=3,
        label="thrice",
        schedule="0 * * * *",
        userdata={"a": 1},
        run_immediately=True,
        delay_until=NOON + 90 * MINUTE,
    )
    task = Task.objects.get()
    assert (task.target_path, task.target_pk) == ("tests.app.models.Counter.tick", str(counter.pk))
    assert (task.iterations, task.label, task.schedule) == (3, "thrice", "0 * * * *")
    assert (task.userdata, task.start_running) == ({"a": 1}, NOON + 90 * MINUTE)
    assert task.next_run == NOON + 90 * MINUTE


def test_run_iterations_takes_its_first_three_arguments_by_position_too():
    task = Task.run_iterations("tests.app.jobs.noop", 2, "twice", "0 * * * *")
    assert (task.iterations, task.label, task.schedule) == (2, "twice", "0 * * * *")


def test_run_iterations_after_a_delay_waits_for_its_schedule():
    assert Task.run_iterations(
        jobs.noop, schedule="0 * * * *", delay_until=NOON + 90 * MINUTE
    ).next_run == (NOON + 2 * HOUR)


def test_run_iterations_immediately_starts_now():
    Task.run_iterations(jobs.noop, schedule="0 * * * *", run_immediately=True)
    tick("default", NOON)
    assert Run.objects.get().due_at == NOON


def test_run_iterations_rejects_a_schedule_that_cannot_be_read():
    with pytest.raises(ScheduleError):
        Task.run_iterations(jobs.noop, schedule="61 * * * *")
    assert not Task.objects.exists()


@pytest.mark.parametrize("make", [Task.run_iterations, Task.run_once])
def test_a_naive_delay_is_rejected_with_the_fix(make):
    with pytest.raises(ValueError) as caught:
        make(jobs.noop, delay_until=datetime(2026, 5, 6))
    assert str(caught.value) == (
        "delay_until must be an aware datetime, but datetime.datetime(2026, 5, 6, 0, 0) has no time zone. "
        "Use django.utils.timezone.make_aware(delay_until), or pass a tzinfo."
    )
    assert not Task.objects.exists()


@pytest.mark.parametrize("make", [Task.run_iterations, Task.run_once])
def test_a_delay_into_the_past_is_rejected_with_its_distance(make):
    with pytest.raises(ValueError) as caught:
        make(jobs.noop, delay_until=NOON - HOUR)
    assert "2026-05-05T11:00:00+00:00 was 1 h ago" in str(caught.value)
    assert not Task.objects.exists()


def test_a_delay_that_is_not_a_datetime_is_rejected():
    with pytest.raises(ValueError, match=r"^delay_until must be a datetime, not '2026-05-06'\.$"):
        Task.run_once(jobs.noop, delay_until="2026-05-06")


def test_a_delay_of_zero_is_not_in_the_past():
    Task.run_once(jobs.noop, delay_until=NOON)
    assert Run.objects.get().ready_at == NOON


@pytest.mark.parametrize("target", [jobs.noop, "tests.app.jobs.noop"])
def test_run_once_submits_one_run_without_a_schedule(target):
    task = Task.run_once(target, userdata={"text": "hello"})
    run = Run.objects.get()
    assert (run.task, run.origin, run.state) == (task, Origin.ONCE, RunState.QUEUED)
    assert (run.due_at, run.ready_at, run.payload) == (None, NOON, {"text": "hello"})
    task.refresh_from_db()
    assert (task.state, task.schedule, task.next_run) == (TaskState.RETIRED, "", None)
    assert task.userdata == {"text": "hello"}
    tick("default", NOON + DAY)
    assert Run.objects.count() == 1


def test_bulk_run_once_submits_a_run_of_one_task_for_each_of_the_data(
    rung, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        task = Task.bulk_run_once(jobs.noop, [{"n": n} for n in range(3)], NOON + HOUR)
    runs = list(Run.objects.order_by("pk"))
    assert [run.payload for run in runs] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert {(run.task, run.origin, run.ready_at) for run in runs} == {
        (task, Origin.ONCE, NOON + HOUR)
    }
    assert (Task.objects.get().state, task.counts()) == (TaskState.RETIRED, {"queued": 3})
    assert rung == runs


def test_each_run_of_many_sees_its_own_data_and_the_last_one_ends_the_task():
    Task.bulk_run_once(jobs.noop, [{"n": 0}, {"n": 1}])
    for n in (0, 1):
        [run] = claim(worker(), ["default"], 1, NOON)
        assert run.task.userdata == {"n": n}
        assert not run.task.changed_columns() - {"_extra_data"}
        assert Task.objects.exists()
        finish(run, NOON)
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "userdata is empty. Pass one dict for each run."),
        ([{}, {1}], "userdata[1] must be a dict, not set."),
        ([{"a": float("inf")}], "userdata[0] must be serializable as JSON: Out of range float"),
    ],
)
def test_bulk_run_once_submits_all_or_nothing(data, message):
    with pytest.raises(ValueError) as caught:
        Task.bulk_run_once(jobs.noop, data)
    assert str(caught.value).startswith(message)
    assert not Task.objects.exists()


def test_run_once_of_an_objects_method_names_the_object():
    counter = Counter.objects.create()
    Task.run_once(counter.tick)
    assert Run.objects.get().target.resolve().__self__ == counter


def test_run_once_after_a_delay_is_not_ready_before():
    Task.run_once(jobs.noop, delay_until=NOON + HOUR)
    assert not Run.objects.ready(NOON + HOUR - SECOND)
    assert Run.objects.ready(NOON + HOUR).count() == 1


def columns_of(record):
    return {
        field.name: getattr(record, field.attname)
        for field in record._meta.concrete_fields
        if field.name not in {"id", "task"}
    }


@pytest.fixture
def saved():
    """Return the list of tasks of which Django told that they are saved."""
    heard = []

    def listen(*, instance, **kwargs):
        heard.append(instance)

    post_save.connect(listen, Task)
    yield heard
    post_save.disconnect(listen, Task)


def test_post_save_receivers_are_called_for_tasks_that_run_once(saved):
    assert saved == [Task.run_once(jobs.noop)]


def test_one_statement_stores_the_same_as_save(request):
    data = {"a": [1, None, "é"]}
    brief = Task.run_once(jobs.noop, data, NOON + HOUR)
    request.getfixturevalue("saved")
    task = Task.run_once(jobs.noop, data, NOON + HOUR)
    runs = Run.objects.order_by("pk")
    assert [run.task for run in runs] == [brief, task]
    assert columns_of(runs[0]) == columns_of(runs[1])
    stored = Task.objects.order_by("pk")
    assert columns_of(stored[0]) == columns_of(stored[1]) == columns_of(brief)
    assert brief.pk == stored[0].pk
    brief.label = "changed"
    assert brief.changed_columns() >= {"label"}
    brief.save()
    assert Task.objects.get(pk=brief.pk).label == "changed"


@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="runs on PostgreSQL: make test-postgres"
)
def test_run_once_takes_one_statement(django_assert_num_queries):
    with django_assert_num_queries(1):
        Task.run_once(jobs.noop)


def test_a_rejected_run_once_stores_nothing():
    for wrong in ({"userdata": {1, 2}}, {"userdata": {"a": float("nan")}}):
        with pytest.raises(ValueError, match=r"^userdata must "):
            Task.run_once(jobs.noop, **wrong)
    with pytest.raises(CallableError):
        Task.run_once(jobs.two_parameters)
    assert not Task.objects.exists()
    assert not Run.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_run_once_commits_with_the_callers_transaction(rung):
    with transaction.atomic():
        Task.run_once(jobs.noop)
        assert rung == []
    assert rung == [Run.objects.get()]


@pytest.mark.django_db(transaction=True)
def test_run_once_is_rolled_back_with_the_callers_transaction(rung):
    with transaction.atomic():
        Task.run_once(jobs.noop)
        transaction.set_rollback(True)
    assert (rung, Task.objects.count(), Run.objects.count()) == ([], 0, 0)


@pytest.mark.django_db(transaction=True)
def test_a_failing_receiver_does_not_prevent_the_others(rung):
    def fails(**kwargs):
        raise RuntimeError

    signals.runs_queued.connect(fails)
    try:
        Task.run_once(jobs.noop)
    finally:
        signals.runs_queued.disconnect(fails)
    assert len(rung) == 1


@pytest.mark.django_db(transaction=True)
def test_run_now_does_not_change_the_schedule(rung):
    task = task_with_callable(jobs.noop, userdata={"a": 1}, queue="slow", priority=3)
    task.save()
    run = task.run_now()
    assert (run.origin, run.state, run.due_at) == (Origin.MANUAL, RunState.QUEUED, None)
    assert (run.queue, run.priority, run.payload) == ("slow", 3, {"a": 1})
    assert rung == [run]
    task.refresh_from_db()
    assert (task.next_run, task.planned_until, task.runs_planned) == (NOON + MINUTE, None, 0)
