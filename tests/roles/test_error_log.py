"""Runs that end badly, as error trackers and Django's mail to admins see them."""

import logging
import logging.config

import pytest
from django.core import mail

from sisy import signals
from sisy.exceptions import RemoteError, RunLost, RunTimedOut
from sisy.execution import ProcessPool, ThreadPool
from sisy.heartbeat import tick
from sisy.models import OnLost, Run, RunState, task_with_callable
from sisy.runtime import signal_dispatch
from sisy.worker.claim import claim
from tests.app import jobs
from tests.docs.pages import DOCS, blocks_of
from tests.roles.at_work import at_work
from tests.roles.steps import LEASE, finish
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker
from tests.support.waiting import wait_until
from tests.unit.functions import checks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def records(caplog):
    """Return what a tracker gets: records of errors, with their exceptions."""

    def errors():
        signal_dispatch.flush(10)
        return [record for record in caplog.records if record.levelno >= logging.ERROR]

    return errors


def carried_out(pool, fn=jobs.fails, **fields):
    """Return a run after a worker with such a pool has carried it out."""
    task = task_with_callable(fn, label="report", schedule="@yearly", **fields)
    task.save()
    run = task.run_now()
    with at_work(pool=pool):
        wait_until(lambda: not Run.objects.live().filter(pk=run.pk).exists())
    return Run.objects.get(pk=run.pk)


def test_a_failed_run_is_an_error_with_the_exception_itself(records):
    run = carried_out(ThreadPool)
    [record] = records()
    kind, error, traceback = record.exc_info
    assert (kind, str(error)) == (RuntimeError, "it was to be expected")
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    assert traceback.tb_frame.f_code.co_name == "fails"
    assert record.getMessage() == f"{run} failed: RuntimeError: it was to be expected"


def test_the_log_template_is_constant_and_details_are_arguments(records):
    runs = [carried_out(ThreadPool), carried_out(ThreadPool)]
    assert {record.msg for record in records()} == {"%s failed: %s"}
    for run, record in zip(runs, records(), strict=True):
        assert (record.run, record.label, record.task) == (run.pk, "report", run.task_id)
        assert (record.target, record.queue, record.attempt) == (run.target_path, "default", 1)
        assert (record.origin, record.state, record.due_at) == ("manual", "failed", None)


def test_a_failure_in_a_child_process_is_logged_with_its_traceback(records):
    carried_out(ProcessPool)
    [record] = records()
    kind, error, _ = record.exc_info
    assert (kind, str(error)) == (RemoteError, "RuntimeError: it was to be expected")
    assert error.error_class == "builtins.RuntimeError"
    written = logging.Formatter().format(record)
    assert 'raise RuntimeError("it was to be expected")' in written
    assert "tests/app/jobs.py" in written


@pytest.mark.parametrize("pool", [ThreadPool, ProcessPool])
def test_a_run_that_timed_out_has_an_exception_too(records, pool):
    carried_out(pool, checks, timeout=SECOND / 5)
    [record] = records()
    assert record.msg == "%s timed out: %s"
    assert "RunTimedOut" in str(record.exc_info[1]) or record.exc_info[0] is RunTimedOut


def test_a_retry_is_a_warning_with_the_exception(caplog, records):
    carried_out(ThreadPool, max_attempts=2, retry_delay=SECOND * 0)
    [error] = records()
    [warning] = [each for each in caplog.records if each.msg == "%s will be retried: %s"]
    assert (warning.attempt, error.attempt) == (1, 2)
    assert {warning.exc_info[0], error.exc_info[0]} == {RuntimeError}


def test_a_lost_run_is_logged_as_an_error_or_a_warning_if_it_is_retried(at_time, caplog, records):
    at_time(NOON)
    scheduled(label="once", on_lost=OnLost.FAIL)
    scheduled(label="again")
    tick("default", NOON + MINUTE)
    claim(worker(NOON + MINUTE, LEASE), ["default"], 10, NOON + MINUTE)
    tick("default", NOON + MINUTE + LEASE + SECOND)
    [error] = records()
    assert (error.label, error.exc_info[0]) == ("once", RunLost)
    assert error.msg == "%s was lost: %s"
    [warning] = [each for each in caplog.records if getattr(each, "label", "") == "again"]
    assert (warning.levelname, warning.state) == ("WARNING", RunState.QUEUED)


@pytest.mark.parametrize("pool", [ThreadPool, ProcessPool])
def test_signals_contain_the_exception(pool):
    heard = []

    def hear(sender, run, exception, **kwargs):
        heard.append((run.state, exception))

    signals.run_finished.connect(hear)
    try:
        carried_out(pool)
        carried_out(pool, jobs.noop)
        signal_dispatch.flush(10)
    finally:
        signals.run_finished.disconnect(hear)
    assert [state for state, _ in heard] == [RunState.FAILED, RunState.SUCCEEDED]
    assert [type(exception) for _, exception in heard] == [
        RuntimeError if pool is ThreadPool else RemoteError,
        type(None),
    ]


def test_an_outcome_without_an_exception_is_logged_with_its_reason(at_time, records):
    at_time(NOON)
    scheduled("@yearly").run_now()
    [run] = claim(worker(), ["default"], 1, NOON)
    finish(run, NOON, RunState.FAILED, reason="KeyError: 'x'", error="Traceback …")
    [record] = records()
    assert (record.exc_info[0], str(record.exc_info[1])) == (RemoteError, "KeyError: 'x'")


@pytest.fixture
def logging_of_the_manual():
    """Let Sisy's log lines go where the manual's LOGGING sends them."""
    page = DOCS / "reference" / "signals.md"
    [block] = [block for block in blocks_of(page) if "AdminEmailHandler" in block.text]
    settings = {}
    exec(block.text, settings)
    config = settings["LOGGING"]
    sisy = logging.getLogger("sisy")
    before = sisy.handlers[:], sisy.level, sisy.propagate
    logging.config.dictConfig({**config, "incremental": False})
    yield
    sisy.handlers[:], sisy.level, sisy.propagate = before


# Django 6.1 warns projects that configure their mail as before.
@pytest.mark.filterwarnings("ignore:Django 2028 will not have a default mailer")
@pytest.mark.filterwarnings("ignore:Using .name, address. pairs in the ADMINS setting")
@pytest.mark.parametrize("pool", [ThreadPool, ProcessPool])
def test_admins_get_a_mail_with_the_traceback(settings, logging_of_the_manual, pool):
    settings.ADMINS = [("Admin", "admin@example.com")]
    run = carried_out(pool)
    signal_dispatch.flush(10)
    [message] = mail.outbox
    assert message.to == ["admin@example.com"]
    assert f"ERROR: {run} failed: RuntimeError: it was to be expected" in message.subject
    assert 'raise RuntimeError("it was to be expected")' in message.body
