"""The data of many runs are checked together, and as strictly as one after the other."""

from decimal import Decimal

import pytest

from sisy.models import Run, Task
from sisy.records.validators import json_dict, json_dicts
from tests.app import jobs

TOO_DEEP = {"a": {}}
for _ in range(40):
    TOO_DEEP = {"a": TOO_DEEP}

VALID = [
    {},
    {"n": 1},
    {"text": "{[ü\\u0000 ]}", "none": None, "half": 0.5},
    {"nested": {"list": [1, {"deep": True}]}},
]
INVALID = [
    [],
    None,
    "text",
    {1: "a"},
    {"a": {1: "b"}},
    {None: 1},
    {"a": Decimal(1)},
    {"a": float("nan")},
    {"a": "\0"},
    {"a": "\ud800"},
    {"a": {1, 2}},
    TOO_DEEP,
]


class Text(str):
    __slots__ = ()


def test_valid_data_are_returned_unchanged():
    assert json_dicts(iter(VALID)) == VALID
    assert json_dicts([{Text("key"): Text("value")}]) == [{"key": "value"}]


@pytest.mark.parametrize("wrong", INVALID, ids=lambda wrong: repr(wrong)[:20])
@pytest.mark.parametrize("others", [[{"n": 1}], VALID], ids=["flat", "nested"])
def test_invalid_data_get_the_message_that_they_get_alone(wrong, others):
    with pytest.raises(ValueError) as alone:
        json_dict(wrong, f"userdata[{len(others)}]")
    with pytest.raises(ValueError) as together:
        json_dicts([*others, wrong, {}])
    assert str(together.value) == str(alone.value)


@pytest.mark.django_db
def test_a_batch_with_invalid_data_submits_nothing():
    with pytest.raises(ValueError, match=r"userdata\[1\] must have strings as keys, not 2"):
        Task.bulk_run_once(jobs.noop, [{"n": 1}, {2: "n"}])
    assert not Task.objects.exists()


@pytest.mark.django_db
def test_the_runs_of_a_batch_get_their_own_data():
    Task.bulk_run_once(jobs.noop, VALID)
    assert list(Run.objects.order_by("pk").values_list("payload", flat=True)) == VALID
