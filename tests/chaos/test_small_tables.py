"""The comparison of the ledger with the small tables beside it."""

import pytest
from django.apps import apps

from sisy.models import Run, RunState, Task
from tests.app import jobs
from tests.support.moments import MINUTE, NOON
from tests.support.small_tables import COMPUTED, differences, disagreements

QUEUED = {"task_id": 3, "engine": "", "queue": "mail", "ready_at": 12.0, "priority": 5}
RUN = {"pk": 7, "state": "queued", **QUEUED}
ENTRY = {"run_id": 7, **QUEUED}


def found(runs, entries):
    return list(differences("QueuedRun", ["queued"], runs, entries))


def test_tables_that_agree_have_no_difference():
    assert found([], []) == []
    assert found([RUN], [ENTRY]) == []


def test_each_queued_run_has_exactly_one_entry():
    assert found([RUN], []) == ["run 7 is queued: 0 entries in QueuedRun"]
    assert found([RUN], [ENTRY, ENTRY]) == ["run 7 is queued: 2 entries in QueuedRun"]


def test_each_entry_belongs_to_a_queued_run():
    assert found([], [ENTRY]) == ["run 7 is not queued: 1 entry in QueuedRun"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("task_id", 4), ("engine", "celery"), ("queue", "slow"), ("ready_at", 13.0), ("priority", 4)],
)
def test_an_entry_agrees_with_its_run_in_each_column(name, value):
    [difference] = found([RUN], [{**ENTRY, name: value}])
    assert difference == f"run 7 is queued with {name} {RUN[name]!r}, but {value!r} in QueuedRun"


@pytest.mark.django_db
def test_columns_with_another_name_are_computed_from_the_run(noon):
    Task.run_once(jobs.noop)
    Task.run_once(jobs.noop, delay_until=NOON + MINUTE)
    computed = Run.objects.order_by("pk").values_list(*COMPUTED.values())
    assert list(computed) == [(False, False), (True, False)]


@pytest.mark.django_db
@pytest.mark.skipif(
    "QueuedRun" not in {model.__name__ for model in apps.get_app_config("sisy").get_models()},
    reason="the ledger has no small tables yet",
)
def test_an_entry_that_is_deleted_by_hand_is_noticed():
    Task.run_once(jobs.noop)
    run = Run.objects.get(state=RunState.QUEUED)
    assert disagreements() == []
    apps.get_model("sisy", "QueuedRun").objects.all().delete()
    assert disagreements() == [f"run {run.pk} is queued: 0 entries in QueuedRun"]
