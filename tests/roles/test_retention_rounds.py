"""Old history is found by walking the keys of the ledger, a part at a time.

The failures of the field: an index on each moment that every update of the ledger pays for, and a
cleanup that reads the whole table again and again to find nothing.
"""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.heartbeat import Heartbeat, retention
from sisy.heartbeat.retention import Rounds, prune_history
from sisy.models import Run, RunState, Task, TroubledRun
from tests.commands.calling import told
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

KEPT = 30 * DAY


@pytest.fixture
def task():
    return scheduled("@yearly")


@pytest.fixture
def rounds():
    return Rounds("default")


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(retention, "PRUNE_BATCH", 2)


def stored(task, *planned, state=RunState.SUCCEEDED, **fields):
    """Store runs that were planned at these moments, and finished then unless told otherwise."""
    return Run.objects.bulk_create(
        task.new_run(now=at, state=state, **{"finished_at": at, **fields}) for at in planned
    )


def pruned(rounds, now):
    return prune_history("default", now, rounds)


def keys():
    return set(Run.objects.values_list("pk", flat=True))


def test_runs_are_pruned_from_the_oldest_on_up_to_the_limit(task, rounds, small_batches):
    stored(task, *(NOON + n * HOUR for n in range(5)))
    now = NOON + KEPT + 3 * HOUR  # the fourth run finished at the limit, which is not before it
    assert [pruned(rounds, now) for _ in range(3)] == [2, 1, 0]
    assert pruned(rounds, now + SECOND) == 1
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    "late",
    [
        {"state": RunState.QUEUED, "finished_at": None},
        {"state": RunState.RUNNING, "finished_at": None},
        {"finished_at": NOON + 10 * DAY},
    ],
)
def test_a_run_that_did_not_finish_in_time_is_kept_for_the_full_time(
    task, rounds, small_batches, late
):
    [kept] = stored(task, NOON, **late)
    stored(task, *[NOON] * 4)
    now = NOON + KEPT + SECOND
    assert sum(pruned(rounds, now) for _ in range(4)) == 4
    Run.objects.filter(pk=kept.pk).update(state=RunState.SUCCEEDED, finished_at=NOON + 10 * DAY)
    assert sum(pruned(rounds, NOON + 40 * DAY) for _ in range(3)) == 0
    later = NOON + 40 * DAY + SECOND
    assert sum(pruned(rounds, later + n * HOUR) for n in range(2)) == 1
    assert not Run.objects.exists()


def test_a_new_round_begins_each_hour_and_when_the_clock_was_set_back(task, rounds):
    now = NOON + KEPT + DAY
    [late] = stored(task, NOON, finished_at=NOON + DAY)
    assert pruned(rounds, now) == 0
    Run.objects.filter(pk=late.pk).update(finished_at=NOON)
    assert pruned(rounds, now + HOUR - SECOND) == 0
    assert pruned(rounds, now + HOUR) == 1
    stored(task, NOON, finished_at=NOON + 2 * DAY)
    assert pruned(rounds, now + 2 * HOUR) == 0
    Run.objects.update(finished_at=NOON)
    assert pruned(rounds, now + HOUR) == 1


def test_a_round_of_many_parts_is_finished_before_the_next_one_begins(task, rounds, small_batches):
    stored(task, *[NOON] * 4, finished_at=NOON + 2 * DAY)
    [old] = stored(task, NOON)
    now = NOON + KEPT + DAY
    assert [pruned(rounds, now + n * HOUR) for n in range(3)] == [0, 0, 1]
    assert old.pk not in keys()


def test_runs_ahead_of_now_do_not_hold_up_a_walk(task, rounds):
    # They were planned before the clock was set back.
    [ahead] = stored(task, NOON + 365 * DAY)
    stored(task, NOON, NOON + KEPT)
    assert pruned(rounds, NOON + KEPT + DAY) == 1
    assert ahead.pk in keys()


def test_runs_of_deleted_tasks_and_entries_of_troubled_runs_are_pruned(task, rounds):
    stored(task, NOON, NOON, state=RunState.FAILED)
    assert TroubledRun.objects.count() == 2
    task.delete()
    assert pruned(rounds, NOON + KEPT + SECOND) == 2
    assert not TroubledRun.objects.exists()


def test_runs_whose_task_is_locked_wait_for_the_next_round(task, rounds, monkeypatch):
    stored(task, NOON)
    # As if another transaction had locked all tasks.
    none_free = Task.objects.none().select_for_update
    monkeypatch.setattr(
        "sisy.models.task_queries.TaskQuerySet.select_for_update", lambda *a, **k: none_free()
    )
    now = NOON + KEPT + SECOND
    assert pruned(rounds, now) == 0
    monkeypatch.undo()
    assert pruned(rounds, now + MINUTE) == 0
    assert pruned(rounds, now + HOUR) == 1


def rows_of_the_ledger(queries):
    """Return the most rows that statements read of the ledger, by their LIMIT."""
    limits = []
    for query in queries:
        if 'FROM "sisy_run"' in (sql := query["sql"].replace("`", '"')):
            limit = re.search(r"LIMIT (\d+)", sql)
            assert limit, sql
            limits.append(int(limit[1]))
    return sum(limits)


@pytest.mark.parametrize("old", [0, 700])
def test_a_step_that_finds_nothing_to_delete_reads_one_row(task, rounds, old):
    stored(task, *[NOON] * old, finished_at=NOON + KEPT)
    stored(task, *[NOON + KEPT] * 700)
    now = NOON + KEPT + DAY
    for _ in range(3):  # pass the runs that are kept
        assert pruned(rounds, now) == 0
    with CaptureQueriesContext(connection) as queries:
        assert pruned(rounds, now + MINUTE) == 0
    assert rows_of_the_ledger(queries) == 1


def test_a_heartbeat_remembers_up_to_where_it_has_pruned(task, now):
    stored(task, *[NOON] * 700, finished_at=NOON + KEPT)
    stored(task, NOON + KEPT)
    heartbeat = Heartbeat()
    for _ in range(3):
        now.moment += MINUTE + KEPT * (now.moment == NOON)
        heartbeat._pass()
    with CaptureQueriesContext(connection) as queries:
        now.moment += MINUTE
        heartbeat._pass()
    walks = [
        query for query in queries if "finished_at" in query["sql"] and "LIMIT" in query["sql"]
    ]
    # One row for retention, and one for the look at runs that are a minute old.
    assert 1 <= rows_of_the_ledger(walks) <= 2


def test_the_command_prunes_and_counts_part_by_part(task, monkeypatch):
    monkeypatch.setattr(retention, "PRUNE_BATCH", 2)
    monkeypatch.setattr(retention, "COUNT_BATCH", 2)
    moments = [NOON - n * DAY for n in range(9, 0, -1)]
    stored(task, *moments)
    stored(task, NOON - 9 * DAY, finished_at=None, state=RunState.QUEUED)
    Run.objects.filter(planned_at=NOON - 8 * DAY).update(finished_at=NOON)
    assert told("sisy_prune --days 5 --dry-run")["pruned"] == 3
    assert told("sisy_prune --days 5")["pruned"] == 3
    assert Run.objects.count() == 7
