"""The dead man's switch: heartbeats ping ``SISY_DEADMAN_URL`` each minute while Sisy works.

A monitor outside the site expects the pings, and raises the alarm if they stop. So a ping must
mean that Sisy plans, claims and records: that ``sisy_health`` is healthy. It is sent from a thread
of its own, so that a slow monitor delays no planning, and only while the heartbeat completes its
passes, so that one that hangs falls silent.

Each of the three oldest heartbeats sends its own pings. If only one did, a single frozen process
would raise the alarm. If all did, a site with a heartbeat in each web process would send dozens of
pings per minute, and some monitors limit the rate.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from django.db import connections

from sisy import clock, conf
from sisy.alerting import http
from sisy.models import Process, Role
from sisy.runtime.log import logger
from sisy.runtime.loop import Loop
from sisy.store.database_thread import DatabaseThread

PING_INTERVAL = 60.0  # seconds between two pings
RETRY_INTERVAL = 10.0  # seconds until the next try, if Sisy does not work or a ping failed
END_TIMEOUT = 1.0  # seconds that a stopping heartbeat waits for a ping
MAX_SENDERS = 3  # heartbeats
START_INTERVAL = 0.5  # seconds between two checks whether the first pass is complete

FindProblems = Callable[[str, datetime], Sequence[str]]
"""Returns the failed health checks of a site, each as a clause; takes an alias and the time."""


class Progress:
    """The moment of a heartbeat's last complete pass, shared with other threads.

    Attributes:
        last_pass: when it was complete, by `sisy.clock.steady`; None if there was none yet.
    """

    def __init__(self) -> None:
        self.last_pass: float | None = None

    def is_recent(self, steady: float) -> bool:
        """Return whether the last pass was complete within the length of a lease."""
        last = self.last_pass
        return last is not None and steady - last < conf.get_settings().lease_seconds


@asynccontextmanager
async def pinging(
    using: str, progress: Progress, process_key: Callable[[], int]
) -> AsyncIterator[None]:
    """Send pings in an ``async with`` block, if ``SISY_DEADMAN_URL`` is set.

    Args:
        process_key: returns the key of the heartbeat's process. Thread-safe.
    """
    if not conf.get_settings().deadman_url:
        yield
        return
    switch = DeadMansSwitch(using, progress, process_key)
    sending = asyncio.create_task(switch.run())
    try:
        yield
    finally:
        switch.loop.stop()
        await asyncio.wait([sending], timeout=END_TIMEOUT)


class DeadMansSwitch:
    """Sends a ping each minute, in a thread of its own."""

    def __init__(self, using: str, progress: Progress, process_key: Callable[[], int]) -> None:
        self._using = using
        self._progress = progress
        self._process_key = process_key
        self._thread = DatabaseThread("sisy-deadman")
        self.loop = Loop("Pinging SISY_DEADMAN_URL", self._step, RETRY_INTERVAL)
        self._last_problems: Sequence[str] = ()

    async def run(self) -> None:
        """Send pings until the loop is stopped."""
        try:
            await self.loop.run()
        finally:
            await self._thread.close()

    async def _step(self) -> float:
        if self._progress.last_pass is None:
            return START_INTERVAL
        began = clock.steady()
        was_right = await self._thread.run(self._send_if_all_is_well)
        wait = PING_INTERVAL if was_right else RETRY_INTERVAL
        return max(0.0, wait - (clock.steady() - began))

    def _send_if_all_is_well(self) -> bool:
        """Send a ping, unless something is wrong or it is for other heartbeats to send theirs.

        Returns:
            Whether nothing is wrong.
        """
        if not self._progress.is_recent(clock.steady()):
            self._note(["this heartbeat has not completed a pass recently"])
            return False
        now = clock.now(self._using)
        try:
            if not is_sender(self._using, now, self._process_key()):
                return True
            problems = find_problems(self._using, now)
        finally:
            # One connection fewer for the rest of the minute.
            connections.close_all()
        self._note(problems)
        # The checks may have taken long.
        if problems or not self._progress.is_recent(clock.steady()):
            return False
        http.send(conf.get_settings().deadman_url, method="GET")
        return True

    def _note(self, problems: Sequence[str]) -> None:
        """Log why no pings are sent, once."""
        if problems and not self._last_problems:
            why = "; ".join(problems)
            logger.warning("Not pinging SISY_DEADMAN_URL, because Sisy is unhealthy: %s", why)
        elif self._last_problems and not problems:
            logger.info("Pinging SISY_DEADMAN_URL again, because Sisy is healthy")
        self._last_problems = problems


def is_sender(using: str, now: datetime, key: int) -> bool:
    """Return whether the process with this key is one of the three oldest heartbeats."""
    heartbeats = Process.objects.using(using).alive(now).filter(role=Role.HEARTBEAT)
    return key in heartbeats.order_by("pk").values_list("pk", flat=True)[:MAX_SENDERS]


def find_problems(using: str, now: datetime) -> Sequence[str]:
    """Return the failed health checks of a site."""
    (find,) = _finders
    return find(using, now)


def use_health_checks(find: FindProblems) -> None:
    """Set the function that returns the failed health checks."""
    # It is in a higher layer, which this one does not import.
    _finders[:] = [find]


_finders: list[FindProblems] = []
