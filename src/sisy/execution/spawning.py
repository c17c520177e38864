"""Start the child processes of a pool safely.

Neither a signal to the process group nor a failed start may end the children that already run.
"""

import multiprocessing
import os
import signal
import threading
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext
from typing import Any

from sisy.runtime.compat import forget_child

FILES_OF_A_START = 8  # multiprocessing opens five at once

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
    """Start a child with INT and TERM blocked. The child unblocks them once it ignores them.

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
        while len(files) < FILES_OF_A_START:
            files.extend(os.pipe())
    finally:
        for file in files:
            os.close(file)
