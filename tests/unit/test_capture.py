"""Whose output is captured, and that nothing else about printing and logging changes."""

import contextlib
import io
import logging
import sys
import threading

import pytest
from celery.utils.log import LoggingProxy
from django.test import override_settings

from sisy.execution import ThreadPool
from sisy.runtime.capture import CapturedStream, capturing
from tests.app import talkative_jobs
from tests.unit.runs import executed, run_of


@pytest.fixture
def pool(pool_of):
    return pool_of(ThreadPool, 2)


async def captured(pool, run):
    """Return the outcome of a run in a process that captures."""
    # Not in a fixture: pytest replaces the streams between its phases.
    with capturing():
        return await executed(pool, run)


def text_of(outcome):
    return "" if outcome.report is None else outcome.report.head


async def test_a_run_keeps_what_its_function_prints_and_logs(pool, capsys):
    outcome = await captured(pool, run_of(talkative_jobs.prints))
    first, second, third = text_of(outcome).splitlines()
    assert (first, second) == ("printed", "to standard error")
    assert third.endswith(" WARNING shop: logged so")
    assert outcome.report.written == len(text_of(outcome))


async def test_what_is_printed_is_passed_on(pool_of):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), capturing():
        await executed(pool_of(ThreadPool, 1), run_of(talkative_jobs.prints))
    assert out.getvalue() == "printed\n"
    assert err.getvalue().startswith("to standard error\n")


async def test_coroutines_and_their_threads_belong_to_their_run(pool):
    lines = text_of(await captured(pool, run_of(talkative_jobs.aprints))).splitlines()
    assert sorted(lines) == [
        "before",
        "in a thread of asgiref",
        "in a thread of asyncio",
        "task 0",
        "task 1",
    ]


async def test_threads_with_a_copied_context_belong_to_their_run(pool):
    text = text_of(await captured(pool, run_of(talkative_jobs.prints_in_threads)))
    lines = [line.split(" ", 3)[-1] if "WARNING" in line else line for line in text.splitlines()]
    assert lines == ["in a copied context", "in a pool", "task 7"]


async def test_a_function_that_fails_keeps_what_it_printed(pool):
    outcome = await captured(pool, run_of(talkative_jobs.prints_and_fails))
    assert text_of(outcome) == "before the error\n"


async def test_a_silent_function_reports_nothing(pool):
    assert (await captured(pool, run_of(talkative_jobs.is_silent))).report is None


async def test_runs_at_the_same_time_do_not_mix(pool):
    outcomes = [await captured(pool, run_of(talkative_jobs.aprints, pk=n)) for n in range(5)]
    assert {len(text_of(outcome).splitlines()) for outcome in outcomes} == {5}


@pytest.mark.parametrize(
    ("value", "has_print", "has_log"),
    [("all", True, True), ("logs", False, True), ("off", False, False)],
)
async def test_the_setting_says_what_is_kept(pool_of, value, has_print, has_log):
    before = sys.stdout
    with override_settings(SISY_CAPTURE=value), capturing():
        assert (sys.stdout is before) is not has_print
        text = text_of(await executed(pool_of(ThreadPool, 1), run_of(talkative_jobs.prints)))
    assert ("printed" in text, "logged" in text) == (has_print, has_log)


async def test_nothing_is_kept_without_capturing(pool_of):
    outcome = await executed(pool_of(ThreadPool, 1), run_of(talkative_jobs.prints))
    assert outcome.report is None


def test_the_streams_are_as_before_afterwards():
    before = sys.stdout, sys.stderr
    with capturing(), capturing():
        assert isinstance(sys.stdout, CapturedStream)
    assert (sys.stdout, sys.stderr) == before


def test_a_captured_stream_is_like_its_stream(tmp_path):
    with (tmp_path / "out").open("w+", encoding="latin-1") as file:
        stream = CapturedStream(file)
        assert stream.write("ä") == 1
        stream.writelines(["b", "c"])
        print("d", file=stream, flush=True)
        stream.seek(0)
        assert list(stream) == ["äbcd\n"]
        assert (stream.encoding, stream.fileno()) == ("latin-1", file.fileno())
        with pytest.raises(TypeError):
            stream.write(b"bytes")


@pytest.fixture
def bare_logging():
    """Return a function that removes all handlers, as in a project without LOGGING."""
    root = logging.getLogger()
    before = root.handlers

    def remove():
        root.handlers = []
        return root

    yield remove
    root.handlers = before


