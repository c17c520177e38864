"""A state and its reason make one statement, which says nothing twice."""

import logging

import pytest

from sisy.messaging import run_log
from sisy.models import Process, Role, Run
from sisy.records.reasons import STOPPED, with_reason


@pytest.mark.parametrize(
    ("reason", "statement"),
    [
        ("Cancelled.", "was cancelled."),
        ("Cancelled by ann.", "was cancelled by ann."),
        ("Cancelled with sisy_tasks.", "was cancelled with sisy_tasks."),
        ("The host restarts.", "was cancelled: The host restarts."),
        ("Cancelledx.", "was cancelled: Cancelledx."),
        ("", "was cancelled."),
    ],
)
def test_a_reason_does_not_repeat_the_state(reason, statement):
    assert with_reason("was cancelled", reason) == statement


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        (STOPPED, "worker 7@web stopped"),
        ("It did not renew its lease.", "worker 7@web is gone: it did not renew its lease."),
    ],
)
def test_the_log_says_of_a_process_itself_how_it_ended(caplog, reason, line):
    with caplog.at_level(logging.INFO, "sisy.workers"):
        run_log.on_offline(process=Process(role=Role.WORKER, pid=7, host="web"), reason=reason)
    assert caplog.messages == [line]


def test_the_log_says_once_that_a_run_was_cancelled(caplog):
    run = Run(pk=5, label="greet", reason="Cancelled by ann.", state="cancelled")
    with caplog.at_level(logging.INFO, "sisy.runs"):
        run_log.on_cancelled(run=run)
    assert caplog.messages == ["greet #5 was cancelled by ann."]
