"""A clock that was set: no burst, no silence, no double, by the rules of Debian's cron(8)."""

import pytest
from django.db import connection

from sisy.heartbeat import Heartbeat, tick
from sisy.heartbeat.clock_rollback import SET_BACK, repair
from sisy.models import Missed, Run, RunState, Task, TaskState
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.steps import finish
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clocks")]


def tick_through(start, end, step=MINUTE):
    """Tick from ``start`` to ``end``, and carry out at once what is planned.

    Nothing may fall due between two steps.
    """
    now = start
    while now <= end:
        tick("default", now, judges_leases=False)
        for run in claim(worker(now), ["default"], 100, now):
            finish(run, now)
        now += step


def dues(task):
    return list(task.runs.order_by("pk").values_list("due_at", flat=True))


def minutes(start, count):
    return [start + n * MINUTE for n in range(count)]


def test_a_wildcard_task_follows_the_new_time_each_occurrence_once(caplog):
    """It would be silent for an hour."""
    task = scheduled("*/10 * * * *")
    tick_through(NOON, NOON + HOUR, 5 * MINUTE)
    back = NOON + 5 * MINUTE
    repair("default", back)
    assert "set back by at least 54 min 58 s; rescheduled 1 task" in caplog.text
    tick_through(back, NOON + HOUR + 30 * MINUTE, 5 * MINUTE)
    moments = [NOON + n * 10 * MINUTE for n in range(1, 10)]
    assert dues(task) == [None] * 6 + moments
    stood_for = (
        task.runs.filter(due_at=None).order_by("pk").values_list("occurrence_at", flat=True)
    )
    assert list(stood_for) == moments[:6]
    assert set(task.runs.values_list("state", flat=True)) == {RunState.SUCCEEDED}
    assert set(task.runs.filter(due_at=None).values_list("reason", flat=True)) == {SET_BACK}


def test_a_fixed_time_task_waits_until_a_clock_set_back_has_caught_up():
    """The occurrence that already ran does not run again."""
    task = scheduled("30 12 * * *")
    tick_through(NOON, NOON + HOUR, 10 * MINUTE)
    back = NOON - HOUR
    repair("default", back)
    tick_through(back, NOON + HOUR, 10 * MINUTE)
    tick_through(NOON + DAY, NOON + DAY + HOUR, 10 * MINUTE)
    assert dues(task) == [NOON + 30 * MINUTE, NOON + DAY + 30 * MINUTE]


def test_a_correction_of_more_than_three_hours_counts_at_once_for_all():
    task = scheduled("30 12 * * *")
    tick_through(NOON, NOON + HOUR, 10 * MINUTE)
    back = NOON - 5 * HOUR
    repair("default", back)
    tick_through(back, NOON + HOUR, 10 * MINUTE)
    half_past = NOON + 30 * MINUTE
    assert dues(task) == [None, half_past]
    assert list(task.runs.values_list("occurrence_at", flat=True)) == [None, half_past]


def test_a_clock_that_was_years_ahead_silences_no_task_for_years():
    tasks = [scheduled(schedule) for schedule in ("* * * * *", "0 3 * * *")]
    tick_through(NOON + 900 * DAY, NOON + 900 * DAY + MINUTE)
    repair("default", NOON)
    next_runs = [Task.objects.get(pk=task.pk).next_run for task in tasks]
    assert next_runs == [NOON + MINUTE, NOON + 15 * HOUR]


def test_many_heartbeats_repair_it_once():
    task = scheduled()
    tick_through(NOON, NOON + HOUR)
    back = NOON + 30 * MINUTE
    for _ in range(3):
        repair("default", back)
    rows = list(Run.objects.order_by("pk").values())
    tick_through(back, back + 2 * MINUTE)
    repair("default", back + 2 * MINUTE)
    assert list(Run.objects.order_by("pk").values())[: len(rows)] == rows
    assert dues(task)[-2:] == minutes(back + MINUTE, 2)


def test_after_a_clock_rollback_a_queued_run_is_ready_immediately():
    """Its occurrence is planned again when the clock reaches it."""
    task = scheduled()
    tick("default", NOON + MINUTE)
    back = NOON - HOUR
    repair("default", back)
    [run] = claim(worker(back), ["default"], 9, back)
    assert (run.due_at, run.occurrence_at) == (None, NOON + MINUTE)
    tick_through(NOON, NOON + MINUTE)
    assert NOON + MINUTE in dues(task)


def test_a_fixed_time_run_that_waited_is_ready_at_once_and_keeps_its_moment():
    scheduled("1 12 * * *")
    tick("default", NOON + MINUTE)
    back = NOON - HOUR
    repair("default", back)
    [run] = claim(worker(back), ["default"], 9, back)
    assert (run.due_at, run.occurrence_at) == (NOON + MINUTE, None)


