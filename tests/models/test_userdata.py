# ruff: noqa: E501 - messages are asserted whole
"""What userdata takes, what it refuses, and that it is alive."""

import pytest

from sisy.models import Task, task_with_callable
from tests.app import jobs
from tests.support.moments import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


WHOLE = "must be a whole number"
SPAN = "must be a timedelta that is not negative"


def made(**fields):
    return Task.calling(jobs.noop, timezone="UTC", **fields)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "userdata must be a dict, not set."),
        (None, "userdata must be a dict, not NoneType."),
        (
            {"a": {1, 2}},
            "userdata must be serializable as JSON: Object of type set is not JSON serializable.",
        ),
        (
            {"a": NOON},
            "userdata must be serializable as JSON: Object of type datetime is not JSON serializable.",
        ),
        ({1: "a"}, "userdata must have strings as keys, not 1."),
        ({"a": [{"b": {None: 1}}]}, "userdata must have strings as keys, not None."),
        ({"a": ({True: 1},)}, "userdata must have strings as keys, not True."),
        ({"a": "b\0"}, "userdata must not contain the NUL character, which databases reject."),
        ({"a\0": 1}, "userdata must not contain the NUL character, which databases reject."),
        (
            {"a": "\ud800"},
            "userdata must not contain an unpaired surrogate, which databases reject.",
        ),
    ],
)
def test_userdata_that_is_not_json_is_rejected_on_assignment_and_save(value, message):
    task = made()
    with pytest.raises(ValueError) as at_assignment:
        task.userdata = value
    assert str(at_assignment.value) == message
    assert task.userdata == {}
    if isinstance(value, dict):
        task.userdata.update(value)
        with pytest.raises(ValueError) as at_save:
            task.save()
        assert str(at_save.value) == message


def test_userdata_that_contains_itself_is_rejected():
    value = {}
    value["me"] = value
    with pytest.raises(
        ValueError, match=r"^userdata must be nested at most 30 levels.* or contains itself"
    ):
        made(userdata=value)


@pytest.mark.parametrize(
    "value",
    [{"": None}, {"a": "\\u0000 as text"}, {"a": "😀 \x01 \\"}, {"a": 2**70}, {"a": 1.5}],
)
def test_userdata_is_read_back_unchanged(value):
    made(userdata=value).save()
    assert Task.objects.get().userdata == value


def test_userdata_is_a_live_dict():
    made(userdata={"n": 1, "deep": {"list": [1]}}).save()
    task = Task.objects.get()
    task.userdata["n"] += 1
    task.userdata["deep"]["list"].append(2)
    task.save()
    assert Task.objects.get().userdata == {"n": 2, "deep": {"list": [1, 2]}}


def test_values_that_only_python_calls_equal_are_changes():
    task = task_with_callable(jobs.noop, userdata={"n": 1})
    task.save()
    task.userdata["n"] = True
    task.save()
    assert Task.objects.get(pk=task.pk).userdata["n"] is True
