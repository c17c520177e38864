"""End a process although threads that functions have started do not end."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from sisy.runtime import tracer
from sisy.runtime.log import logger

EXIT_TIMEOUT = 5.0  # seconds for Python to end a process

_last_steps: list[Callable[[], None]] = []


def before_exit(step: Callable[[], None]) -> None:
    """Call ``step`` before a child process exits. It must not raise, and has a second or two."""
    # Children skip what is registered with atexit, which could wait for threads of functions.
    if step not in _last_steps:
        _last_steps.append(step)


def take_last_steps() -> None:
    """Do what must be done before this child process exits."""
    if tracer.installed is not None:
        tracer.installed.flush()
    for step in _last_steps:
        step()


def exit_now(code: int = 0) -> None:
    """End this process. Threads are not waited for, and what atexit has registered is not done."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # a function may have replaced it
            stream.flush()
    os._exit(code)


def exit_in_time(code: int) -> None:
    """End this process with ``code`` in a few seconds, if Python has not ended it by then.

    Call it last in the main thread.
    """

    # At exit, Python waits for all threads that are no daemons, such as those of
    # asyncio.to_thread. A function that hangs in one would keep the process forever, and by then,
    # the process ignores signals.
    def end() -> None:
        main = threading.main_thread()
        others = [one.name for one in threading.enumerate() if one is not main and not one.daemon]
        logger.warning("Exiting although threads are still running: %s", ", ".join(others))
        take_last_steps()
        exit_now(code)

    ending = threading.Timer(EXIT_TIMEOUT, end)
    ending.daemon = True
    with suppress(RuntimeError):  # the system has no more threads
        ending.start()
