"""Runs heartbeats and workers together in one process, until it is told to stop."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from sisy import parent_pipe, signal_dispatch
from sisy.log import logger

TIME_TO_TELL = 2.0  # seconds that receivers of signals have when the service ends
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Role(Protocol):
    """A heartbeat or a worker."""

    async def run(self) -> None:
        """Work until stopped."""

    def stop(self) -> None:
        """End gracefully; called again, at once."""


class Service:
    """Some roles that live and end together."""

    def __init__(self, *roles: Role) -> None:
        self._roles = roles

    async def run(self) -> None:
        """Return once all roles have ended; if one of them fails, the others are stopped.

        Raises:
            ExceptionGroup: what roles failed with.
        """
        ends = await asyncio.gather(*map(self._run_one, self._roles), return_exceptions=True)
        await asyncio.to_thread(signal_dispatch.flush, TIME_TO_TELL)
        if failures := [end for end in ends if isinstance(end, Exception)]:
            raise ExceptionGroup("Sisy stopped because one of its parts failed", failures)

    def stop(self) -> None:
        """End gracefully; called again, at once."""
        for role in self._roles:
            role.stop()

    async def _run_one(self, role: Role) -> None:
        try:
            await role.run()
        except Exception:
            logger.exception("The %s failed; stopping", type(role).__name__.lower())
            self.stop()
            raise


def exit_when_signalled() -> None:
    """End this process at once, with exit code 0, if it is told to stop before it serves.

    Nothing is in hand yet. An exception would come out of anything, such as a connection that is
    being opened and that nobody would close.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))


def interrupt_when_signalled() -> None:
    """Raise ``KeyboardInterrupt`` at INT again, as Python does by default."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run_until_signalled(service: Service) -> None:
    """Run ``service`` as the whole of this process, until TERM or INT; a second one hurries."""

    async def serve() -> None:
        line = parent_pipe.open_to_parent(service.stop)
        with _calling(line.signalled if line else service.stop):
            if line is not None:
                line.listen()
            try:
                await service.run()
            finally:
                if line is not None:
                    line.close()

    asyncio.run(serve())


@contextmanager
def _calling(when_signalled: Callable[[], None]) -> Iterator[None]:
    """Call ``when_signalled`` in the running loop at each TERM and INT; ignore them afterwards."""
    calling = _calling_at_once if hasattr(signal, "siginterrupt") else _calling_on_windows
    with calling(when_signalled):
        try:
            yield
        finally:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)


@contextmanager
def _calling_on_windows(when_signalled: Callable[[], None]) -> Iterator[None]:
    """Call it from a handler: the loops of Windows watch no sockets, and wake up by themselves."""
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(when_signalled))
    yield


@contextmanager
def _calling_at_once(when_signalled: Callable[[], None]) -> Iterator[None]:
    """Call it as soon as the signal comes, until the very end.

    ``loop.add_signal_handler`` ends with a gap: its loop closes what signals are written to, and
    then lets them kill the process, before anybody can have them ignored.
    """
    loop = asyncio.get_running_loop()
    heard, written = socket.socketpair()
    heard.setblocking(False)
    written.setblocking(False)

    def hear() -> None:
        for number in heard.recv(4096):
            if number in STOP_SIGNALS:
                when_signalled()

    loop.add_reader(heard, hear)
    signal.set_wakeup_fd(written.fileno())
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)  # what is written does
        signal.siginterrupt(number, False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        loop.remove_reader(heard)
        heard.close()
        written.close()
