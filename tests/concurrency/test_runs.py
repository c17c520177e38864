"""Task functions that save their own task in the middle of a run, while heartbeats tick."""

import asyncio
import threading
from functools import partial

import pytest

from sisy.execution import ThreadPool
from sisy.heartbeat import tick
from sisy.models import Overlap, Run, RunState, Task, TaskState
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.concurrency.threads import WAIT_TIMEOUT, at_once
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker
from tests.unit.runs import executed

pytestmark = pytest.mark.django_db(transaction=True)

DUE, NEXT = NOON + MINUTE, NOON + 2 * MINUTE
began, go_on = threading.Event(), threading.Event()


@pytest.fixture(autouse=True)
def now(at_time):
    began.clear()
    go_on.clear()
    return at_time(NOON)


def carry_out(runs, moment):
    """Carry runs out side by side, and record how they ended."""
    if not runs:
        return
    pool = ThreadPool(len(runs), lambda: moment)

    async def all_of_them():
        return await asyncio.gather(*(executed(pool, run) for run in runs))

    outcomes = asyncio.run(all_of_them())
    pool.close()
    record("default", list(zip(runs, outcomes, strict=True)), moment)


def let_others_go_first():
    began.set()
    assert go_on.wait(WAIT_TIMEOUT)


def saves_userdata(message):
    let_others_go_first()
    message["task"].userdata["n"] = 1
    message["task"].save()


async def asaves_userdata(message):
    await asyncio.to_thread(let_others_go_first)
    message["task"].userdata["n"] = 1
    await message["task"].asave()


def saves_its_schedule(message):
    let_others_go_first()
    message["task"].schedule = "*/30 * * * *"
    message["task"].save()


def saves_a_copy_that_it_reads(message):
    copy = Task.objects.get(pk=message["task"].pk)
    let_others_go_first()
    copy.label = "new"
    copy.save()


def pauses_itself(message):
    let_others_go_first()
    message["task"].pause("enough")


def deletes_itself(message):
    let_others_go_first()
    message["task"].delete()


def counts(message):
    task = message["task"]
    for _ in range(3):
        task.userdata["n"] = task.userdata.get("n", 0) + 1
        task.save()


def run_while_others_tick(function, now, **fields):
    """Let four heartbeats plan the next occurrence while the function stands in its middle."""
    task = scheduled(fn=f"{__name__}.{function.__name__}", **fields)
    tick("default", DUE)
    runs = claim(worker(), ["default"], 1, DUE)
    now.moment = NEXT

    def others():
        try:
            assert began.wait(WAIT_TIMEOUT)
            at_once(*[partial(tick, "default", NEXT)] * 4)
        finally:
            go_on.set()

    at_once(partial(carry_out, runs, NEXT), others)
    return task, Run.objects.get(pk=runs[0].pk)


def schedulers_columns(task):
    kept = stored(task)
    return kept.planned_until, kept.last_run, kept.runs_planned, kept.next_run, kept.state


def dues():
    return list(Run.objects.order_by("due_at").values_list("due_at", flat=True))


PLANNED_TWICE = (NEXT, NEXT, 2, NEXT + MINUTE, TaskState.ACTIVE)


@pytest.mark.parametrize(
    ("function", "saved"),
    [
        (saves_userdata, {"userdata": {"n": 1}}),
        (asaves_userdata, {"userdata": {"n": 1}}),
        (saves_a_copy_that_it_reads, {"label": "new"}),
    ],
)
def test_a_function_that_saves_its_task_keeps_what_ticks_planned_meanwhile(now, function, saved):
    task, run = run_while_others_tick(function, now)
    assert (run.state, run.reason) == (RunState.SUCCEEDED, "")
    assert schedulers_columns(task) == PLANNED_TWICE
    assert {name: getattr(stored(task), name) for name in saved} == saved
    assert dues() == [DUE, NEXT]


def test_a_function_that_saves_a_new_schedule_for_itself_moves_no_mark(now):
    task, run = run_while_others_tick(saves_its_schedule, now)
    assert run.state == RunState.SUCCEEDED
    assert schedulers_columns(task) == (NEXT, NEXT, 2, NOON + HOUR / 2, TaskState.ACTIVE)
    tick("default", NOON + HOUR / 2)
    assert dues() == [DUE, NEXT, NOON + HOUR / 2]


def test_a_function_that_pauses_its_task_stops_further_planning(now):
    """Occurrences that are already planned still run."""
    task, run = run_while_others_tick(pauses_itself, now)
    assert run.state == RunState.SUCCEEDED
    tick("default", NEXT + MINUTE)
    assert schedulers_columns(task) == (NEXT, NEXT, 2, None, TaskState.PAUSED)
    assert dues() == [DUE, NEXT]


def test_a_function_that_deletes_its_task_succeeds_and_cancels_queued_runs(now):
    _, run = run_while_others_tick(deletes_itself, now)
    assert (run.state, run.task) == (RunState.SUCCEEDED, None)
    assert not Task.objects.exists()
    assert Run.objects.get(due_at=NEXT).state == RunState.CANCELLED


def test_saving_a_task_in_its_last_iteration_does_not_recreate_it(now):
    task, run = run_while_others_tick(saves_userdata, now, iterations=1)
    assert run.state == RunState.SUCCEEDED
    assert not Task.objects.filter(pk=task.pk).exists()
    assert dues() == [DUE]


@pytest.mark.parametrize("overlap", ["skip", "allow"])
def test_no_occurrence_is_lost_when_runs_save_tasks_while_two_heartbeats_tick(now, overlap):
    tasks = [scheduled("* * * * * *", fn=f"{__name__}.counts", overlap=overlap) for _ in range(4)]
    seconds = 12
    holders = [worker(), worker()]

    def work(holder):
        carry_out(claim(holder, ["default"], 4, now.moment), now.moment)

    for n in range(1, seconds + 1):
        now.moment = NOON + n * SECOND
        works = [partial(work, holder) for holder in holders]
        at_once(*[partial(tick, "default", now.moment)] * 2, *works)
    tick("default", now.moment)
    for _ in range(seconds):
        work(holders[0])
    for task in tasks:
        kept = stored(task)
        assert task.runs.count() == kept.runs_planned == seconds
        assert kept.planned_until == kept.last_run == now.moment
        assert kept.next_run == now.moment + SECOND
        assert overlap == Overlap.ALLOW or kept.userdata == {"n": 3 * seconds}
    assert {run.state for run in Run.objects.all()} == {RunState.SUCCEEDED}
