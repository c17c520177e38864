"""JSON values of any depth."""

import json
import random

import pytest

from sisy.addresses import HIDDEN
from sisy.models import Task
from sisy.records import nested
from sisy.records.validators import json_dict
from sisy.reports.disclosure import as_json

DEEPEST = 50_000
SAMPLES = [None, True, 1, 1.5, 'a"b\\é\n', [], {}, [[]], {"a": {}}, [1, [2, {"b": [None]}]]]


def lists(depth):
    """Return lists in lists."""
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def dicts(depth):
    """Return dicts in dicts."""
    value = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def random_value(chance, depth=0):
    kind = chance.randrange(6 if depth < 5 else 4)
    if kind < 4:
        return [None, chance.random(), chance.choice(["", 'é"\\', "]}"]), chance.randrange(9)][
            kind
        ]
    several = [random_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return several if kind == 4 else {f"k{n}": each for n, each in enumerate(several)}


RANDOM = [random_value(random.Random(n)) for n in range(200)]


@pytest.mark.parametrize("value", [*SAMPLES, *RANDOM])
def test_a_value_is_written_copied_and_read_as_python_does_it(value):
    assert nested.written(value) == json.dumps(value, indent=2, ensure_ascii=False)
    assert nested.written(value, on_lines=False) == json.dumps(value, ensure_ascii=False)
    assert nested.read(json.dumps(value, indent=1)) == value
    copy = nested.copied(value)
    assert copy == value
    assert not nested.differ(copy, value)


DIFFERENT = [
    (1, True),
    (1, 1.0),
    ([1], [True]),
    ([1], [1, 2]),
    ({}, []),
    ({"a": 1}, {"a": 2}),
    ({"a": 1}, {"b": 1}),
    ({"a": [0]}, {"a": [False]}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_values_that_json_tells_apart_differ(one, other):
    assert nested.differ(one, other)


@pytest.mark.parametrize("make", [lists, dicts])
def test_any_depth_is_written_read_copied_and_compared(make):
    value = make(DEEPEST)
    text = nested.written(value)
    assert len(text) < 20 * DEEPEST, "what lies deep is not indented"
    assert nested.written(nested.read(text)) == text
    assert not nested.differ(nested.copied(value), value)
    assert nested.is_too_deep(value)


def test_a_value_that_contains_itself_is_too_deep():
    value = {}
    value["self"] = [value, value, value]
    assert nested.is_too_deep(value)


def test_secrets_are_hidden_at_any_depth():
    value = {"password": "s3cret"}
    for _ in range(5000):
        value = [{"a": value}]
    assert "s3cret" not in as_json(value)
    assert HIDDEN in as_json(value)


@pytest.mark.parametrize("make", [lists, dicts])
def test_userdata_has_a_maximum_depth(make):
    assert json_dict({"a": make(nested.MAX_DEPTH - 1)})
    with pytest.raises(ValueError, match="at most 30 levels deep"):
        json_dict({"a": make(nested.MAX_DEPTH)})
    for depth in (600, DEEPEST):
        with pytest.raises(ValueError, match="at most 30 levels deep"):
            Task().userdata = {"a": make(depth)}


@pytest.mark.parametrize("text", ["", "[", "]", "[1}", '{"a"', "[1] [2]", "nul", '{"a" 1'])
def test_values_that_are_not_json_are_rejected(text):
    with pytest.raises(ValueError):
        nested.read(text)