def test_a_manual_run_starts_now_and_a_delayed_one_at_its_moment(clocks):
    at_once = Run.objects.get(task=Task.run_once(jobs.noop))
    at_one = Run.objects.get(task=Task.run_once(jobs.noop, delay_until=NOON + HOUR))
    back = NOON - HOUR
    repair("default", back)
    assert [run.pk for run in claim(worker(back), ["default"], 9, back)] == [at_once.pk]
    at_one.refresh_from_db()
    assert at_one.ready_at == NOON + HOUR


def test_a_retry_waits_no_longer_than_its_longest_delay():
    scheduled(max_attempts=3, retry_delay=MINUTE, retry_max_delay=10 * MINUTE)
    tick("default", NOON + MINUTE)
    [run] = claim(worker(NOON + MINUTE), ["default"], 9, NOON + MINUTE)
    finish(run, NOON + MINUTE, state=RunState.FAILED)
    Run.objects.update(planned_at=NOON - DAY)  # so that only the retry shows it
    repair("default", NOON - HOUR)
    assert Run.objects.get().ready_at == NOON - 50 * MINUTE


def test_a_task_created_by_a_wrong_clock_starts_by_the_right_one():
    task = scheduled()
    back = NOON - 10 * HOUR
    repair("default", back)
    tick_through(back, back + 2 * MINUTE)
    assert dues(task) == minutes(back + MINUTE, 2)


def test_a_paused_task_follows_the_new_time_when_it_is_resumed(clocks):
    task = scheduled()
    tick_through(NOON, NOON + HOUR)
    task.pause()
    clocks.moment = NOON
    repair("default", NOON)
    task.resume()
    assert Task.objects.get().next_run == NOON + MINUTE


def test_iterations_stay_exact():
    scheduled(iterations=5)
    tick_through(NOON, NOON + 3 * MINUTE)
    repair("default", NOON - HOUR)
    tick_through(NOON - HOUR, NOON - 50 * MINUTE)
    tick_through(NOON, NOON + 10 * MINUTE)
    assert Run.objects.count() == 5
    assert not Task.objects.exists()


def test_an_unreadable_task_does_not_stop_the_others():
    broken, sound = scheduled(), scheduled()
    tick_through(NOON, NOON + HOUR)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sisy_task SET schedule = 'nonsense' WHERE id = %s", [broken.pk])
    repair("default", NOON)
    assert Task.objects.get(pk=sound.pk).next_run == NOON + MINUTE
    assert Task.objects.get(pk=broken.pk).state == TaskState.BROKEN


def test_a_clock_that_is_right_is_left_alone(caplog):
    tasks = [scheduled(), scheduled("* * * * * *"), scheduled(missed=Missed.ALL)]
    tick_through(NOON, NOON + MINUTE)
    before = list(Task.objects.values()), list(Run.objects.values())
    repair("default", NOON + MINUTE)
    assert (list(Task.objects.values()), list(Run.objects.values())) == before
    assert caplog.text == ""
    assert len(tasks) == 3


@pytest.fixture
def beat(clocks):
    """Return what lets some heartbeats look each second, for so many seconds."""
    heartbeats = [Heartbeat() for _ in range(2)]

    def beat(seconds):
        for _ in range(seconds):
            for heartbeat in heartbeats:
                heartbeat._pass()
            now = clocks.moment
            for run in claim(worker(now), ["default"], 100, now):
                finish(run, now)
            clocks.go_on(SECOND)

    return beat


def test_after_a_step_back_of_three_hours_a_task_is_silent_for_seconds_only(clocks, beat):
    task = scheduled("* * * * * */5")
    beat(30)
    clocks.go_on(-3 * HOUR, SECOND)
    back = clocks.moment
    beat(60)
    again = sorted(task.runs.filter(due_at__isnull=False).values_list("due_at", flat=True))
    assert again[0] - back <= 20 * SECOND
    assert again == [again[0] + n * 5 * SECOND for n in range(len(again))]
    assert again[-1] >= back + 55 * SECOND
    assert not Run.objects.filter(state=RunState.MISSED).exists()
    started = task.runs.filter(due_at__isnull=False, started_at__isnull=False)
    assert {run.lateness for run in started} == {0 * SECOND}


def test_a_step_forward_is_an_outage_of_three_hours(clocks, beat):
    """Neither a burst, nor silence: the latest one runs, the others stand in one row."""
    task = scheduled()
    beat(61)
    clocks.go_on(3 * HOUR, SECOND)
    beat(90)
    missed = task.runs.get(state=RunState.MISSED)
    ran = task.runs.filter(state=RunState.SUCCEEDED).order_by("due_at")
    dues = list(ran.values_list("due_at", flat=True))
    assert missed.count == 179
    assert dues == [NOON + MINUTE, NOON + 181 * MINUTE, NOON + 182 * MINUTE]
