"""Tells the receivers of Sisy's signals what happened, once it is committed.

A heartbeat or a worker must not wait for receivers: what it has to tell is told by a thread of its
own, in which receivers may ask the database and take their time. Whoever else changes something,
such as a view or a test, tells of it where the change is made.
"""

import logging
import threading
from collections.abc import Iterable
from functools import partial
from queue import Empty, Full, Queue
from typing import Any

from django.db import close_old_connections, connections, transaction
from django.dispatch import Signal

MOST_UNTOLD = 10_000
IDLE = 5.0  # seconds after which the thread closes its connections and ends

logger = logging.getLogger("sisy")
_thread = threading.local()

News = list[dict[str, Any]]


def tell(signal: Signal, sender: type, news: Iterable[dict[str, Any]], using: str) -> None:
    """Send ``signal`` for each of ``news``, its arguments, once the transaction is committed."""
    if signal.has_listeners(sender) and (listed := list(news)):
        hand_on = partial(_hand_on, signal, sender, listed)
        transaction.on_commit(hand_on, using=using, robust=True)


def leave_to_teller() -> None:
    """Let another thread call receivers for what the calling thread will tell from now on."""
    _thread.leaves_it = True


def flush(seconds: float) -> None:
    """Wait until all has been told, for so long at most."""
    _teller.flush(seconds)


def _hand_on(signal: Signal, sender: type, news: News) -> None:
    if getattr(_thread, "leaves_it", False):
        _teller.add(signal, sender, news)
    else:
        _send(signal, sender, news)


def _send(signal: Signal, sender: type, news: News) -> None:
    for each in news:
        signal.send_robust(sender, **each)


class Teller:
    """A thread that calls receivers, and ends when there is nothing to tell for a while."""

    def __init__(self) -> None:
        self._untold: Queue[tuple[Signal, type, News]] = Queue(MOST_UNTOLD)
        self._lock = threading.Lock()
        self._is_at_work = False
        self._dropped = 0

    def add(self, signal: Signal, sender: type, news: News) -> None:
        """Have receivers told; if they are far too slow, drop it, and say so."""
        with self._lock:
            try:
                self._untold.put_nowait((signal, sender, news))
            except Full:
                self._dropped += len(news)
                if self._dropped == len(news):
                    logger.warning("Receivers of Sisy's signals are too slow: they miss some")
                return
            if not self._is_at_work:
                self._is_at_work = True
                threading.Thread(target=self._work, name="sisy-signals", daemon=True).start()

    def flush(self, seconds: float) -> None:
        """Wait until all has been told, for so long at most."""
        with self._untold.all_tasks_done:
            self._untold.all_tasks_done.wait_for(
                lambda: not self._untold.unfinished_tasks, seconds
            )

    def _work(self) -> None:
        while True:
            try:
                signal, sender, news = self._untold.get(timeout=IDLE)
            except Empty:
                with self._lock:
                    if self._untold.empty():
                        self._is_at_work = False
                        break
                continue
            try:
                close_old_connections()
                _send(signal, sender, news)
            finally:
                if self._untold.empty():
                    self._rest()
                self._untold.task_done()  # last, so that who waits for it finds nothing open
        connections.close_all()

    def _rest(self) -> None:
        close_old_connections()
        with self._lock:
            if self._dropped:
                logger.warning("Receivers of Sisy's signals have missed %d", self._dropped)
                self._dropped = 0


_teller = Teller()
