"""What user data may contain, wherever in it the fault is."""

import pytest

from sisy.records.nested import MAX_DEPTH, is_too_deep
from sisy.records.validators import json_dict


def nested_in(levels, inner):
    value = inner
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("levels", [0, 1, 7, MAX_DEPTH - 4])
@pytest.mark.parametrize(
    ("inner", "words"),
    [
        ({1: "a"}, "must have strings as keys, not 1."),
        ([{"a": 1}, ({None: 2},)], "must have strings as keys, not None."),
        ({"a": "\0"}, "must not contain the NUL character"),
        ({"a": "\ud800"}, "must not contain an unpaired surrogate"),
        ({"a": object()}, "must be serializable as JSON"),
        ({1: object()}, "must be serializable as JSON"),
    ],
)
def test_a_fault_is_found_at_any_depth(levels, inner, words):
    with pytest.raises(ValueError, match="data ") as raised:
        json_dict({"first": 1, "second": nested_in(levels, inner), "third": {}}, "data")
    assert words in str(raised.value)


def test_the_deepest_data_are_accepted_and_one_level_more_is_not():
    deepest = {"a": nested_in(MAX_DEPTH - 1, 1)}
    assert json_dict(deepest) is deepest
    with pytest.raises(ValueError, match="nested at most 30 levels"):
        json_dict({"a": nested_in(MAX_DEPTH, 1)})


def test_data_that_contain_themselves_are_found_quickly():
    data = {"a": [], "b": {}}
    data["a"] += [data, data]
    data["b"]["c"] = data
    assert is_too_deep(data)
    with pytest.raises(ValueError, match="contains itself"):
        json_dict(data)


def test_a_value_that_contains_nothing_is_not_too_deep():
    assert not any(map(is_too_deep, ("text", 1, None, [], {})))
