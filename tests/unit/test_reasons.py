"""A state and its reason make one statement, which says nothing twice."""

import logging
from datetime import UTC

import pytest

from sisy.messaging import run_log
from sisy.models import Process, Role, Run
from sisy.records.choices import STOPPED, with_reason
from sisy.reports.explain import why_run
from sisy.reports.formatting import schedule_error
from tests.support.moments import NOON


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
        (
            "Released for another worker: Cannot import shop.jobs.greet.",
            "greet #7 was released for another worker: Cannot import shop.jobs.greet.",
        ),
        ("Its worker was stopped.", "greet #7 was released: Its worker was stopped."),
    ],
)
def test_the_log_says_once_that_a_run_was_released(caplog, reason, line):
    with caplog.at_level(logging.INFO, "sisy.runs"):
        run_log.on_released(run=Run(pk=7, label="greet", reason=reason, state="queued"))
    assert caplog.messages == [line]


@pytest.mark.parametrize(
    ("reason", "statement"),
    [
        ("Cancelled by ann.", "Run 7 was cancelled by ann (attempt 2)."),
        ("The host restarts.", "Run 7 was cancelled: The host restarts (attempt 2)."),
        ("", "Run 7 was cancelled (attempt 2)."),
    ],
)
def test_the_attempt_follows_the_reason(reason, statement):
    run = Run(pk=7, label="greet", reason=reason, state="cancelled", attempt=2)
    assert why_run(run, UTC, NOON) == statement


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            "minute: 61 is out of range.",
            "The schedule 'x' is not valid: minute: 61 is out of range.",
        ),
        ("The schedule 'x' has 1 field, not five.", "The schedule 'x' has 1 field, not five."),
        ("The schedule 'x' is not valid: no.", "The schedule 'x' is not valid: no."),
    ],
)
def test_an_error_that_names_the_schedule_is_not_introduced_by_it_again(error, sentence):
    assert schedule_error("The schedule 'x'", error) == sentence


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        (STOPPED, "worker 7@web stopped"),
        ("It did not renew its lease.", "worker 7@web did not renew its lease."),
        ("It died (killed by SIGKILL).", "worker 7@web died (killed by SIGKILL)."),
    ],
)
def test_the_log_says_how_a_process_ended(caplog, reason, line):
    with caplog.at_level(logging.INFO, "sisy.workers"):
        run_log.on_offline(process=Process(role=Role.WORKER, pid=7, host="web"), reason=reason)
    assert caplog.messages == [line]


def test_the_log_says_once_that_a_run_was_cancelled(caplog):
    run = Run(pk=5, label="greet", reason="Cancelled by ann.", state="cancelled")
    with caplog.at_level(logging.INFO, "sisy.runs"):
        run_log.on_cancelled(run=run)
    assert caplog.messages == ["greet #5 was cancelled by ann."]
