"""Processes count in memory, and the totals of a site only grow."""

import threading

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from sisy.engines.execute import execute_dispatched
from sisy.heartbeat import tick
from sisy.messaging import doorbell, messages
from sisy.models import Role, Run, RunState, Tally
from sisy.models.lease import Lease
from sisy.monitoring import counting
from sisy.monitoring.counts import (
    DURATION,
    LATENESS,
    MAX_SERIES,
    OTHER,
    RETRIES,
    RINGS,
    RUNS,
    TASK_RUNS,
    Counts,
)
from sisy.records.outcome import Outcome
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.app import jobs
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("noon"),
]

PAUSED = "0 0 1 1 *"


@pytest.fixture(autouse=True)
def _afresh():
    counting.forget()
    yield
    counting.forget()


def execute(number=1, state=RunState.SUCCEEDED, *, late=SECOND, lasted=MINUTE, **fields):
    """Submit, claim and record runs of one task."""
    task = scheduled(PAUSED, overlap="allow", **{"label": "tea", **fields})
    for _ in range(number):
        task.run_now()
    runs = claim(worker(), [task.queue], number, NOON)
    started_at = NOON + late
    outcome = Outcome(started_at, started_at + lasted, state=state, **failure_of(state))
    record("default", [(run, outcome) for run in runs], NOON + HOUR)
    return task


def failure_of(state):
    if state != RunState.FAILED:
        return {}
    return {"error_class": "builtins.KeyError", "reason": "KeyError: 'x'", "error": "Traceback"}


def totals():
    counting.flush("default")
    return counting.read("default")


def test_a_recorded_run_is_counted_and_measured_by_its_queue():
    execute(3, queue="mail")
    found = totals()
    assert found.counters[RUNS] == {("mail", "succeeded", ""): 3}
    [lateness] = found.histograms[LATENESS].values()
    [duration] = found.histograms[DURATION].values()
    assert (sum(lateness[:-1]), lateness[-1]) == (3, 3.0)
    assert (sum(duration[:-1]), duration[-1]) == (3, 180.0)
    assert (lateness[5], duration[9]) == (3, 3)  # up to 1 s, up to 60 s


def test_runs_add_no_statement_until_the_lease_is_renewed():
    with CaptureQueriesContext(connection) as few:
        execute(1)
    Run.objects.all().delete()
    with CaptureQueriesContext(connection) as with_counts:
        execute(1)
    assert not [query for query in with_counts if "tally" in query["sql"]]
    assert len(few) == len(with_counts)


def test_the_renewal_of_a_lease_stores_what_was_counted_once():
    lease = Lease(Role.WORKER, "default", queues=("default",), slots=1)
    lease.renew()
    assert not Tally.objects.exists()
    execute(5)
    lease.renew()
    assert counting.read("default").counters[RUNS] == {("default", "succeeded", ""): 5}
    with CaptureQueriesContext(connection) as renewal:
        lease.renew()
    assert not [query for query in renewal if "tally" in query["sql"]]
    lease.end()
    assert counting.read("default").counters[RUNS] == {("default", "succeeded", ""): 5}


def test_the_end_of_a_lease_stores_what_was_counted_last():
    lease = Lease(Role.WORKER, "default", queues=("default",), slots=1)
    lease.renew()
    execute(2)
    lease.end()
    assert counting.read("default").counters[RUNS] == {("default", "succeeded", ""): 2}


def test_the_totals_continue_in_another_process_and_never_decrease():
    execute(2)
    assert totals().counters[RUNS] == {("default", "succeeded", ""): 2}
    counting.forget()  # as a restart does
    execute(3, label="coffee")
    assert totals().counters[RUNS] == {("default", "succeeded", ""): 5}
    assert Tally.objects.count() == 1


def test_a_failed_store_keeps_the_counts_for_the_next_renewal(monkeypatch):
    execute(2)

    def away(*args):
        raise OperationalError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(counting, "_store", away)
        counting.flush("default")
    execute(1, label="coffee")
    assert totals().counters[RUNS] == {("default", "succeeded", ""): 3}


def test_a_process_that_freezes_with_a_lock_does_not_stop_the_others():
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("SQLite locks the whole database, and frees it when a process ends")
    execute(1)
    counting.flush("default")
    has_locked, may_end = threading.Event(), threading.Event()

    def freeze():
        with transaction.atomic():
            list(Tally.objects.select_for_update())
            has_locked.set()
            may_end.wait(60)
        connections.close_all()

    frozen = threading.Thread(target=freeze)
    frozen.start()
    try:
        assert has_locked.wait(60)
        execute(2, label="coffee")
        assert totals().counters[RUNS] == {("default", "succeeded", ""): 3}
        assert Tally.objects.count() == 2
    finally:
        may_end.set()
        frozen.join(60)


def test_totals_of_another_version_are_left_alone():
    Tally.objects.create(layout=0, totals={"runs": "of an old version"}, changed_at=NOON)
    execute(1)
    assert totals().counters[RUNS] == {("default", "succeeded", ""): 1}
    assert Tally.objects.get(layout=0).totals == {"runs": "of an old version"}


