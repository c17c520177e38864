"""Only the table of a task's fields lists them; see `sisy.records.task_fields`."""

import pytest

from sisy.records.task_fields import PUBLIC_NAMES, TASK_FIELDS
from tests.house.__main__ import ROOT
from tests.house.field_lists import field_lists
from tests.house.source import Module, modules

FIELDS = {*TASK_FIELDS, *PUBLIC_NAMES.values()}

ALLOWED = {
    "TaskAdmin.list_filter": "the filters of one list: a choice of this page alone",
    "EditorPage.asks": "the parameters of a page's address; the label only gives 'h' its value",
    "SORTS": "the orders of one list, by the word in the address",
    "Command._write_csv.names": "the header of a file for spreadsheets",
    "STATE_FIELDS": "the columns that one kind of recorded change has: a pause, or its end",
    "UNPAUSED": "the values of these columns without a pause",
    "QueuedRun.Meta.indexes": "columns of runs that have the names of a task's",
    "_queued_copies.copied": "columns of runs that have the names of a task's",
    "COPIED": "columns of runs, each with that of the task from which it is copied",
    "COPIED_TO_ENTRIES": "columns of runs, of which some have the names of a task's",
    "COLUMNS_OF_ENTRY": "columns of runs, of which some have the names of a task's",
    "judge_late.known": "columns of runs that have the names of a task's",
    "JUDGED_COLUMNS": "the columns of tasks that one judge of problems reads",
    "SHARED": "the columns whose values are the same for tasks that are due together",
    "SHARED_COLUMNS_OF_QUEUED": "columns of runs that have the names of a task's",
}
"""By the name of what holds a list: why it may stand beside the table."""


def found(code):
    module = Module(path="tea.py", name="shop.tea", text=code)
    return field_lists([module], {"label", "queue", "state", "timeout"})


@pytest.fixture(scope="module")
def listed():
    """All lists of a task's fields in the package."""
    return field_lists(modules(ROOT), FIELDS)


def test_only_the_table_lists_the_fields_of_a_task(listed):
    assert [one for one in listed if one.rpartition(" ")[2] not in ALLOWED] == []


def test_each_list_that_is_allowed_is_still_there(listed):
    names = {one.rpartition(" ")[2] for one in listed}
    assert ALLOWED.keys() <= names


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("ALL = ('label', 'queue', 'state')", "ALL"),
        ("ALL: set[str] = {'label', *OTHERS, 'queue', 'state'}", "ALL"),
        ("CHECKS = {'label': a, 'queue': b, 'state': c}", "CHECKS"),
        ("class Tea:\n    fields = ['label', 'queue', 'state']", "Tea.fields"),
        ("def brew():\n    for name in ('label', 'queue', 'state'): pass", "brew"),
        ("def brew():\n    return tasks.only('label', 'queue', 'state')", "brew"),
    ],
)
def test_a_list_of_fields_is_found(code, name):
    (place,) = found(code)
    assert place.startswith("tea.py:")
    assert place.endswith(f" {name}")


@pytest.mark.parametrize(
    "code",
    [
        "ALL = ('label', 'queue')",
        "ALL = ('label', 'tea', 'cup')",
        "def brew():\n    return {'label': a, 'queue': b, 'state': c}",
        "rows = tasks.values_list('label', 'queue', 'state')",
    ],
)
def test_a_record_of_some_fields_is_not_a_list(code):
    assert found(code) == []
