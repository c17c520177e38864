"""A worker at work in a thread of the test's process."""

import asyncio
import threading
from contextlib import contextmanager

from sisy.worker import Worker
from tests.support.waiting import wait_until as wait_until


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
