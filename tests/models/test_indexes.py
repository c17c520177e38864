"""The tables that change with each run have no index and no check that nothing needs."""

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import CheckConstraint

from sisy.models import Run, Task

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="it is about its indexes"),
]

RARELY_WRITTEN = {"sisy_queue"}  # a row for each queue that was ever paused


def test_no_index_serves_searches_by_the_beginning_of_a_text():
    # Django adds one to each column of text with db_index=True or unique=True.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename, indexdef FROM pg_indexes WHERE indexdef LIKE '%pattern_ops%'"
        )
        found = {table for table, _ in cursor.fetchall()}
    tables = {model._meta.db_table for model in apps.get_app_config("sisy").get_models()}
    assert found & tables <= RARELY_WRITTEN


def test_a_run_passes_only_the_checks_that_sisy_declares():
    # Django adds one for each column of positive numbers. PostgreSQL parses each of them again for
    # every statement that writes to the table.
    with connection.cursor() as cursor:
        constraints = {
            model: connection.introspection.get_constraints(cursor, model._meta.db_table)
            for model in (Task, Run)
        }
    for model, found in constraints.items():
        checks = {name for name, each in found.items() if each["check"]}
        declared = {
            each.name for each in model._meta.constraints if isinstance(each, CheckConstraint)
        }
        assert checks == declared
