"""The last occurrence of a task is planned ahead, too, and the task retires when it is due."""

import random
from datetime import timedelta

import pytest

from sisy import signals
from sisy.heartbeat import tick
from sisy.heartbeat.clock_rollback import repair
from sisy.heartbeat.plan_ahead import plan_ahead
from sisy.models import Overlap, Run, RunState, Task, TaskState
from sisy.planning.timing import occurrences
from sisy.reports.alerts.health import health
from sisy.reports.forecast import occurrences_of
from sisy.worker.claim import claim
from tests.roles.steps import finish
from tests.support.clocks import clock_at
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

DUE = NOON + MINUTE
BEFORE = DUE - SECOND
ENDS = [{"iterations": 1}, {"end_running": DUE + SECOND}]


def runs():
    return list(Run.objects.order_by("due_at").values_list("due_at", "state"))


def saved(task, **fields):
    task = stored(task)
    for name, value in fields.items():
        setattr(task, name, value)
    task.save()


def updated(task, **fields):
    Task.objects.filter(pk=task.pk).update(**fields)


def executed(run, moment):
    """Let a worker execute a run."""
    [claimed] = claim(worker(), ["default"], 1, moment)
    assert claimed.pk == run.pk
    finish(claimed, moment)


@pytest.fixture
def retired():
    """Return the keys of the tasks that receivers hear have retired."""
    heard = []

    def hear(task, **sent):
        heard.append(task.pk)

    signals.task_retired.connect(hear)
    yield heard
    signals.task_retired.disconnect(hear)


@pytest.fixture(params=ENDS, ids=str)
def task(request):
    """Return a task whose last occurrence was planned ahead."""
    task = scheduled(**request.param)
    assert plan_ahead("default", BEFORE) == 1
    return stored(task)


def test_the_task_retires_when_its_last_occurrence_falls_due(task, retired):
    assert runs() == [(DUE, RunState.QUEUED)]
    assert (task.state, task.next_run, task.last_run) == (TaskState.ACTIVE, DUE, DUE)
    tick("default", DUE - timedelta(milliseconds=1))
    assert stored(task).state == TaskState.ACTIVE
    assert retired == []
    assert tick("default", DUE).planned == 0
    task = stored(task)
    assert (task.state, task.next_run, task.last_run) == (TaskState.RETIRED, None, DUE)
    assert (task.runs_planned, retired) == (1, [task.pk])
    assert runs() == [(DUE, RunState.QUEUED)]


def test_no_pass_plans_it_twice(task):
    for half in range(6):
        now = BEFORE + half * SECOND / 2
        for _ in range(2):
            plan_ahead("default", now)
            tick("default", now, is_thorough=False)
    assert runs() == [(DUE, RunState.QUEUED)]
    assert stored(task).runs_planned == 1


def test_a_heartbeat_that_comes_much_later_retires_it_as_well(task):
    assert tick("default", DUE + HOUR).missed == 0
    assert runs() == [(DUE, RunState.QUEUED)]
    assert stored(task).state == TaskState.RETIRED


def test_it_is_deleted_when_it_retires_if_its_last_run_has_ended(task):
    executed(Run.objects.get(), DUE)
    assert stored(task).state == TaskState.ACTIVE
    assert tick("default", DUE, is_thorough=False).deleted == 1
    assert not Task.objects.exists()
    assert runs() == [(DUE, RunState.SUCCEEDED)]


def test_it_is_deleted_when_its_last_run_ends_if_it_has_retired(task):
    assert tick("default", DUE, is_thorough=False).deleted == 0
    executed(Run.objects.get(), DUE)
    assert not Task.objects.exists()


def test_a_retired_task_that_code_declares_stays(task):
    updated(task, declaration={})
    executed(Run.objects.get(), DUE)
    assert tick("default", DUE, is_thorough=False).deleted == 0
    assert stored(task).state == TaskState.RETIRED


@pytest.mark.parametrize("edit", [saved, updated])
def test_an_edit_gives_the_last_occurrence_back(task, edit):
    with clock_at(BEFORE):
        edit(task, queue="another")
    assert runs() == []
    task = stored(task)
    assert (task.state, task.next_run) == (TaskState.ACTIVE, DUE)
    assert (task.runs_planned, task.last_run) == (0, None)
    assert plan_ahead("default", BEFORE) == 1
    tick("default", DUE)
    assert [run.queue for run in Run.objects.all()] == ["another"]
    assert stored(task).state == TaskState.RETIRED


