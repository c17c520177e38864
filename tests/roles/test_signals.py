"""What receivers of signals hear, when, and in which thread."""

import logging
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import transaction

from sisy import signals
from sisy.heartbeat import tick
from sisy.models import Overlap, Process, Run, RunState, Task
from sisy.runtime import signal_dispatch
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.at_work import at_work
from tests.roles.steps import LEASE, finish
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = [
    "run_planned",
    "run_started",
    "run_finished",
    "run_retrying",
    "run_lost",
    "run_missed",
    "run_skipped",
    "task_retired",
    "worker_online",
    "worker_offline",
]


@pytest.fixture
def heard():
    """Return a list of what is told: the name of the signal, and what was sent with it."""
    news = []
    with listening(lambda name, **sent: news.append((name, sent))):
        yield news


@contextmanager
def listening(hear):
    receivers = {}
    for name in NAMES:

        def receive(sender, signal, name=name, **sent):
            hear(name, **sent)

        receivers[name] = receive
        getattr(signals, name).connect(receive)
    try:
        yield
    finally:
        for name, receive in receivers.items():
            getattr(signals, name).disconnect(receive)


def names(heard):
    return [name for name, _ in heard]


def runs(heard, wanted):
    return [sent["run"] for name, sent in heard if name == wanted]


def test_a_run_is_planned_started_and_finished(noon, heard):
    scheduled(label="report")
    tick("default", NOON + MINUTE)
    [run] = claim(worker(), ["default"], 10, NOON + MINUTE)
    finish(run, NOON + MINUTE, reason="", result=7)
    assert names(heard) == ["run_planned", "worker_online", "run_started", "run_finished"]
    [ended] = runs(heard, "run_finished")
    assert (ended.pk, ended.state, ended.result) == (run.pk, RunState.SUCCEEDED, 7)
    assert ended.task.label == "report"


def test_manual_runs_are_announced_as_planned_too(noon, heard):
    scheduled().run_now()
    Task.run_once(jobs.noop)
    assert [run.origin for run in runs(heard, "run_planned")] == ["manual", "once"]


def test_no_signal_is_sent_for_a_rolled_back_change(noon, heard):
    task = scheduled()
    with transaction.atomic():
        task.run_now()
        assert heard == []
        transaction.set_rollback(True)
    assert heard == []


def test_a_retry_says_when_and_why_and_the_last_attempt_is_the_end(noon, heard):
    scheduled(max_attempts=2)
    tick("default", NOON + MINUTE)
    by = worker()
    [run] = claim(by, ["default"], 10, NOON + MINUTE)
    finish(run, NOON + MINUTE, RunState.FAILED, reason="KeyError: 'x'")
    [queued] = runs(heard, "run_retrying")
    assert queued.state == RunState.QUEUED
    assert "KeyError" in queued.reason
    later = NOON + 2 * MINUTE
    [again] = claim(by, ["default"], 10, later)
    finish(again, later, RunState.FAILED, reason="KeyError: 'x'")
    assert [run.state for run in runs(heard, "run_finished")] == [RunState.FAILED]


@pytest.mark.parametrize(
    ("on_lost", "state"), [("rerun", RunState.QUEUED), ("fail", RunState.LOST)]
)
def test_the_signal_for_a_lost_run_says_what_follows(noon, heard, on_lost, state):
    scheduled(on_lost=on_lost)
    tick("default", NOON + MINUTE)
    claim(worker(NOON + MINUTE, LEASE), ["default"], 10, NOON + MINUTE)
    tick("default", NOON + MINUTE + LEASE + SECOND)
    [lost] = runs(heard, "run_lost")
    assert lost.state == state == Run.objects.get(pk=lost.pk).state
    assert "did not renew its lease" in lost.reason
    [gone] = [sent for name, sent in heard if name == "worker_offline"]
    assert "did not renew its lease" in gone["reason"]


def test_missed_occurrences_send_one_signal_with_their_count(noon, heard):
    scheduled("* * * * *", missed="skip")
    tick("default", NOON + timedelta(hours=1))
    [missed] = runs(heard, "run_missed")
    assert missed.count == Run.objects.get(pk=missed.pk).count == 59


def test_pausing_a_task_reports_overdue_occurrences(noon, heard):
    task = scheduled()
    noon.moment = NOON + timedelta(hours=1, seconds=10)
    task.pause()
    assert [run.count for run in runs(heard, "run_missed")] == [60]


def test_a_skipped_run_names_the_run_that_blocked_it(noon, heard):
    scheduled(overlap=Overlap.SKIP)
    by = worker()
    tick("default", NOON + MINUTE)
    [first] = claim(by, ["default"], 10, NOON + MINUTE)
    later = NOON + 2 * MINUTE
    tick("default", later)
    assert claim(by, ["default"], 10, later + MINUTE / 2) == []
    [skipped] = runs(heard, "run_skipped")
    assert (skipped.state, skipped.blocked_by_id) == (RunState.SKIPPED, first.pk)


def test_a_task_without_a_further_occurrence_is_retired(noon, heard):
    task = scheduled(iterations=1)
    tick("default", NOON + MINUTE)
    [told] = [sent["task"] for name, sent in heard if name == "task_retired"]
    assert told.pk == task.pk


def test_the_start_and_the_end_of_a_worker_are_signalled(heard):
    with at_work():
        wait_until(lambda: Process.objects.exists())
    signal_dispatch.flush(10)
    assert names(heard) == ["worker_online", "worker_offline"]
    assert heard[1][1]["reason"] == "It stopped normally."


def test_a_failing_or_hanging_receiver_does_not_stop_a_worker(caplog):
    task = scheduled()
    let_go = threading.Event()

    def hear(name, **sent):
        let_go.wait(30)
        raise RuntimeError("a receiver that fails")

    with listening(hear):
        try:
            with at_work():
                for _ in range(3):
                    run = submit_quietly(task)
                    wait_until(lambda run=run: is_over(run))
        finally:
            let_go.set()
        signal_dispatch.flush(10)
    assert {run.state for run in Run.objects.all()} == {RunState.SUCCEEDED}


def submit_quietly(task):
    """Put a run into the ledger as somebody in another process would."""
    run = task.new_run(now=task.created_at)
    run.save()
    return run


def is_over(run):
    return Run.objects.get(pk=run.pk).state == RunState.SUCCEEDED


def test_receivers_in_a_worker_may_query_the_database(heard):
    found = []

    def hear(name, **sent):
        if name == "run_finished":
            found.append((Run.objects.get(pk=sent["run"].pk).state, threading.current_thread()))

    with listening(hear), at_work():
        submit_quietly(scheduled())
        wait_until(lambda: found)
    signal_dispatch.flush(10)
    assert [(state, thread.name) for state, thread in found] == [
        (RunState.SUCCEEDED, "sisy-signals")
    ]


def test_events_that_may_need_attention_are_logged(noon, caplog):
    caplog.set_level(logging.INFO, "sisy")
    scheduled(label="report")
    tick("default", NOON + MINUTE)
    [run] = claim(worker(), ["default"], 10, NOON + MINUTE)
    finish(run, NOON + MINUTE, RunState.FAILED, reason="KeyError: 'x'")
    [line] = [record for record in caplog.records if record.name == "sisy.runs"]
    assert line.levelname == "ERROR"
    assert line.getMessage() == f"report #{run.pk} failed: KeyError: 'x'"
