"""Functions that fork, and come back in both processes."""

import asyncio
import os
import signal
from time import monotonic, sleep

WAIT_TIMEOUT = 30  # seconds


def comes_back(message):
    return "the copy" if (copy := os.fork()) == 0 else end_of(copy)


def raises_in_the_copy(message):
    if (copy := os.fork()) == 0:
        raise SystemExit
    return end_of(copy)


async def acomes_back(message):
    if (copy := os.fork()) == 0:
        return "the copy"
    await asyncio.sleep(0)
    return await asyncio.to_thread(end_of, copy)


async def comes_back_in_a_thread(message):
    return await asyncio.to_thread(comes_back, message)


def end_of(copy):
    """Wait for the end of a copy, and say how it ended."""
    give_up = monotonic() + WAIT_TIMEOUT
    while monotonic() < give_up:
        found, status = os.waitpid(copy, os.WNOHANG)
        if found:
            return f"ended with {os.waitstatus_to_exitcode(status)}"
        sleep(0.01)
    os.kill(copy, signal.SIGKILL)
    os.waitpid(copy, 0)
    return "did not end"