async def test_the_handler_of_last_resort_still_prints(bare_logging, pool_of, monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    root = bare_logging()
    with override_settings(SISY_CAPTURE="logs"), capturing():
        outcome = await executed(pool_of(ThreadPool, 1), run_of(talkative_jobs.prints))
        assert not root.handlers
    assert said.getvalue() == "to standard error\nlogged so\n"
    assert text_of(outcome).count("logged so") == 1


async def test_what_a_handler_prints_is_kept_once(bare_logging, pool_of, monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    bare_logging()
    with capturing():
        outcome = await executed(pool_of(ThreadPool, 1), run_of(talkative_jobs.prints))
    assert said.getvalue() == "to standard error\nlogged so\n"
    assert text_of(outcome).count("logged so") == 1


async def test_what_a_stream_logs_is_kept_once(pool_of, monkeypatch, caplog):
    """A worker of Celery logs what is printed."""
    stream = LoggingProxy(logging.getLogger("celery.redirected"))
    monkeypatch.setattr(sys, "stdout", stream)
    with capturing():
        outcome = await executed(pool_of(ThreadPool, 1), run_of(talkative_jobs.prints))
    assert "printed" in caplog.messages
    assert text_of(outcome).splitlines()[:2] == ["printed", "to standard error"]
    assert text_of(outcome).count("printed") == 1


async def test_a_logger_that_does_not_propagate_is_kept(pool, monkeypatch):
    monkeypatch.setattr(talkative_jobs.logger, "propagate", False)
    assert "logged so" in text_of(await captured(pool, run_of(talkative_jobs.prints)))


def logs_errors(message):
    try:
        raise KeyError("a secret drawer")
    except KeyError:
        talkative_jobs.logger.exception("could not open")
    talkative_jobs.logger.error("%d is missing", "a number")
    talkative_jobs.logger.debug("too quiet")


class Formatter(logging.Formatter):
    def formatException(self, exc_info):  # noqa: N802 - the name of logging
        return "in my own words"


async def test_tracebacks_and_bad_arguments_are_kept(pool, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(Formatter())
    talkative_jobs.logger.addHandler(handler)
    try:
        text = text_of(await captured(pool, run_of(logs_errors)))
    finally:
        talkative_jobs.logger.removeHandler(handler)
    assert "KeyError: 'a secret drawer'\n" in text
    assert "ERROR shop: %d is missing\n" in text
    assert "too quiet" not in text
    assert said.getvalue() == "could not open\nin my own words\n"


class Unspeakable:
    def __str__(self):
        raise ValueError("no words")

    __repr__ = __str__


def logs_what_has_no_words(message):
    talkative_jobs.logger.warning(Unspeakable())
    return "fine"


async def test_a_record_without_words_fails_no_run(pool, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    outcome = await captured(pool, run_of(logs_what_has_no_words))
    assert outcome.result == "fine"
    assert text_of(outcome) == "A log record could not be written as text.\n"


class Rebellious(str):
    """A text whose methods fail."""

    def __len__(self):
        raise ValueError("too long")

    def __bool__(self):
        raise ValueError("neither")

    def replace(self, *args):
        raise ValueError("irreplaceable")


def prints_rebellious_text(message):
    print(Rebellious("printed"))
    return "fine"


async def test_a_text_whose_methods_fail_is_kept_as_a_text(pool):
    outcome = await captured(pool, run_of(prints_rebellious_text))
    assert outcome.result == "fine"
    assert text_of(outcome) == "printed\n"


async def test_a_filter_of_a_logger_decides_for_the_run_too(pool):
    talkative_jobs.logger.addFilter(rejects := lambda record: False)
    try:
        assert "logged" not in text_of(await captured(pool, run_of(talkative_jobs.prints)))
    finally:
        talkative_jobs.logger.removeFilter(rejects)


def prints_later(message):
    def later():
        ended.wait(30)
        print("too late")
        printed.set()

    ended, printed = message["task"].userdata["events"]
    import contextvars

    threading.Thread(target=contextvars.copy_context().run, args=(later,)).start()
    print("in time")


async def test_a_thread_that_outlives_its_run_adds_nothing(pool):
    ended, printed = threading.Event(), threading.Event()
    run = run_of(prints_later)
    run.task._extra_data = {"events": (ended, printed)}
    outcome = await captured(pool, run)
    ended.set()
    assert printed.wait(30)
    assert text_of(outcome) == "in time\n"
