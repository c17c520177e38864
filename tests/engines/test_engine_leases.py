"""The lease of a run on another engine, while its function runs."""

import pytest

from sisy.engines import execute
from sisy.engines.execute import execute_dispatched
from sisy.models import Process
from tests.support.clocks import clock_at
from tests.support.moments import NOON, SECOND
from tests.support.records import scheduled, stored
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

clocks, keys = [], []


def waits_for_a_renewal(message):
    clocks[-1].moment = NOON + 10 * SECOND
    renewed = Process.objects.filter(lease_until__gt=NOON + 35 * SECOND)
    wait_until(renewed.exists)
    keys.append(renewed.get().pk)


def loses_its_process(message):
    keys.append(Process.objects.get().pk)
    Process.objects.all().delete()
    waits_for_a_renewal(message)


@pytest.fixture
def execute_until_renewed(monkeypatch):
    monkeypatch.setattr(execute, "CHECK_INTERVAL", 0.01)
    keys.clear()

    def execute_until_renewed(function):
        with clock_at(NOON) as clock:
            clocks.append(clock)
            run = scheduled(fn=function, engine="some day").run_now()
            execute_dispatched(run.pk)
        assert not Process.objects.exists()
        return stored(run)

    return execute_until_renewed


def test_the_lease_is_renewed_while_the_function_runs(execute_until_renewed):
    assert execute_until_renewed(waits_for_a_renewal).state == "succeeded"
    assert len(keys) == 1


def test_an_engine_that_lost_its_lease_registers_again(execute_until_renewed):
    execute_until_renewed(loses_its_process)
    assert len(set(keys)) == 2
