"""A worker at work in a thread of the test's process."""

import asyncio
import threading
import time
from contextlib import contextmanager

from sisy.worker import Worker


@contextmanager
def at_work(**options):
    """Run a worker in a thread of its own."""
    worker = Worker(**options)
    thread = threading.Thread(target=lambda: asyncio.run(worker.run()))
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(30)


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