def test_a_pause_gives_the_last_occurrence_back(task):
    with clock_at(BEFORE):
        task.pause()
    tick("default", DUE)
    assert runs() == []
    assert (stored(task).state, stored(task).runs_planned) == (TaskState.PAUSED, 0)


def test_a_task_that_was_paused_may_still_run_as_often_as_it_says():
    task = scheduled(iterations=1)
    plan_ahead("default", BEFORE)
    with clock_at(BEFORE):
        task.pause()
    with clock_at(DUE + SECOND):
        task.resume()
    plan_ahead("default", DUE + MINUTE - SECOND)
    tick("default", DUE + MINUTE)
    assert runs() == [(DUE + MINUTE, RunState.QUEUED)]
    assert stored(task).state == TaskState.RETIRED


@pytest.mark.parametrize(
    "change",
    [
        lambda task, other: updated(other, label="another"),
        lambda task, other: saved(other, label="another"),
        lambda task, other: updated(task, label="another"),
        lambda task, other: saved(task, label="another"),
        lambda task, other: task.pause(),
    ],
    ids=["update of another", "save of another", "update", "save", "pause"],
)
def test_what_is_due_stays_though_a_change_has_read_the_clock_earlier(task, change):
    other = scheduled("0 0 1 1 *")
    tick("default", DUE)
    with clock_at(DUE - timedelta(milliseconds=1)):
        change(task, other)
    assert runs() == [(DUE, RunState.QUEUED)]
    assert (stored(task).state, stored(task).runs_planned) == (TaskState.RETIRED, 1)


@pytest.mark.parametrize("edit", [saved, updated])
def test_an_earlier_end_leaves_nothing_of_the_last_occurrence(task, edit, retired):
    with clock_at(BEFORE):
        edit(task, end_running=DUE)
    tick("default", BEFORE, is_thorough=False)
    assert runs() == []
    assert stored(task).state == TaskState.RETIRED
    assert retired == [task.pk]


@pytest.mark.parametrize("edit", [saved, updated])
def test_a_later_end_makes_it_the_last_one_no_longer(edit):
    task = scheduled(end_running=DUE + SECOND)
    plan_ahead("default", BEFORE)
    with clock_at(BEFORE):
        edit(task, end_running=DUE + MINUTE + SECOND)
    for now in (BEFORE, DUE, DUE + MINUTE):
        tick("default", now)
        plan_ahead("default", now)
    assert runs() == [(DUE, RunState.QUEUED), (DUE + MINUTE, RunState.QUEUED)]
    assert stored(task).state == TaskState.RETIRED


@pytest.mark.parametrize("edit", [saved, updated])
def test_more_iterations_follow_the_planned_one(edit, retired):
    task = scheduled("* * * * * *", iterations=1)
    plan_ahead("default", NOON)
    with clock_at(NOON + SECOND / 2):
        edit(task, iterations=3)
    for half in range(12):
        tick("default", NOON + half * SECOND / 2)
        plan_ahead("default", NOON + half * SECOND / 2)
    assert runs() == [(NOON + n * SECOND, RunState.QUEUED) for n in (1, 2, 3)]
    assert (stored(task).state, retired) == (TaskState.RETIRED, [task.pk])


def test_fewer_iterations_may_make_a_planned_one_the_last(retired):
    task, other = scheduled("* * * * * *", iterations=9), scheduled()
    plan_ahead("default", NOON)
    with clock_at(NOON + SECOND / 2):
        saved(task, iterations=2)
    # It has not retired yet: else any other edit would withdraw what is planned.
    assert (stored(task).state, stored(task).next_run) == (TaskState.ACTIVE, NOON + 2 * SECOND)
    with clock_at(NOON + SECOND / 2):
        updated(other, queue="another")
    tick("default", NOON + SECOND)
    assert retired == []
    tick("default", NOON + 2 * SECOND)
    assert runs() == [(NOON + n * SECOND, RunState.QUEUED) for n in (1, 2)]
    assert retired == [task.pk]


@pytest.mark.parametrize(
    "edit", [lambda task: task.pause(), lambda task: saved(task, schedule="0 0 1 1 *")]
)
def test_an_edit_between_the_moment_and_the_next_pass_plans_nothing_again(edit):
    task = scheduled(iterations=1)
    plan_ahead("default", BEFORE)
    with clock_at(DUE + SECOND):
        edit(stored(task))
        assert runs() == [(DUE, RunState.QUEUED)]
        assert stored(task).runs_planned == 1
        stored(task).resume()
    tick("default", DUE + 2 * SECOND)
    assert stored(task).state == TaskState.RETIRED


