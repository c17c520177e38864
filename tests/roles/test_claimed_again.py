"""A worker that was frozen may claim a run again while it still executes a lost attempt of it."""

import gc
from contextvars import copy_context
from copy import copy
from types import SimpleNamespace

import pytest
import sentry_sdk

from sisy.alerting import sentry
from sisy.models import Role, RunState
from sisy.models.lease import Lease
from sisy.worker.claim_session import ClaimSession
from sisy.worker.missing_code import Unresolved
from sisy.worker.prefetch import InFlight
from tests.roles.steps import finish, held_run
from tests.support.moments import NOON
from tests.support.records import scheduled, stored, worker
from tests.support.sentry import sentry_active

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clocks")]


def test_an_unconfirmed_claim_of_a_run_that_was_lost_is_released():
    scheduled("0 0 1 1 *").run_now()
    in_flight, outcomes = InFlight(10), SimpleNamespace(unrecorded=set())
    lease = Lease(Role.WORKER, "default", queues=["default"], slots=10)
    session = ClaimSession("default", ["default"], lease, in_flight, outcomes, Unresolved())
    [again] = session.claim(1, was_rung_for=True)  # and its answer is lost
    lost = copy(again)
    lost.attempt = 0
    in_flight.take(lost)
    in_flight.take(again)
    session.release_unconfirmed()
    assert stored(again).state == RunState.RUNNING
    in_flight.drop(again)
    session.release_unconfirmed()
    assert stored(again).state == RunState.QUEUED


def call(run, *tags):
    """Call the function of a run in a context of its own, as a pool does."""
    sentry.on_call(run)
    for tag in tags:
        sentry_sdk.set_tag(tag, "set")


def test_what_a_function_gave_sentry_stays_when_a_lost_attempt_ends():
    again = held_run(worker())
    again.attempt = 2
    lost = copy(again)
    lost.attempt = 1
    type(again).objects.filter(pk=again.pk).update(attempt=2)
    with sentry_active() as transport:
        for run, *tags in ((lost, "lost"), (again, "again"), (lost,)):
            copy_context().run(call, run, *tags)
        del lost, run
        gc.collect()
        finish(again, NOON, state=RunState.FAILED, reason="no disk", error_class="OSError")
        [event] = transport.events
    assert "again" in event["tags"]
    assert "lost" not in event["tags"]
