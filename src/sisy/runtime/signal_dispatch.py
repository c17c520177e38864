"""Send Sisy's signals once the change is committed.

A heartbeat or a worker must not wait for receivers, so it leaves its signals to a thread of their
own, in which receivers may query the database and take their time. All other code, such as a view
or a test, sends them in the thread that makes the change.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from queue import Empty, Full, Queue
from typing import Any, NoReturn

from django.db import close_old_connections, connections, transaction
from django.utils.translation import ngettext

from sisy.exceptions import UserCodeExited
from sisy.runtime.compat import InterceptingSignal
from sisy.runtime.log import logger
from sisy.runtime.transactions import TransactionGuard
from sisy.runtime.user_errors import is_ctrl_c, name_of, words_of

MAX_UNSENT = 10_000
IDLE_TIMEOUT = 5.0  # seconds without signals until the thread closes its connections and ends

_thread = threading.local()
_called_directly: set[int] = set()  # by identity, because not every callable can be hashed

SignalArguments = list[dict[str, Any]]
Receiver = Callable[..., Any]


class ContainedSignal(InterceptingSignal):
    """A signal whose receivers cannot end the sending thread or break its connections.

    ``send_robust`` also logs errors that are not an ``Exception``, and transactions that a
    receiver leaves open. Only Ctrl-C is raised.

    Attributes:
        of_batches: Sisy's own receivers. `send` calls each of them once for all changes, with
            a list of the arguments. They must use no database, and must not raise. For runs that
            are submitted together and differ only in their data, they may get one of them.
        counters: like ``of_batches``, but called in the thread that made the change, and for each
            change, even if other receivers are so slow that signals are dropped.
        of_transactions: Sisy's own functions. A transition calls them in its transaction, with
            the alias of the database and the changed records, so that what they write is
            committed with the change.
    """

    def __init__(self, use_caching: bool = False) -> None:
        super().__init__(use_caching)
        self.of_batches: list[Callable[[SignalArguments], None]] = []
        self.counters: list[Callable[[SignalArguments], None]] = []
        self.of_transactions: list[Callable[[str, list[Any]], None]] = []

    def connect_of_batches(self, receiver: Callable[[SignalArguments], None]) -> None:
        """Connect one of Sisy's own receivers, once; see `of_batches`."""
        if receiver not in self.of_batches:
            self.of_batches.append(receiver)

    def connect_counter(self, receiver: Callable[[SignalArguments], None]) -> None:
        """Connect one of Sisy's own receivers that counts changes, once; see `counters`."""
        if receiver not in self.counters:
            self.counters.append(receiver)

    def connect_to_transactions(self, function: Callable[[str, list[Any]], None]) -> None:
        """Connect one of Sisy's own functions, once; see `of_transactions`."""
        if function not in self.of_transactions:
            self.of_transactions.append(function)

    def to_call(self, receiver: Receiver, *, is_async: bool) -> Receiver:
        """Return the function to call instead of ``receiver``."""
        if is_async:
            return _acontained(receiver)
        return receiver if id(receiver) in _called_directly else contained(receiver)


def call_directly(*receivers: Receiver) -> None:
    """Call these receivers directly. They must use no database and must not exit."""
    # Sisy's own receivers are called several times for every run, so checks would be expensive.
    _called_directly.update(map(id, receivers))


