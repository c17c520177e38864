"""The start of a child process, from both sides.

The worker starts it without leaking signals or running out of files. The child sets Django up, and
ends with its worker.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing import connection, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from types import FrameType
from typing import Any

import django

from sisy.execution.child_protocol import Writer
from sisy.runtime.compat import forget_child, let_go_of_fork_server
from sisy.runtime.user_errors import name_of, words_of

FILES_PER_START = 8  # multiprocessing opens five at once
PR_SET_PDEATHSIG = 1  # see prctl(2)

_starting = threading.Lock()


def context() -> BaseContext:
    """Return the multiprocessing context: a fork server where the system has one, else spawn."""
    try:
        forkserver = multiprocessing.get_context("forkserver")
    except ValueError:
        return multiprocessing.get_context("spawn")
    forkserver.set_forkserver_preload(["__main__", "sisy.runtime.preload"])
    return forkserver


def start_masked(process: Any) -> None:
    """Start a child with SIGINT and SIGTERM blocked. The child unblocks them once it ignores them.

    Raises:
        OSError: the system has no more files, memory or processes.
    """
    # The fork server starts with the first child, and keeps the signals blocked. It must survive a
    # TERM to the process group, because its children end with it.
    with _starting:
        _have_files()
        # Start the resource tracker before: its start unblocks both signals.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            process.start()
            forget_child(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _have_files() -> None:
    """Raise an OSError if there are too few file descriptors to start a child."""
    # A start that fails halfway ends the fork server, and with it all running children.
    files: list[int] = []
    try:
        while len(files) < FILES_PER_START:
            files.extend(os.pipe())
    finally:
        for file in files:
            os.close(file)


def begin(to_worker: Connection, accepted_order: Any) -> None:
    """Run as a child process until the worker dismisses it or is gone.

    Args:
        accepted_order: a number in shared memory; see `ChildProcess`.
    """
    # A process group of its own, so that all that a function starts can be killed with the child.
    os.setpgid(0, 0)
    _leave_signals_to_the_worker()
    _die_with_the_worker()
    try:
        _set_up()
    except BaseException as error:
        Writer(to_worker).send(f"{name_of(error)}: {words_of(error)}")
        raise
    from sisy.execution.child import serve

    serve(to_worker, accepted_order)


def _set_up() -> None:
    """Set up Django, unless the fork server has done so already."""
    if (preloaded := sys.modules.get("sisy.runtime.preload")) and preloaded.error:
        raise preloaded.error
    django.setup()


def _leave_signals_to_the_worker() -> None:
    """Ignore SIGINT and SIGTERM, which a terminal or systemd may send to all processes."""
    # By a handler, not by SIG_IGN: processes that a function starts would inherit SIG_IGN, and
    # could not be terminated. The worker has blocked both signals until here.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _do_nothing)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))


def _do_nothing(number: int, frame: FrameType | None) -> None:
    pass


def _die_with_the_worker() -> None:
    """Arrange that this process is killed when the worker ends, even inside a function."""
    # Other workers then execute the runs, so they must not continue here. Usually a thread notices
    # the worker's end, and also kills what the function has started. If the function never
    # releases the GIL, the kernel does it: the fork server ends when the other end of its pipe is
    # closed, and its children get the signal below.
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
    """Kill a child and everything that its function has started. Does nothing if they are gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
