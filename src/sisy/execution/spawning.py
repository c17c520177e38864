"""Starts child processes of a pool, so that neither signals nor a lack of files end the others."""

import multiprocessing
import os
import signal
import threading
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext
from typing import Any

from sisy.runtime.compat.python import forget_child

FILES_OF_A_START = 8  # multiprocessing opens five at once

_starting = threading.Lock()


def context() -> BaseContext:
    """Return how children are started: by a fork server, where the system has one."""
    try:
        forkserver = multiprocessing.get_context("forkserver")
    except ValueError:
        return multiprocessing.get_context("spawn")
    forkserver.set_forkserver_preload(["__main__", "sisy.preload"])
    return forkserver


def start_masked(process: Any) -> None:
    """Start a child with INT and TERM blocked, until it leaves them to the worker by itself.

    Raises:
        OSError: the system gives no further file, memory or process.
    """
    # The fork server, which is started with the first child, keeps them blocked: it must not end
    # at a TERM that a whole group of processes gets, since its children end with it.
    with _starting:
        _have_files()
        resource_tracker.ensure_running()  # it unblocks both, when it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            process.start()
            forget_child(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _have_files() -> None:
    """Raise an OSError unless a start has the files that it needs."""
    # A start that fails halfway ends the fork server, and with it the children that are at work.
    files: list[int] = []
    try:
        while len(files) < FILES_OF_A_START:
            files.extend(os.pipe())
    finally:
        for file in files:
            os.close(file)
