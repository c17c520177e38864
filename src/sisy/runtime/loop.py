"""Loops that wait, wake and stop, and receive items from other threads; and when work is due."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from sisy import clock
from sisy.runtime.log import Outage, logger

FIRST_RETRY_DELAY = 0.2
MAX_RETRY_DELAY = 5.0
MAX_DOUBLINGS = 10
RETRY_INTERVAL = 1.0
IDLE_POLL_INTERVAL = 60.0  # seconds between two steps of a loop that others wake

# Seconds between two renewals of a remembered value that may be wrong: a little less than those
# between two looks of a process that can be rung.
RENEWAL_INTERVAL = 1.75
RENEWAL_IN_DOUBT = 0.5
# A slow renewal is made less often, so that it does not keep the process busy.
MAX_RENEWAL_SHARE = 0.01

T = TypeVar("T")


class Loop:
    """Calls ``step`` repeatedly until it is stopped.

    A step returns the seconds to wait before the next one. `wake` ends the wait, and a wake during
    a step is not lost. A step that raises is retried at growing intervals (0.2 to 5 s, with
    jitter), and logged once per outage.

    Args:
        name: the activity, as it appears at the beginning of log lines, such as "Claiming runs".
        step: makes one pass.
        longest_delay: the maximum delay between two tries, in seconds.

    Attributes:
        was_woken: whether `wake` caused the current step.
        is_stopping: whether `stop` was called.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[float]],
        longest_delay: float = MAX_RETRY_DELAY,
    ) -> None:
        self._step = step
        self._longest_delay = longest_delay
        self._outage = Outage(name)
        self._woken = asyncio.Event()
        self.was_woken = False
        self.is_stopping = False
        self._home: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Run until the loop is stopped and the current step has ended."""
        self._home = asyncio.get_running_loop()
        while not self.is_stopping:
            self.was_woken = self._woken.is_set()
            self._woken.clear()
            await self._wait(await self._pass())

    @property
    def is_failing(self) -> bool:
        """Return whether the last step raised an error."""
        return bool(self._outage.failures)

    def wake(self, after: float = 0.0) -> None:
        """Start the next step now, or in ``after`` seconds.

        Thread-safe; may also be called before and after `run`.
        """
        home = self._home
        if home is None:
            self._woken.set()
        elif home is running_loop():
            self._wake_here(after)
        else:
            try:
                home.call_soon_threadsafe(self._wake_here, after)
            except RuntimeError:
                logger.debug("%s was woken after it ended", self._outage.what)

    def _wake_here(self, after: float) -> None:
        if after:
            asyncio.get_running_loop().call_later(after, self._woken.set)
        else:
            self._woken.set()

    def stop(self) -> None:
        """Stop the loop after the current step. Thread-safe, like `wake`."""
        self.is_stopping = True
        self.wake()

    async def _pass(self) -> float:
        try:
            wait = await self._step()
        except Exception as error:  # noqa: BLE001 - the border around our own steps
            delay = retry_delay(self._outage.failures, self._longest_delay)
            self._outage.failed(error, "retrying")
            logger.debug("The error in full:", exc_info=True)
            return delay * random.uniform(0.5, 1)
        if self.is_failing:
            self._outage.recovered()
        return float(wait)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
        except TimeoutError:
            return


def retry_until_success(
    what: str, step: Callable[[], None], errors: type[Exception] | tuple[type[Exception], ...]
) -> None:
    """Call ``step`` in this thread every second, until it raises none of ``errors``.

    Args:
        what: the activity or system, as it appears at the beginning of log lines.
    """
    outage = Outage(what)
    while True:
        try:
            step()
        except errors as error:
            outage.failed(error, "retrying")
            time.sleep(RETRY_INTERVAL)
        else:
            outage.recovered()
            return


def retry_delay(failures: int, longest: float = MAX_RETRY_DELAY) -> float:
    """Return the seconds to wait after this many failures in a row: 0.2 s, doubled each time.

    Args:
        longest: the limit of the delay.
    """
    # An outage of an hour has a thousand failures, and 2.0**1024 is an OverflowError.
    doublings = min(failures, MAX_DOUBLINGS)
    return min(longest, FIRST_RETRY_DELAY * 2.0**doublings)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that is running in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Turn:
    """The time that one pass has for long work.

    Long work is done in chunks: at least one, and more until the turn ends. The next pass follows
    immediately. It first renews the lease and plans what is due, and then continues the work.

    Args:
        seconds: the length of the turn; None for no limit.

    Attributes:
        has_left_work: whether work was left to the next pass.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else clock.steady() + seconds
        self.has_left_work = False

    def ends_here(self) -> bool:
        """Return whether to leave the rest to the next pass. Call only if work is left."""
        # Only remaining work is a reason for another pass without a wait. If slowness alone were
        # one, a heartbeat on a busy host would never wait.
        if self._end is not None and clock.steady() >= self._end:
            self.has_left_work = True
            return True
        return False


ENDLESS = Turn()


class Inbox(Generic[T]):
    """A queue for an event loop: ``take`` is called in ``loop`` with the items, in order.

    Items that arrive after the loop is closed are dropped.
    """

    # Waking a loop costs as much as a short run. Items that arrive while it is being woken, or is
    # busy, do not wake it again.
    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[list[T]], None]) -> None:
        self._loop = loop
        self._take = take
        self._items: deque[T] = deque()
        self._is_called = False

    def put(self, item: T) -> None:
        """Add an item. Thread-safe."""
        self._items.append(item)
        if not self._is_called:
            self._is_called = True
            if running_loop() is self._loop:
                self._loop.call_soon(self._empty)
            elif not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        # First, so that an item that arrives from here on is taken below or wakes the loop again.
        self._is_called = False
        items = [self._items.popleft() for _ in range(len(self._items))]
        if items:
            self._take(items)


class Renewal:
    """Decides when the next renewal is due: immediately at first, then at an interval.

    Args:
        interval: seconds; a slow renewal is made less often.
    """

    def __init__(self, interval: float = RENEWAL_INTERVAL) -> None:
        self._interval = interval
        self._began = self._ended = self._next = 0.0

    def is_due(self) -> bool:
        """Return whether to renew now."""
        return clock.steady() >= self._next

    def begin(self) -> None:
        """Record that a renewal begins."""
        self._began = clock.steady()

    def end(self) -> None:
        """Record that the renewal has ended, which decides when the next one is due."""
        self._ended = clock.steady()
        self._next = self._ended + max(
            self._interval, (self._ended - self._began) / MAX_RENEWAL_SHARE
        )

    def hasten(self) -> None:
        """Make the next renewal due half a second after the last one, as the value seems wrong."""
        self._next = min(self._next, self._ended + RENEWAL_IN_DOUBT)
