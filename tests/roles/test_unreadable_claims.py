"""A row that raw SQL has spoilt fails with the reason, and does not stop the claims of others."""

import pytest
from django.db import connection

from sisy.models import Run, RunState
from tests.roles.test_low_water import Claimer, queued
from tests.roles.test_unreadable import needs_spoilable
from tests.support.moments import MINUTE, NOON

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clocks")]


def spoil_ledger(run, column):
    """Store what the database takes for a moment, and Python does not, in the ledger alone."""
    moment = "infinity" if connection.vendor == "postgresql" else "2026-13-45 00:00:00"
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE sisy_run SET {column} = %s WHERE id = %s", [moment, run.pk])


@needs_spoilable
@pytest.mark.parametrize("column", ["ready_at", "planned_at", "due_at", "unresolved_since"])
def test_a_claim_passes_over_a_run_that_cannot_be_read(caplog, column):
    spoilt, good = queued(NOON - 2 * MINUTE), queued()
    spoil_ledger(spoilt, column)
    claimer = Claimer("default")  # it claims at once
    states = dict(Run.objects.values_list("pk", "state"))
    assert states == {spoilt.pk: RunState.FAILED, good.pk: RunState.RUNNING}
    [reason] = Run.objects.filter(pk=spoilt.pk).values_list("reason", flat=True)
    assert reason == "A timestamp in its row cannot be read. Correct the row and retry the run."
    assert f"Cannot read the row of queued run {spoilt.pk}; marked it as failed" in caplog.text
    later = queued()
    assert claimer.claim(rung=True) == [later]


def test_a_claim_that_fails_for_another_reason_raises(monkeypatch):
    run = queued()

    def breaks(*args, **kwargs):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("sisy.worker.claim_session.claim", breaks)
    with pytest.raises(RuntimeError):
        Claimer("default")
    assert Run.objects.get(pk=run.pk).state == RunState.QUEUED
