"""A process that a function has forked spoils no connection of the worker."""

import os

import pytest
from asgiref.sync import async_to_sync

from sisy.models import RunState
from tests.app.models import Counter
from tests.unit.copying import end_of
from tests.unit.runs import executed, run_of

pytestmark = pytest.mark.django_db(transaction=True)


def forks_between_queries(message):
    Counter.objects.count()
    if (copy := os.fork()) == 0:
        return "the copy"
    ended = end_of(copy)
    Counter.objects.create()
    return ended


def test_a_forked_copy_that_returns_closes_no_connection(pool):
    for _ in range(2):
        outcome = async_to_sync(executed)(pool, run_of(forks_between_queries))
        assert (outcome.state, outcome.result) == (RunState.SUCCEEDED, "ended with 0")
    assert Counter.objects.count() == 2
