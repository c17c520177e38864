"""Changes of tasks are recorded with their author, and only real changes."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import transaction

from sisy.heartbeat import tick
from sisy.heartbeat.pauses import end_pauses
from sisy.models import Task, TaskChange
from sisy.records.authorship import changed_by
from sisy.records.choices import ChangedBy
from sisy.records.task_change import MAX_KEPT, MAX_LENGTH
from tests.app import jobs
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def recorded():
    """Return the author and the fields of each change, oldest first."""
    changes = TaskChange.objects.order_by("pk")
    return [(change.kind, change.by, change.fields) for change in changes]


def by_ann(task, **values):
    for name, value in values.items():
        setattr(task, name, value)
    with changed_by(ChangedBy.PERSON, "Ann"):
        task.save()


def test_a_change_is_recorded_with_its_author_and_both_values():
    task = scheduled("0 9 * * *")
    assert recorded() == []
    by_ann(task, schedule="0 7 * * *", timeout=MINUTE)
    assert recorded() == [
        (
            "person",
            "Ann",
            {"schedule": ["0 9 * * *", "0 7 * * *"], "timeout": [None, "00:01:00"]},
        )
    ]
    assert TaskChange.objects.get().changed_at == NOON


def test_the_value_before_is_that_of_the_database():
    task = scheduled(queue="one")
    other = Task.objects.get()
    by_ann(other, queue="two")
    by_ann(task, queue="three")
    assert [fields["queue"] for _, _, fields in recorded()] == [["one", "two"], ["two", "three"]]


def test_other_code_is_named_as_such():
    task = scheduled()
    task.queue = "slow"
    task.save()
    assert recorded() == [("code", "", {"queue": ["default", "slow"]})]


def test_what_did_not_change_is_not_recorded():
    task = scheduled()
    task.save(update_fields=["queue", "schedule"])
    task.save()
    assert recorded() == []


def test_user_data_that_code_stores_is_not_recorded():
    task = scheduled(userdata={"n": 1})
    task.userdata["n"] = 2
    task.save()
    assert recorded() == []
    by_ann(task, userdata={"n": 3})
    assert recorded() == [("person", "Ann", {"_extra_data": [{"n": 2}, {"n": 3}]})]


def test_a_value_that_is_too_long_is_recorded_without_it():
    by_ann(scheduled(), userdata={"text": "x" * MAX_LENGTH}, queue="slow")
    assert recorded()[0][2] == {"_extra_data": [], "queue": ["default", "slow"]}


def test_pauses_and_their_end_are_recorded():
    task = scheduled()
    with changed_by(ChangedBy.PERSON, "Ann"):
        task.pause("too hot", NOON + HOUR)
        task.pause("again")
        task.resume()
        task.resume()
    paused = {
        "state": ["active", "paused"],
        "state_reason": ["", "too hot"],
        "paused_until": [None, "2026-05-05T13:00:00+00:00"],
    }
    resumed = {name: values[::-1] for name, values in paused.items()}
    assert recorded() == [("person", "Ann", paused), ("person", "Ann", resumed)]


def test_a_heartbeat_records_the_end_of_a_pause(at_time):
    scheduled().pause("too hot", NOON + HOUR)
    at_time(NOON + HOUR)
    end_pauses("default", NOON + HOUR)
    kind, by, fields = recorded()[-1]
    assert (kind, by, fields["state"]) == ("heartbeat", "", ["paused", "active"])


def test_a_command_names_the_person_who_called_it(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    scheduled(label="report")
    call_command("sisy_tasks", "pause", "report", stdout=None)
    call_command("sisy_tasks", "resume", "report", stdout=None)
    assert [(kind, by) for kind, by, _ in recorded()] == [("command", "ann"), ("command", "ann")]


def test_planning_and_executing_record_nothing():
    scheduled(fn=jobs.noop)
    tick("default", NOON + HOUR)
    assert recorded() == []


def test_only_the_newest_changes_of_a_task_are_kept():
    task = scheduled()
    for number in range(MAX_KEPT + 3):
        by_ann(task, priority=number + 1 - 50)
    kept = [fields["priority"][1] for _, _, fields in recorded()]
    assert kept == list(range(MAX_KEPT + 3 - 49 - MAX_KEPT, MAX_KEPT + 3 - 49))


def test_the_changes_of_a_deleted_task_are_deleted():
    task, other = scheduled(), scheduled()
    by_ann(task, queue="slow")
    by_ann(other, queue="slow")
    task.delete()
    assert TaskChange.objects.get().task_id == other.pk
    Task.objects.all().delete()
    assert recorded() == []


def test_a_heartbeat_deletes_the_changes_of_tasks_that_ended():
    task, other = scheduled(), scheduled()
    by_ann(task, queue="slow")
    by_ann(other, queue="slow")
    Task.objects.filter(pk=task.pk)._raw_delete("default")
    tick("default", NOON + timedelta(seconds=1))
    assert TaskChange.objects.get().task_id == other.pk


def test_a_change_that_is_rolled_back_is_not_recorded():
    task = scheduled()
    with transaction.atomic():
        by_ann(task, queue="slow")
        transaction.set_rollback(True)
    assert recorded() == []
