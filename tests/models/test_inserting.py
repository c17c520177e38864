"""Runs that are stored many at a time are stored as they would be one by one."""

import pytest
from django.db import DatabaseError, connection, transaction

from sisy.models import Origin, Run, RunState
from sisy.store.submissions import insert_runs
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def columns_of(run):
    return {
        field.attname: getattr(run, field.attname)
        for field in run._meta.concrete_fields
        if not field.primary_key
    }


def a_run(task, number, **columns):
    return task.new_run(now=NOON, due_at=NOON + number * MINUTE, **columns)


def test_each_row_equals_its_run_and_the_keys_follow_their_order():
    tasks = [scheduled(label=f"task {n}") for n in range(3)]
    kinds = (
        {},
        {"state": RunState.MISSED, "reason": "ünïcode 'quoted' \\ {}", "count": 2**40},
        {"origin": Origin.MANUAL, "payload": {"a": [1, None, "é"]}, "due_until": NOON + MINUTE},
    )
    runs = [
        a_run(task, 10 * n, **kind) for n, kind in enumerate(kinds) for task in reversed(tasks)
    ]
    held = [columns_of(run) for run in runs]
    assert insert_runs("default", runs) == runs
    assert [columns_of(run) for run in Run.objects.order_by("pk")] == held
    assert [run.pk for run in runs] == list(
        Run.objects.order_by("pk").values_list("pk", flat=True)
    )
    assert {(run._state.adding, run._state.db) for run in runs} == {(False, "default")}


def test_identical_runs_are_separate_rows():
    task = scheduled()
    runs = insert_runs("default", [task.new_run(now=NOON) for _ in range(5)])
    assert len({run.pk for run in runs}) == Run.objects.count() == 5


def test_in_json_one_and_true_are_not_the_same():
    task = scheduled()
    payloads = [{"n": 1}, {"n": True}, {"n": 1.0}]
    insert_runs("default", [task.new_run(now=NOON, payload=payload) for payload in payloads])
    stored = Run.objects.order_by("pk").values_list("payload", flat=True)
    assert [type(payload["n"]) for payload in stored] == [int, bool, float]


def test_inserting_no_runs_creates_no_rows():
    assert insert_runs("default", []) == []


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite knows no length of a text")
def test_a_text_that_is_too_long_is_rejected_and_not_truncated():
    task = scheduled()
    fits, does_not_fit = a_run(task, 0), a_run(task, 1)
    does_not_fit.label = "x" * 256
    for runs in ([fits, does_not_fit], [does_not_fit]):
        with pytest.raises(DatabaseError), transaction.atomic():
            insert_runs("default", runs)
    assert not Run.objects.exists()


def test_it_is_all_or_nothing():
    task = scheduled()
    with pytest.raises(DatabaseError), transaction.atomic():
        insert_runs("default", [a_run(task, 0), a_run(task, 1), a_run(task, 1)])
    assert not Run.objects.exists()
