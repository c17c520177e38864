"""Queries that are put into SQL once return what they would return otherwise."""

import pytest
from django.db import connection
from django.db.models import Exists, OuterRef

from sisy.models import Run
from sisy.models.prepared import Keys, Limit, Prepared
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled

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
    query = Prepared(later_ones, "default", pk=int, since=type(NOON))
    for pk in (0, *pks):
        moment = NOON + since * MINUTE
        assert query.rows(pk=pk, since=moment) == list(later_ones(pk, moment))


def test_it_asks_the_database_each_time():
    query = Prepared(later_ones, "default", pk=int, since=type(NOON))
    assert len(query.rows(pk=0, since=NOON)) == 3
    Run.objects.all().delete()
    assert query.rows(pk=0, since=NOON) == []


def test_it_returns_records_up_to_a_limit():
    def first_ones(queue, limit):
        return Run.objects.filter(queue=queue).order_by("pk")[:limit]

    query = Prepared(first_ones, "default", queue=str, limit=Limit)
    for limit in (1, 3, 10):
        found = query.records(queue="default", limit=limit)
        assert found == list(Run.objects.order_by("pk")[:limit])
        assert [vars(run) | {"_state": None} for run in found] == [
            vars(run) | {"_state": None} for run in Run.objects.order_by("pk")[:limit]
        ]
        assert {(run._state.db, run._state.adding) for run in found} == {("default", False)}
    assert query.records(queue="other", limit=3) == []


def test_its_records_read_later_what_is_deferred(django_assert_num_queries):
    query = Prepared(lambda: Run.objects.defer("payload").order_by("pk")[:1], "default")
    with django_assert_num_queries(1):
        [run] = query.records()
        assert run.get_deferred_fields() == {"payload"}
    assert (run, run.payload) == (Run.objects.order_by("pk")[0], {})


def test_it_refuses_a_query_that_makes_something_else_of_a_value():
    def ready_within_a_minute(now):
        return Run.objects.filter(ready_at__range=(now, now + MINUTE))

    with pytest.raises(ValueError, match=r"^now is not taken as it is: give what is made of it"):
        Prepared(ready_within_a_minute, "default", now=type(NOON))


def test_names_that_never_change_are_given_as_a_part_of_the_statement():
    """SQLite sees only then that a partial index serves, without a look at what is given."""

    def ready_ones(engine, now):
        return Run.objects.queued().filter(engine=engine, ready_at__lte=now).values_list("pk")

    statements = []

    def note(execute, sql, params, many, context):
        statements.append(sql)
        return execute(sql, params, many, context)

    query = Prepared(ready_ones, "default", engine=str, now=type(NOON))
    with connection.execute_wrapper(note):
        assert len(query.rows(engine="", now=NOON)) == 1
    [statement] = statements
    assert "= 'queued'" in statement
    assert statement.count("%s") == 2


def test_it_takes_any_number_of_keys(django_assert_num_queries):
    def of_these(pks, state, limit):
        found = Run.objects.filter(pk__in=pks, state=state).exclude(pk__in=[1_000_000])
        return found.order_by("pk")[:limit]

    query = Prepared(of_these, "default", state=str, pks=Keys, limit=Limit)
    all_pks = sorted(Run.objects.values_list("pk", flat=True))
    for pks in ([], all_pks[:1], all_pks, [*all_pks, -1], [2**62]):
        expected = list(of_these(pks, "queued", 3))
        with django_assert_num_queries(1 if pks else 0):
            assert query.records(pks=pks, state="queued", limit=3) == expected
    assert query.records(pks=all_pks, state="running", limit=3) == []