def contained(receiver: Receiver) -> Receiver:
    """Wrap ``receiver`` so that it raises nothing but an ``Exception``.

    A transaction that it leaves open is rolled back, which also raises an error.
    """

    @_named_as(receiver)
    def call(*args: Any, **kwargs: Any) -> object:
        guard = TransactionGuard.here()
        try:
            response = receiver(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - the border around user code
            guard.release()
            raise_as_exception(error)
        if (left_open := guard.release()) is not None:
            raise left_open
        return response

    return call


def _acontained(receiver: Receiver) -> Receiver:
    @_named_as(receiver)
    async def call(**kwargs: Any) -> object:
        try:
            return await receiver(**kwargs)
        except BaseException as error:  # noqa: BLE001 - the border around user code
            raise_as_exception(error)

    return call


def _named_as(receiver: Receiver) -> Callable[[Receiver], Receiver]:
    """Give a wrapper the name of ``receiver`` for the log. Not every callable has a name."""

    def name(call: Receiver) -> Receiver:
        call.__qualname__ = getattr(receiver, "__qualname__", None) or repr(receiver)
        return call

    return name


def raise_as_exception(error: BaseException) -> NoReturn:
    """Raise an error of user code again, as an ``Exception``, so that it ends no thread of Sisy.

    Raises:
        KeyboardInterrupt: in the main thread, where it may come from Ctrl-C.
    """
    # type() and issubclass(), not isinstance(): a user's exception may raise in __class__.
    if issubclass(type(error), Exception) or is_ctrl_c(error):
        raise error
    raise UserCodeExited(f"A receiver raised {name_of(error)}: {words_of(error)}") from error


def send_on_commit(
    signal: ContainedSignal, sender: type, news: Iterable[dict[str, Any]], using: str
) -> None:
    """Send ``signal`` once the transaction is committed.

    Args:
        news: the arguments of the signal, one dict for each time that it is sent.
    """
    if has_receivers(signal, sender) and (listed := list(news)):
        transaction.on_commit(partial(send, signal, sender, listed), using=using, robust=True)


def has_receivers(signal: ContainedSignal, sender: type) -> bool:
    """Return whether a signal has receivers."""
    # It is quicker to check whether there are any receivers than whether one is for this sender.
    received_by_sisy = signal.of_batches or signal.counters
    return bool(received_by_sisy or (signal.receivers and signal.has_listeners(sender)))


def send_in_thread() -> None:
    """Send the calling thread's signals in another thread from now on."""
    _thread.leaves_it = True


def flush(seconds: float) -> None:
    """Wait until all signals were sent, for at most ``seconds``."""
    _signal_thread.flush(seconds)


def send(signal: ContainedSignal, sender: type, news: SignalArguments) -> None:
    """Send a signal about committed changes, in the calling thread or in the thread of signals.

    Args:
        news: the arguments of the signal, one dict for each time that it is sent.
    """
    for count in signal.counters:
        count(news)
    if getattr(_thread, "leaves_it", False):
        _signal_thread.add(signal, sender, news)
    else:
        send_here(signal, sender, news)


def send_here(signal: ContainedSignal, sender: type, news: SignalArguments) -> None:
    """Send a signal in the calling thread, even in a heartbeat or a worker."""
    for receive in signal.of_batches:
        receive(news)
    if not signal.receivers:
        return
    for each in news:
        signal.send_robust(sender, **each)


class SignalThread:
    """A thread that sends signals. It ends when there are none for a while."""

    def __init__(self) -> None:
        self._unsent: Queue[tuple[ContainedSignal, type, SignalArguments]] = Queue(MAX_UNSENT)
        self._lock = threading.Lock()
        self._is_running = False
        self._dropped = 0

    def add(self, signal: ContainedSignal, sender: type, news: SignalArguments) -> None:
        """Send a signal soon. If receivers are far too slow, drop it and log that."""
        with self._lock:
            try:
                self._unsent.put_nowait((signal, sender, news))
            except Full:
                self._dropped += len(news)
                if self._dropped == len(news):
                    logger.warning(
                        "Receivers of Sisy's signals are too slow; dropping signals until they "
                        "catch up"
                    )
                return
            if not self._is_running:
                sending = threading.Thread(target=self._work, name="sisy-signals", daemon=True)
                # If the system has no more threads, the next signal tries again.
                with suppress(RuntimeError):
                    sending.start()
                    self._is_running = True

    def flush(self, seconds: float) -> None:
        """Wait until all signals were sent, for at most ``seconds``."""
        with self._unsent.all_tasks_done:
            self._unsent.all_tasks_done.wait_for(
                lambda: not self._unsent.unfinished_tasks, seconds
            )

    def _work(self) -> None:
        while True:
            try:
                signal, sender, news = self._unsent.get(timeout=IDLE_TIMEOUT)
            except Empty:
                with self._lock:
                    if self._unsent.empty():
                        self._is_running = False
                        break
                continue
            try:
                close_old_connections()
                send_here(signal, sender, news)
                if self._unsent.empty():
                    self._rest()
            except BaseException:  # noqa: BLE001 - the border around receivers
                logger.exception("A receiver of Sisy's signals failed; the others continue")
            finally:
                # Last, so that no connection is open when `flush` returns.
                self._unsent.task_done()
        connections.close_all()

    def _rest(self) -> None:
        close_old_connections()
        with self._lock:
            if self._dropped:
                words = ngettext("%d signal was", "%d signals were", self._dropped) % self._dropped
                logger.warning("Receivers of Sisy's signals caught up, but %s dropped", words)
                self._dropped = 0


_signal_thread = SignalThread()
