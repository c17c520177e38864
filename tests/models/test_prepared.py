"""Queries that are put into SQL once return what they would return otherwise."""

import pytest
from django.db.models import Exists, OuterRef

from sisy.models import Run
from sisy.models.prepared import Limit, Prepared
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


def test_it_returns_records_up_to_a_limit():
    def first_ones(queue, limit):
        return Run.objects.filter(queue=queue).order_by("pk")[:limit]

    prepared = Prepared(first_ones, "default", queue=str, limit=Limit)
    for limit in (1, 3, 10):
        found = prepared.records(queue="default", limit=limit)
        assert found == list(Run.objects.order_by("pk")[:limit])
        assert [vars(run) | {"_state": None} for run in found] == [
            vars(run) | {"_state": None} for run in Run.objects.order_by("pk")[:limit]
        ]
        assert {(run._state.db, run._state.adding) for run in found} == {("default", False)}
    assert prepared.records(queue="other", limit=3) == []


def test_its_records_read_later_what_is_deferred(django_assert_num_queries):
    prepared = Prepared(lambda: Run.objects.defer("payload").order_by("pk")[:1], "default")
    with django_assert_num_queries(1):
        [run] = prepared.records()
        assert run.get_deferred_fields() == {"payload"}
    assert (run, run.payload) == (Run.objects.order_by("pk")[0], {})


def test_it_refuses_a_query_that_makes_something_else_of_a_value():
    def ready_within_a_minute(now):
        return Run.objects.filter(ready_at__range=(now, now + MINUTE))

    with pytest.raises(ValueError, match=r"^now is not taken as it is: give what is made of it"):
        Prepared(ready_within_a_minute, "default", now=type(NOON))
