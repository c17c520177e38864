"""What pools are given to carry out; child processes import it quickly, for it needs no pytest."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from asgiref.sync import sync_to_async
from django.db import connections

import sisy
from sisy.exceptions import RunCancelled
from sisy.execution import RESULT_LIMIT
from sisy.execution.child_protocol import Writer


def leaves_a_connection_that_cannot_be_closed(message):
    def stays_open():
        raise RuntimeError("it stays open")

    connections["default"].close_if_unusable_or_obsolete = stays_open


def begins(message):
    Path(message["task"].userdata["begun"]).touch()


def asks(message):
    begins(message)
    while True:
        sisy.current_run().check()
        time.sleep(0.001)


async def waits(message):
    begins(message)
    await asyncio.Event().wait()


async def asks_in_a_thread(message):
    await sync_to_async(asks)(message)


def asks_no_more_than_once(message):
    begins(message)
    try:
        while True:
            sisy.current_run().check()
    except RunCancelled:
        return "ended in its own way"


async def catches_the_cancellation(message):
    begins(message)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "ended in its own way"


def raises_another(message):
    try:
        asks(message)
    except RunCancelled:
        raise ValueError("of its own") from None


async def araises_another(message):
    try:
        await waits(message)
    except asyncio.CancelledError:
        raise ValueError("of its own") from None


async def swallows_one_cancellation(message):
    begins(message)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        Path(message["task"].userdata["begun"]).with_name("swallowed").touch()
    await asyncio.Event().wait()


def raises_run_cancelled(message):
    raise RunCancelled("of its own")


def checks_once(message):
    sisy.current_run().check()


def pid(message):
    return os.getpid()


async def apid(message):
    return os.getpid()


def sees(message):
    current = sisy.current_run()
    return [sorted(message), message["message"], current.id, current.label, current.attempt]


def is_killed(message):
    os.kill(os.getpid(), signal.SIGKILL)


def crashes(message):
    ctypes.string_at(0)


def exits(message):
    os._exit(3)


def spins(message):
    if "begun" in message["task"].userdata:
        Path(message["task"].userdata["begun"]).write_text(str(os.getpid()))
    while True:
        pass


async def never_gives_in(message):
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)


def checks(message):
    while True:
        sisy.current_run().check()


async def sleeps(message):
    await asyncio.sleep(600)


def starts_a_program(message):
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    program = subprocess.Popen(command)
    Path(message["task"].userdata["begun"]).write_text(str(program.pid))
    if message["task"].userdata.get("dies"):
        is_killed(message)
    program.wait()


def terminates_a_program(message):
    """As one does; it must not have inherited that TERM is ignored, or blocked."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    program.terminate()
    return program.wait(30)


def signals_itself(message):
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    time.sleep(0.01)
    return "went on"


def returns_much(message):
    return "a" * 50_000_000


def returns_all_that_is_allowed(message):
    return "a" * (RESULT_LIMIT - 2)


def raises_much(message):
    raise ValueError("a" * 10_000_000)


class Contrary(Exception):
    def __reduce__(self):
        raise RuntimeError("no pickle of me")

    def __str__(self):
        raise SystemExit(4)


def raises_what_cannot_be_pickled(message):
    raise Contrary


def leaves_a_thread_behind(message):
    threading.Thread(target=time.sleep, args=(600,)).start()
    return os.getpid()


def grows(message):
    globals()["kept"] = b"a" * 150_000_000
    return os.getpid()


class Stray:
    def __reduce__(self):
        return unreadable, ()


def unreadable():
    raise ValueError("unreadable")


def cannot_begin(to_worker, taken):
    Writer(to_worker).send("ImportError: no such module")
