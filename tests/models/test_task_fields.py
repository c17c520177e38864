"""The table of a task's fields is whole, and what else lists them agrees with it."""

import inspect
from types import NoneType
from typing import get_args, get_type_hints

import pytest

import sisy
from sisy.models import Task, task_with_callable
from sisy.planning.declarations import Policies
from sisy.planning.timing import fingerprint
from sisy.records.columns import TaskColumns
from sisy.records.task_fields import (
    COLUMNS,
    OWNER_FIELDS,
    PARAMETERS,
    TARGET_FIELDS,
    TASK_FIELDS,
    TIMING_FIELDS,
    Section,
    Setter,
)
from sisy.reports import disclosure
from tests.models import test_policies

FIELDS = TASK_FIELDS.values()
POLICIES = {
    name for field in FIELDS if field.is_policy for name in (field.name, field.shortcut) if name
}
TARGET = {"callable", "target", "fn", "pk_override"}
"""What the parameters are called that say what a task calls."""


def parameters_of(function):
    return inspect.signature(function).parameters.keys() - TARGET - {"policies"}


def test_each_column_has_a_row_and_each_row_a_column():
    columns = [column.name for column in TaskColumns._meta.local_fields]
    assert sorted(TASK_FIELDS) == sorted(columns)


@pytest.mark.parametrize("column", TaskColumns._meta.local_fields, ids=str)
def test_forms_may_edit_only_the_columns_of_the_owner(column):
    assert column.editable == (TASK_FIELDS[column.name].setter is Setter.OWNER)


def test_every_field_of_the_owner_has_a_validator():
    assert all(TASK_FIELDS[name].is_validated for name in OWNER_FIELDS)


def test_every_field_of_the_owner_has_a_section_in_the_form():
    sections = {TASK_FIELDS[name].section for name in OWNER_FIELDS}
    assert sections == {*Section} - {Section.STATUS}


def test_properties_set_the_columns_that_the_table_says():
    for name, column in COLUMNS.items():
        assert isinstance(inspect.getattr_static(Task, name), property)
        assert TASK_FIELDS[column].setter is Setter.OWNER


def test_the_policies_that_code_may_set_are_those_of_the_table():
    assert Policies.__annotations__.keys() == POLICIES
    assert test_policies.VALUES.keys() == POLICIES


@pytest.mark.parametrize("name", sorted(POLICIES & TASK_FIELDS.keys()))
def test_the_types_of_policies_take_none_where_the_column_does(name):
    hint = get_type_hints(Policies)[name]
    assert (NoneType in get_args(hint)) == Task._meta.get_field(name).null


def test_every_other_field_is_a_parameter_wherever_code_creates_tasks():
    assert parameters_of(task_with_callable) == PARAMETERS
    declared = parameters_of(sisy.schedule)
    assert declared - {"expression", "name"} == PARAMETERS - {"schedule"}
    window = {"start_running", "end_running"}
    assert parameters_of(Task.run_iterations) == (
        PARAMETERS - window | {"run_immediately", "delay_until"}
    )
    assert {*PARAMETERS, *TARGET_FIELDS, *POLICIES} >= OWNER_FIELDS - {"_extra_data"}


def test_permissions_of_fields_are_permissions_of_tasks():
    own = {name for name, _ in Task._meta.permissions}
    for field in FIELDS:
        assert {field.hidden_without, field.restricted_without} - {""} <= own
    assert TASK_FIELDS["_extra_data"].hidden_without == disclosure.PERMISSION


def test_the_stored_fingerprint_covers_every_field_of_the_timing():
    query = Task.objects.annotate(now=fingerprint()).values("now").query
    for name in TIMING_FIELDS:
        assert str(query).count(f"{name}") == 1
