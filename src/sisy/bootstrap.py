"""The start of a worker's child process, before Django is set up and models can be imported."""

import ctypes
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import django

from sisy.frames import Writer
from sisy.runtime.compat.python import let_go_of_fork_server

PR_SET_PDEATHSIG = 1  # see prctl(2)


def begin(to_worker: Connection, taken: Any) -> None:
    """Be a child, until the worker lets it go or is gone.

    Args:
        taken: a number in memory that is shared with the worker: see `ChildProcess`.
    """
    os.setpgid(0, 0)
    _leave_signals_to_the_worker()
    _die_with_the_worker()
    try:
        _set_up()
    except BaseException as error:
        Writer(to_worker).send(f"{type(error).__name__}: {error}")
        raise
    from sisy.execution.child import serve

    serve(to_worker, taken)


def _set_up() -> None:
    """Set Django up, unless the process from which this one was forked has done so."""
    if (preloaded := sys.modules.get("sisy.preload")) and preloaded.error:
        raise preloaded.error
    django.setup()


def _leave_signals_to_the_worker() -> None:
    """Do nothing at INT and TERM, which a terminal or systemd may send to all processes.

    By a handler, and not by SIG_IGN: what a function starts would inherit that, and could not be
    terminated. The worker has blocked both for the time until here.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _do_nothing)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))


def _do_nothing(number: int, frame: FrameType | None) -> None:
    pass


def _die_with_the_worker() -> None:
    """End at once when the worker has ended, even in the middle of a function.

    The worker's runs are carried out by others then, and must not go on here. A thread sees the
    end of the worker, and ends all that the function has started, too. Should the function never
    let go of Python's global lock, the kernel does it: once nobody holds the other end of its
    pipe, the fork server ends, and its children with it.
    """
    let_go_of_fork_server()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch_the_worker, name="sisy-watch", daemon=True).start()


def _watch_the_worker() -> None:
    worker = parent_process()
    assert worker is not None
    connection.wait([worker.sentinel])
    kill_group(os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


def kill_group(pid: int) -> None:
    """Kill a child and whatever its function has started, if they still are."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
