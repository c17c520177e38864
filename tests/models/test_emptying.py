"""The tables are emptied after each test that commits, and what migrations store stays."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from sisy.models import Run
from tests.support.emptying import empty
from tests.support.moments import NOON
from tests.support.records import scheduled, worker

pytestmark = pytest.mark.django_db(transaction=True)

STORED_BY_MIGRATIONS = {ContentType, Permission}


def counts():
    return {model: model._default_manager.count() for model in apps.get_models()}


@pytest.fixture(autouse=True)
def emptied():
    """Empty the tables as after any test, and return how many rows they have then."""
    empty("default")
    return counts()


def test_only_what_migrations_store_is_left(emptied):
    assert {model for model, count in emptied.items() if count} == STORED_BY_MIGRATIONS


def test_rows_of_all_tables_are_deleted_and_others_keep_their_keys(emptied, admin_user):
    keys = list(Permission.objects.order_by("pk").values_list("pk", flat=True))
    admin_user.user_permissions.add(keys[0])
    worker()
    scheduled().new_run(now=NOON).save()
    empty("default")
    assert counts() == emptied
    assert list(Permission.objects.order_by("pk").values_list("pk", flat=True)) == keys


@pytest.mark.parametrize("model", STORED_BY_MIGRATIONS)
def test_what_a_test_deletes_of_migrations_is_stored_again(emptied, model):
    model.objects.last().delete()
    scheduled()
    empty("default")
    assert counts() == emptied


def test_what_a_test_adds_to_migrations_is_deleted(emptied):
    ContentType.objects.create(app_label="shop", model="offer")
    empty("default")
    assert counts() == emptied


def test_a_long_table_has_no_pages_afterwards(emptied):
    task = scheduled(overlap="allow")
    Run.objects.bulk_create(task.new_run(now=NOON) for _ in range(1000))
    empty("default")
    assert counts() == emptied
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_relation_size('sisy_run')")
            assert cursor.fetchone() == (0,)
