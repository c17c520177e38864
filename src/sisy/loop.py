"""The loop that each role runs: wait, wake, stop, and retry after errors."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from sisy.log import Outage, logger

FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0
EACH_SECOND = 1.0


class Loop:
    """Calls ``step`` repeatedly until it is stopped.

    A step returns the seconds to wait before the next one. `wake` ends the wait, and a wake during
    a step is not lost. A step that raises is retried at growing intervals (0.2 to 5 s, with
    jitter), and logged once per outage.

    Args:
        name: the activity, as it appears at the beginning of log lines, such as "Claiming runs".
        step: makes one pass.
        longest_delay: the maximum delay between two tries, in seconds.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[float]],
        longest_delay: float = LONGEST_DELAY,
    ) -> None:
        self._step = step
        self._longest_delay = longest_delay
        self._outage = Outage(name)
        self._woken = asyncio.Event()
        self._was_woken = False
        self._stopping = False
        self._home: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Run until the loop is stopped and the current step has ended."""
        self._home = asyncio.get_running_loop()
        while not self._stopping:
            self._was_woken = self._woken.is_set()
            self._woken.clear()
            await self._wait(await self._pass())

    def wake(self) -> None:
        """Start the next step now. Thread-safe; may also be called before and after `run`."""
        home = self._home
        if home is None or home is running_loop():
            self._woken.set()
        else:
            try:
                home.call_soon_threadsafe(self._woken.set)
            except RuntimeError:
                logger.debug("%s was woken after it ended", self._outage.what)

    def stop(self) -> None:
        """Stop the loop after the current step. Thread-safe, like `wake`."""
        self._stopping = True
        self.wake()

    @property
    def was_woken(self) -> bool:
        """Return whether `wake` caused the current step."""
        return self._was_woken

    @property
    def is_stopping(self) -> bool:
        """Return whether `stop` was called."""
        return self._stopping

    async def _pass(self) -> float:
        try:
            wait = await self._step()
        except Exception as error:  # noqa: BLE001 - the border around our own steps
            delay = min(self._longest_delay, FIRST_DELAY * 2.0**self._outage.failures)
            self._outage.failed(error, "retrying")
            logger.debug("The error in full:", exc_info=True)
            return delay * random.uniform(0.5, 1)
        self._outage.recovered()
        return float(wait)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
        except TimeoutError:
            return


def until_it_works(
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
            time.sleep(EACH_SECOND)
        else:
            outage.recovered()
            return


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that is running in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
