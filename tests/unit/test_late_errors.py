"""Errors that another thread raises in a thread of Sisy, as libraries for timeouts do."""

import ctypes
import threading

import pytest

from sisy.models import RunState
from sisy.runtime.threads import DaemonThreads
from tests.unit import leaving
from tests.unit.runs import executed, run_of


def raise_in(thread, error=SystemExit):
    """Raise ``error`` in a thread, at the next step of Python that it takes."""
    number = ctypes.c_ulong(thread)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(error)) == 1


def ident(message):
    return threading.get_ident()


def test_an_idle_thread_survives_a_late_error():
    threads = DaemonThreads("test", size=1)
    for n in range(3):
        raise_in(threads.submit(threading.get_ident).result(60))
        assert threads.submit(lambda n=n: n).result(60) == n
    threads.shutdown(wait=False)
    threads.join(10)
    assert not any(thread.is_alive() for thread in threads._threads)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, TimeoutError])
async def test_runs_after_a_late_error_succeed(pool, error):
    raise_in((await executed(pool, run_of(ident))).result, error)
    for function in (leaving.plain_agrees, leaving.agrees, ident):
        assert (await executed(pool, run_of(function))).state == RunState.SUCCEEDED
