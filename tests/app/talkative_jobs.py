"""Functions that print, log and report how far they are."""

import asyncio
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from asgiref.sync import async_to_sync, sync_to_async

from sisy import current_run

logger = logging.getLogger("shop")
silent = logging.getLogger("shop.silent")


def prints(message):
    print("printed")
    print("to standard error", file=sys.stderr)
    logger.warning("logged %s", "so")


async def aprints(message):
    print("before")
    await asyncio.gather(*(asyncio.create_task(aprints_once(n)) for n in range(2)))
    await asyncio.to_thread(print, "in a thread of asyncio")
    await sync_to_async(print)("in a thread of asgiref")


async def aprints_once(number):
    await asyncio.sleep(0)
    print("task", number)


def prints_in_threads(message):
    thread = threading.Thread(target=copy_context().run, args=(print, "in a copied context"))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(copy_context().run, logger.warning, "in a pool").result()
    async_to_sync(aprints_once)(7)
    bare = threading.Thread(target=print, args=("in a bare thread",))
    bare.start()
    bare.join()


def prints_and_fails(message):
    print("before the error")
    raise RuntimeError("it was to be expected")


def prints_until_stopped(message):
    """Print a line in each tenth of a second, with its number."""
    for number in range(10_000):
        print("line", number)
        current_run().check()
        time.sleep(0.1)


def tracks(message):
    for _ in current_run().track(range(4), message="sorting"):
        pass


def reports_until_stopped(message):
    for number in range(10_000):
        current_run().progress(number % 100, 100, f"row {number}")
        current_run().check()
        time.sleep(0.1)


def is_silent(message):
    return "nothing"
