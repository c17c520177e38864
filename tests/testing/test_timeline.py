"""A test of a project: time is set, and what falls due meanwhile runs in it."""

from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from sisy import current_run
from sisy.models import Process, Queue, Run, RunState, Task, task_with_callable
from sisy.testing import assert_ran, sisy_time
from tests.app import jobs
from tests.app.models import Execution

pytestmark = pytest.mark.django_db

NIGHT = "2026-03-29 00:00"


@pytest.fixture
def berlin():
    with sisy_time(NIGHT, "Europe/Berlin") as time:
        yield time


def scheduled(schedule="0 * * * *", fn=jobs.noop, **fields):
    task = task_with_callable(fn, schedule=schedule, **{"timezone": "Europe/Berlin", **fields})
    task.save()
    return task


def local(runs):
    from zoneinfo import ZoneInfo

    return [f"{run.due_at.astimezone(ZoneInfo('Europe/Berlin')):%H:%M}" for run in runs]


def test_advancing_time_runs_exactly_the_due_occurrences(berlin):
    scheduled("30 * * * *")
    assert local(berlin.advance(hours=6)) == ["00:30", "01:30", "03:30", "04:30", "05:30", "06:30"]
    assert {run.state for run in Run.objects.all()} == {RunState.SUCCEEDED}
    assert {run.lateness for run in Run.objects.all()} == {timedelta(0)}


def test_time_does_not_pass_until_it_is_advanced(berlin):
    task = scheduled("0 1 * * *")
    assert berlin.now == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert task.next_run == datetime(2026, 3, 29, 0, tzinfo=UTC)
    assert berlin.advance(minutes=59, seconds=59) == []
    assert len(berlin.advance(timedelta(seconds=1))) == 1
    assert berlin.advance(hours=22, minutes=59) == []  # the next one is a day of 23 hours away


def test_functions_share_the_transaction_of_the_test(berlin):
    scheduled(fn=jobs.count_in_userdata)
    scheduled(fn=jobs.record)
    berlin.advance(hours=3)
    assert Task.objects.get(target_path="tests.app.jobs.count_in_userdata").userdata == {"n": 3}
    assert Execution.objects.count() == 3


def test_async_functions_run_too_and_see_the_same_database(berlin):
    scheduled(fn=jobs.arecord)
    berlin.advance(hours=2)
    assert Execution.objects.count() == 2


def test_a_retry_runs_at_its_time(berlin):
    scheduled("0 1 * * *", jobs.fails, max_attempts=3, retry_delay=timedelta(minutes=10))
    berlin.advance(hours=1)
    run = Run.objects.get()
    assert (run.state, run.attempt) == (RunState.QUEUED, 1)
    [ended] = {run.pk for run in berlin.advance(hours=1)}
    run = Run.objects.get(pk=ended)
    assert (run.state, run.attempt, run.reason) == (
        RunState.FAILED,
        3,
        "RuntimeError: it was to be expected",
    )


def test_runs_submitted_in_the_block_run_at_once_or_at_their_moment(berlin):
    Task.run_once(jobs.noop)
    Task.run_once(jobs.record, delay_until=berlin.now + timedelta(days=3))
    assert len(berlin.run_due()) == 1
    assert berlin.advance(days=2) == []
    assert len(berlin.advance(days=2)) == 1
    assert not Task.objects.exists()


def test_a_function_that_submits_itself_endlessly_is_detected(berlin, monkeypatch):
    monkeypatch.setattr("sisy.testing.timeline.MAX_RUNS_AT_ONE_MOMENT", 20)
    Task.run_once(begets)
    with pytest.raises(RuntimeError, match="Do they submit each other"):
        berlin.run_due()


def begets(message):
    Task.run_once(begets)


def test_iterations_and_windows_end_tasks(berlin):
    scheduled("* * * * *", iterations=5)
    scheduled("0 * * * *", fn=jobs.record, end_running=berlin.now + timedelta(hours=3))
    berlin.advance(days=1)
    assert_ran(jobs.noop, 5)
    assert_ran(jobs.record, 2)
    assert not Task.objects.exists()


def test_a_function_knows_its_run(berlin):
    scheduled(fn=tells_its_due_moment)
    [run] = berlin.advance(hours=1)
    assert run.result == "2026-03-29T00:00:00+00:00"


def tells_its_due_moment(message):
    return current_run().due_at.isoformat()


def test_a_paused_task_does_not_run_and_is_not_caught_up(berlin):
    task = scheduled()
    task.pause()
    assert berlin.advance(days=1) == []
    task.resume()
    assert len(berlin.advance(hours=2)) == 2


def test_a_pause_ends_at_its_moment(berlin):
    task, end = scheduled(), berlin.now + timedelta(hours=3)
    task.pause(until=end)
    assert [run.due_at for run in berlin.advance(hours=4)] == [end, end + timedelta(hours=1)]
    Queue.objects.pause("default", until=berlin.now + timedelta(minutes=90))
    assert berlin.advance(hours=1) == []
    assert len(berlin.advance(hours=1)) == 2
    assert not Queue.objects.paused().exists()
    assert set(Run.objects.values_list("state", flat=True)) == {RunState.SUCCEEDED}


@pytest.mark.parametrize("span", [{"hours": 0}, {"hours": -1}])
def test_time_only_goes_forward(berlin, span):
    with pytest.raises(ValueError, match="Time only moves forward"):
        berlin.advance(**span)
    with pytest.raises(ValueError, match="is before"):
        berlin.advance_to(berlin.now - timedelta(seconds=1))
    with pytest.raises(ValueError, match="aware"):
        berlin.advance_to(datetime(2030, 1, 1))


def test_the_real_clock_is_restored_afterwards():
    with sisy_time(NIGHT) as time:
        scheduled()
        time.advance(hours=1)
        assert Process.objects.exists()
    assert not Process.objects.exists()
    task = scheduled()
    assert task.next_run > datetime(2026, 4, 1, tzinfo=UTC)


@pytest.mark.django_db(transaction=True)
async def test_async_tests_advance_time_too():
    async with sisy_time(NIGHT, UTC) as time:
        await task_with_callable(jobs.arecord, schedule="0 * * * *", timezone="UTC").asave()
        assert len(await time.aadvance(hours=2)) == 2
        assert await Execution.objects.acount() == 2
    assert not await Process.objects.aexists()
    await sync_to_async(connections.close_all)()  # of the thread of async callers