def test_a_deletion_after_the_moment_records_nothing_as_missed(task):
    with clock_at(DUE + SECOND):
        task.delete()
    assert runs() == [(DUE, RunState.CANCELLED)]


def test_an_edit_of_the_times_waits_for_a_run_that_a_worker_has_claimed():
    task = scheduled(iterations=1)
    plan_ahead("default", BEFORE)
    [run] = claim(worker(), ["default"], 1, DUE)
    with clock_at(BEFORE):  # as after a start ahead
        saved(task, schedule="30 * * * *")
    assert (stored(task).state, stored(task).next_run) == (TaskState.ACTIVE, DUE)
    finish(run, DUE)
    assert tick("default", DUE, is_thorough=False).deleted == 1
    assert runs() == [(DUE, RunState.SUCCEEDED)]


def test_a_clock_that_is_set_back_gives_the_last_occurrence_back():
    task = scheduled(iterations=1)
    plan_ahead("default", BEFORE)
    repair("default", BEFORE - 4 * HOUR)
    assert runs() == []
    plan_ahead("default", BEFORE - 4 * HOUR)
    tick("default", DUE - 4 * HOUR)
    assert runs() == [(DUE - 4 * HOUR, RunState.QUEUED)]
    assert stored(task).state == TaskState.RETIRED


def test_a_task_whose_last_run_has_started_retires_when_the_clock_is_set_back():
    task = scheduled(iterations=1)
    plan_ahead("default", BEFORE)
    claim(worker(), ["default"], 1, DUE)
    repair("default", BEFORE - 4 * HOUR)
    assert stored(task).state == TaskState.RETIRED


@pytest.mark.parametrize("is_retired", [True, False])
def test_a_skipped_last_run_makes_room_for_another_one(is_retired):
    task = scheduled(iterations=2, overlap=Overlap.SKIP)
    plan_ahead("default", BEFORE)
    [first] = claim(worker(), ["default"], 1, DUE)
    plan_ahead("default", BEFORE + MINUTE)
    if is_retired:
        tick("default", DUE + MINUTE)
    assert claim(worker(), ["default"], 1, DUE + MINUTE) == []
    finish(first, DUE + MINUTE)
    plan_ahead("default", BEFORE + 2 * MINUTE)
    tick("default", DUE + 2 * MINUTE)
    assert [state for _, state in runs()] == ["succeeded", "skipped", "queued"]
    assert (stored(task).state, stored(task).runs_planned) == (TaskState.RETIRED, 2)


def test_forecasts_show_each_occurrence_once():
    tasks = [scheduled("* * * * * *", iterations=2), scheduled("* * * * * *")]
    expected = [NOON + SECOND, NOON + 2 * SECOND]
    for _ in range(2):
        limited, endless = (stored(task) for task in tasks)
        assert list(occurrences(limited, NOON)) == expected
        assert list(occurrences(limited, NOON + SECOND)) == expected[1:]
        for task in (limited, endless):
            drawn = occurrences_of([task], NOON + SECOND, NOON + 3 * SECOND)
            assert [due for due, _ in drawn] == expected
        plan_ahead("default", NOON)


def test_a_planned_task_is_not_called_late_while_no_heartbeat_runs(task):
    found = health("default", DUE + HOUR, [], MINUTE)
    [planning] = [finding for finding in found if finding.name == "due tasks"]
    assert (planning.is_well, planning.words) == (True, "all due tasks are planned")


@pytest.mark.parametrize("seed", range(3))
def test_random_edits_of_a_task_that_ends_neither_lose_nor_repeat_an_occurrence(seed):
    chance = random.Random(seed)
    task = scheduled("* * * * * *", iterations=8)
    edits = [
        lambda: saved(task, queue=chance.choice("abc")),
        lambda: updated(task, priority=chance.randrange(5)),
        lambda: updated(task, schedule="* * * * * *"),
        lambda: saved(task, iterations=chance.choice((8, 9))),
        lambda: saved(task, label=chance.choice("abc")),
    ]
    for step in range(120):
        now = NOON + step * SECOND / 4
        tick("default", now)
        if chance.random() < 0.6:
            plan_ahead("default", now)
        if stored(task).state != TaskState.ACTIVE:
            break
        if chance.random() < 0.7:
            with clock_at(now):
                chance.choice(edits)()
    dues = [due for due, _ in runs()]
    assert dues == [NOON + n * SECOND for n in range(1, len(dues) + 1)]
    assert len(dues) == stored(task).runs_planned == stored(task).iterations
    assert now == dues[-1]
