"""The tables that change with each run have no index that no query uses."""

import pytest
from django.apps import apps
from django.db import connection

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
