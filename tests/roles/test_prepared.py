"""Queries that are put into SQL once return what they would return otherwise."""

import pytest
from django.db.models import Exists, OuterRef

from sisy.heartbeat.prepared import Prepared
from sisy.models import Run
from tests.roles.steps import MINUTE, NOON, scheduled

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def runs(at_time):
    at_time(NOON)
    task = scheduled()
    for minute in range(4):
        Run.of(task, now=NOON, ready_at=NOON + minute * MINUTE).save()


def later_ones(pk, since):
    later = Run.objects.filter(ready_at__gt=OuterRef("ready_at"))
    found = Run.objects.filter(pk__gte=pk, ready_at__gt=since).order_by("pk")
    return found.values_list("pk", "ready_at", "state", "payload", Exists(later))


@pytest.mark.parametrize("since", [-1, 0, 1, 2, 3])
def test_it_returns_what_the_query_returns_whatever_the_values(since):
    pks = sorted(Run.objects.values_list("pk", flat=True))
    prepared = Prepared(later_ones, "default", pk=int, since=type(NOON))
    for pk in (0, *pks):
        moment = NOON + since * MINUTE
        assert prepared.rows(pk=pk, since=moment) == list(later_ones(pk, moment))


def test_it_asks_the_database_each_time():
    prepared = Prepared(later_ones, "default", pk=int, since=type(NOON))
    assert len(prepared.rows(pk=0, since=NOON)) == 3
    Run.objects.all().delete()
    assert prepared.rows(pk=0, since=NOON) == []
