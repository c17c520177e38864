"""One due moment of a site, from the heartbeat's wake-up to the news for dashboards."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any
from unittest import mock

from channels.layers import get_channel_layer
from django.dispatch import Signal

import sisy
from sisy import clock, conf, signals
from sisy.heartbeat import Heartbeat
from sisy.messaging import messages
from sisy.models import Run, RunState, task_with_callable
from sisy.runtime.run_until_stopped import Service
from sisy.worker import Worker
from tests.support.clocks import SettableClock
from tests.support.moments import NOON, SECOND
from tests.support.waiting import WAIT_TIMEOUT
from tests.walk.recorder import Recorder, Walk

# A heartbeat that has been up for so long judges leases, and has made sure that the clock was not
# set back before it began. If it had not looked for longer, it would take the host for suspended.
SETTLED_AFTER = timedelta(seconds=12)
# When the task is planned, which is due at noon.
PLANNED = NOON - 1.5 * SECOND
# A heartbeat looks again after a second. On a busy machine, the walk takes longer than that.
SLOW = 0.2
# Looks in a row that must find all threads waiting. They are counted, not timed: on a busy machine
# a thread may get no processor for a while, but then this one gets none either.
LOOKS, LOOK_INTERVAL = 10, 0.02

_start_was_shown = threading.Event()


def due(message: dict[str, Any]) -> None:
    """Run until a dashboard has heard of the start.

    If it ended sooner, one message would tell of the start and the end, in some walks but not all.
    """
    assert _start_was_shown.wait(WAIT_TIMEOUT), "No dashboard heard of the start."


def walk() -> Walk:
    """Walk through one due moment of a site on the database and the channel layer of the settings.

    Raises:
        AssertionError: the task did not run once, at its due moment.
        TimeoutError: the site did not come up, or the run did not end.
    """
    recorder = Recorder(Path(sisy.__file__).parent)
    with (
        _Time(PLANNED - SECOND - SETTLED_AFTER) as time,
        asyncio.Runner(loop_factory=time.loop) as runner,
    ):
        task_with_callable(due, schedule="0 12 * * *", timezone="UTC").save()
        recorder.install()
        try:
            walked = runner.run(_live(recorder, time))
        finally:
            recorder.uninstall()
    run = Run.objects.get()
    assert (run.due_at, run.state, run.attempt) == (NOON, RunState.SUCCEEDED, 1), run
    return walked


async def _live(recorder: Recorder, time: "_Time") -> Walk:
    """Start a site, let it live through one due moment, and stop it."""
    dashboard = await _Dashboard.open()
    with _sent(signals.worker_online) as is_online, _sent(signals.run_finished) as is_finished:
        site = Service(Heartbeat(), Worker())
        living = asyncio.create_task(site.run())
        try:
            async with asyncio.timeout(WAIT_TIMEOUT):
                await is_online.wait()
                await dashboard.hears(messages.HEARTBEAT)
                await _all_wait(recorder)
                time.pass_by(SETTLED_AFTER)
                await _all_wait(recorder)
                recorder.begin()
                time.pass_by(SECOND)
                await dashboard.hears(messages.EVENT)
                await _all_wait(recorder)
                time.pass_by(NOON - PLANNED, then=SLOW)
                await dashboard.hears(messages.EVENT)
                _start_was_shown.set()
                while not is_finished.is_set():
                    await dashboard.hears(messages.EVENT)
                await _all_wait(recorder)
                return recorder.end()
        finally:
            _start_was_shown.set()
            time.pass_by(timedelta())
            site.stop()
            await living


class _Dashboard:
    """Hears on the channel layer what a page of the dashboard hears."""

    def __init__(self, layer: Any, channel: str) -> None:
        self._layer = layer
        self._channel = channel

    @classmethod
    async def open(cls) -> "_Dashboard":
        layer = get_channel_layer()
        channel = await layer.new_channel()
        for group in (messages.EVENTS, conf.get_settings().heartbeat_channel):
            await layer.group_add(group, channel)
        return cls(layer, channel)

    async def hears(self, kind: str) -> None:
        """Wait for the next message of a kind."""
        while (await self._layer.receive(self._channel))["type"] != kind:
            pass


class _Time:
    """The time of a site: its database's clock, its steady clock, and that of its event loop.

    The first two stand still but for `pass_by`. The loop's goes on by itself, since what waits a
    few milliseconds has to continue.
    """

    def __init__(self, moment: datetime) -> None:
        self._clock = SettableClock(moment)
        self._steady = 0.0
        self._rate = 1.0
        self._loop_time = self._set_at = monotonic()
        self._stack = ExitStack()

    def __enter__(self) -> "_Time":
        self._stack.enter_context(clock.use(self._clock))
        self._stack.enter_context(mock.patch.object(clock, "steady", self._of_steady))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return an event loop whose timers follow this time."""
        loop = asyncio.new_event_loop()
        loop.time = self._of_loop
        return loop

    def pass_by(self, span: timedelta, then: float = 1.0) -> None:
        """Let ``span`` pass at once; then the loop's time goes on at a rate of ``then``."""
        self._clock.moment += span
        self._steady += span.total_seconds()
        self._loop_time = self._of_loop() + span.total_seconds()
        self._set_at, self._rate = monotonic(), then

    def _of_steady(self) -> float:
        return self._steady

    def _of_loop(self) -> float:
        return self._loop_time + (monotonic() - self._set_at) * self._rate


@contextmanager
def _sent(signal: Signal) -> Iterator[asyncio.Event]:
    """Yield an event of the running loop that is set when ``signal`` is sent by any thread."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()

    def receive(**kwargs: Any) -> None:
        loop.call_soon_threadsafe(event.set)

    signal.connect(receive)
    try:
        yield event
    finally:
        signal.disconnect(receive)


async def _all_wait(recorder: Recorder) -> None:
    """Return when all threads of the site wait: no call is made, and no thread uses Django."""
    found, calls = 0, recorder.calls
    while found < LOOKS:
        await asyncio.sleep(LOOK_INTERVAL)
        is_queued = calls == recorder.calls and not any(map(_uses_django, _other_threads()))
        found, calls = found + 1 if is_queued else 0, recorder.calls


def _other_threads() -> Iterator[FrameType]:
    """Yield the innermost frame of each thread but this one."""
    own = threading.get_ident()
    return (frame for ident, frame in sys._current_frames().items() if ident != own)


def _uses_django(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("django."):
            return True
        frame = frame.f_back
    return False