def test_each_outcome_has_a_reason_from_a_short_list(noon):
    execute(1, RunState.FAILED)
    execute(1, RunState.TIMED_OUT)
    execute(1, RunState.CANCELLED)
    execute(1, RunState.LOST, on_lost="fail")
    scheduled(PAUSED).run_now().cancel("No longer wanted.")
    scheduled("* * * * *", missed="skip", queue="elsewhere").pause()
    late = scheduled("* * * * *", missed="skip", queue="elsewhere")
    noon.moment = NOON + 10 * MINUTE + SECOND
    tick("default", noon.moment)
    late.delete()
    often = scheduled("* * * * *", overlap="skip", queue="busy")
    for _ in range(2):
        noon.moment += MINUTE
        tick("default", noon.moment)
        claim(worker(noon.moment), ["busy"], 1, noon.moment)
    assert often.runs.count() == 2
    assert totals().counters[RUNS] == {
        ("default", "failed", "builtins.KeyError"): 1,
        ("default", "timed_out", "timeout"): 1,
        ("default", "cancelled", "running"): 1,
        ("default", "lost", "worker_died"): 1,
        ("default", "cancelled", "queued"): 1,
        ("elsewhere", "cancelled", "queued"): 1,
        ("elsewhere", "missed", "skip"): 9,
        ("busy", "skipped", "overlap"): 1,
    }


def test_a_retry_is_counted_and_is_not_an_end():
    execute(1, RunState.FAILED, max_attempts=3)
    execute(1, RunState.LOST, label="coffee")
    found = totals()
    assert found.counters == {
        RETRIES: {("default", "builtins.KeyError"): 1, ("default", "lost"): 1}
    }
    assert not found.histograms


def test_a_process_without_a_lease_stores_a_cancellation_at_once():
    run = scheduled(PAUSED).run_now()
    run.cancel("No longer wanted.")
    assert counting.read("default").counters[RUNS] == {("default", "cancelled", "queued"): 1}


def test_only_chosen_tasks_have_metrics_of_their_own(settings):
    settings.SISY_METRICS_TASKS = ["te?", "import *"]
    for label in ("tea", "import prices", "coffee"):
        execute(1, label=label)
    assert totals().counters[TASK_RUNS] == {
        ("tea", "succeeded"): 1,
        ("import prices", "succeeded"): 1,
    }


def test_a_metric_has_a_limited_number_of_series():
    counts = Counts()
    for number in range(MAX_SERIES[RUNS] + 50):
        counts.add(RUNS, ("default", "failed", f"shop.Error{number}"))
    for number in range(MAX_SERIES[LATENESS] + 50):
        counts.observe(LATENESS, (f"tenant{number}",), 1.0)
    for number in range(MAX_SERIES[RETRIES] + 50):
        counts.add(RETRIES, ("default", f"shop.Error{number}"))
    assert len(counts.counters[RUNS]) == MAX_SERIES[RUNS] + 1
    assert counts.counters[RUNS][OTHER, "failed", OTHER] == 50
    assert sum(counts.histograms[LATENESS][(OTHER,)][:-1]) == 50
    assert counts.counters[RETRIES][OTHER, OTHER] == 50
    again = Counts.sum_of([counts.as_json(), counts.as_json()])
    assert sum(again.counters[RUNS].values()) == 2 * (MAX_SERIES[RUNS] + 50)
    assert len(again.counters[RUNS]) == MAX_SERIES[RUNS] + 1


def test_labels_of_any_text_come_back_unchanged(settings):
    settings.SISY_METRICS_TASKS = ["*"]
    counts = Counts()
    for label in ('"', "a|b", "\u2028", "[1, 2]", "\U0001f375", "x" * 255):
        counts.add(TASK_RUNS, (label, "failed"))
    assert Counts.of_json(counts.as_json()) == counts
    Tally.objects.create(layout=1, totals=counts.as_json(), changed_at=NOON)
    assert counting.read("default") == counts


def test_rings_are_stored_with_the_runs_that_a_worker_counts():
    doorbell.take_received()
    run = scheduled(PAUSED).run_now()
    ring = messages.run_task(run)
    for _ in range(3):
        doorbell._receive_ring("sisy.run_task", lambda: None, ring)
    counting.flush("default")
    assert not Tally.objects.exists()
    execute(1, label="coffee", queue="mail")
    assert totals().counters[RINGS] == {("sisy.run_task",): 3}


def test_a_run_on_another_engine_is_counted_by_the_process_that_executes_it():
    run = scheduled(PAUSED, fn=jobs.noop, engine="some day").run_now()
    execute_dispatched(run.pk)
    assert counting.read("default").counters[RUNS] == {("default", "succeeded", ""): 1}


def test_a_fork_does_not_store_what_its_parent_has_counted():
    execute(2)
    ring = messages.run_task(scheduled(PAUSED, label="coffee").run_now())
    doorbell._receive_ring("sisy.run_task", lambda: None, ring)
    counting.forget()  # what a fork calls
    assert not doorbell.take_received()
    assert totals().counters == {}
