"""Errors and values of any class, and handlers of any kind, end a run at most."""

import logging

import pytest

from sisy.models import RunState
from sisy.runtime.log import log_named
from sisy.runtime.signal_dispatch import raise_as_exception
from sisy.runtime.threads import DaemonThreads, LoopThread
from sisy.runtime.user_errors import name_of, path_of, traceback_of, words_of
from tests.unit import foreign, leaving
from tests.unit.runs import by_name, executed, run_of

EACH = range(len(foreign.ERRORS))  # by number, since pytest asks the name of a class for an id


@pytest.fixture
def broken_log():
    """Let a project have a filter that raises for each line of Sisy."""

    class Broken(logging.Handler):
        def handle(self, record):
            foreign.leave()

    handler = Broken()
    logging.getLogger("sisy").addHandler(handler)
    yield
    logging.getLogger("sisy").removeHandler(handler)


def made(error_class):
    try:
        raise error_class
    except BaseException as error:  # noqa: BLE001 - of any class
        return error


@pytest.mark.parametrize("fn", [foreign.raises, foreign.araises], ids=by_name)
@pytest.mark.parametrize("n", EACH)
async def test_an_error_of_any_class_fails_its_run_and_reaches_signals(pool, fn, n):
    outcome = await executed(pool, run_of(fn, userdata={"n": n}))
    assert outcome.state == RunState.FAILED
    assert type(outcome.raised) is foreign.ERRORS[n]
    assert (await executed(pool, run_of(leaving.agrees))).state == RunState.SUCCEEDED


@pytest.mark.parametrize("fn", [foreign.returns, foreign.areturns], ids=by_name)
@pytest.mark.parametrize("n", range(len(foreign.VALUES)))
async def test_a_value_of_any_class_is_stored_or_reported_as_not_stored(pool, fn, n):
    outcome = await executed(pool, run_of(fn, userdata={"n": n}))
    assert outcome.state == RunState.SUCCEEDED
    assert outcome.reason.startswith("The return value was not stored:")
    assert (await executed(pool, run_of(leaving.agrees))).state == RunState.SUCCEEDED


@pytest.mark.parametrize("n", EACH)
def test_the_message_of_an_error_is_a_string(n):
    error = made(foreign.ERRORS[n])
    for text in (name_of(error), path_of(foreign.ERRORS[n]), words_of(error), traceback_of(error)):
        assert type(text) is str


@pytest.mark.parametrize("n", EACH)
def test_the_log_has_an_error_of_any_class(caplog, n):
    error = made(foreign.ERRORS[n])
    log_named("sisy.runs").error("%s failed: %s", 1, error, exc_info=error)
    (record,) = caplog.records
    assert type(record.exc_info[1]) is foreign.ERRORS[n]
    assert record.exc_text
    assert (record.filename, record.funcName) == (
        "test_foreign_errors.py",
        "test_the_log_has_an_error_of_any_class",
    )


def test_a_receiver_raises_an_exception_however_its_error_behaves():
    with pytest.raises(Exception, match="NoWordsAtAll"):
        raise_as_exception(made(foreign.NoWordsAtAll))


@pytest.mark.parametrize("function", [leaving.gathers, leaving.plain_gathers], ids=by_name)
async def test_a_log_handler_that_raises_ends_no_run_and_no_loop(broken_log, pool, function):
    for _ in range(2):
        assert (await executed(pool, run_of(function))).state == RunState.FAILED
        for sound in (leaving.agrees, leaving.plain_agrees):
            assert (await executed(pool, run_of(sound))).state == RunState.SUCCEEDED


def test_a_log_handler_that_raises_ends_no_thread(broken_log, capsys):
    threads = DaemonThreads("test", size=1)
    threads.start(foreign.leave)
    assert threads.submit(lambda: "alive").result(60) == "alive"
    threads.shutdown()
    loop = LoopThread("test")
    loop.loop.call_soon_threadsafe(foreign.leave)

    async def alive():
        return "alive"

    assert loop.submit(alive()).result(60) == "alive"
    loop.close(10)
    assert "SystemExit: of its class" in capsys.readouterr().err
