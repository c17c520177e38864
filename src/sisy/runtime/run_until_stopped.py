"""Run heartbeats and workers together in one process until it is asked to stop."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from sisy.runtime import parent_pipe, signal_dispatch
from sisy.runtime.log import logger

SIGNAL_FLUSH_TIMEOUT = 2.0  # seconds for receivers of signals to finish when the service ends
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Runnable(Protocol):
    """A heartbeat or a worker."""

    async def run(self) -> None:
        """Work until stopped."""

    def stop(self) -> None:
        """Stop gracefully. A second call stops at once."""


class Service:
    """Roles that run and stop together."""

    def __init__(self, *roles: Runnable) -> None:
        self._roles = roles

    async def run(self) -> None:
        """Run until all roles have ended. If one of them fails, the others are stopped.

        Raises:
            ExceptionGroup: the errors of the roles that failed.
        """
        ends = await asyncio.gather(*map(self._run_one, self._roles), return_exceptions=True)
        await asyncio.to_thread(signal_dispatch.flush, SIGNAL_FLUSH_TIMEOUT)
        if failures := [end for end in ends if isinstance(end, Exception)]:
            raise ExceptionGroup("Sisy stopped because one of its parts failed", failures)

    def stop(self) -> None:
        """Stop gracefully. A second call stops at once."""
        for role in self._roles:
            role.stop()

    async def _run_one(self, role: Runnable) -> None:
        try:
            await role.run()
        except Exception:
            logger.exception("The %s failed; stopping", type(role).__name__.lower())
            self.stop()
            raise


def exit_when_signalled() -> None:
    """Exit immediately with code 0 if a signal to stop arrives before the service runs."""
    # It executes no runs yet. Raising an exception instead could interrupt anything, such as the
    # opening of a connection, which would then never be closed.
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))


def interrupt_when_signalled() -> None:
    """Make SIGINT raise ``KeyboardInterrupt`` again, which is Python's default."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run_until_signalled(service: Service) -> None:
    """Run ``service`` in this process until SIGTERM or SIGINT. A second signal stops it now."""

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
    """Call ``when_signalled`` in the running loop at SIGTERM or SIGINT, and ignore others."""
    calling = _calling_at_once if hasattr(signal, "siginterrupt") else _calling_on_windows
    with calling(when_signalled):
        try:
            yield
        finally:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)


@contextmanager
def _calling_on_windows(when_signalled: Callable[[], None]) -> Iterator[None]:
    """Call it from a signal handler."""
    # Event loops on Windows cannot watch sockets, but they wake up at signals by themselves.
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(when_signalled))
    yield


@contextmanager
def _calling_at_once(when_signalled: Callable[[], None]) -> Iterator[None]:
    """Call it as soon as a signal arrives, without a gap at the end."""
    # Not ``loop.add_signal_handler``: when its loop closes, a signal can kill the process before
    # the handlers are replaced.
    loop = asyncio.get_running_loop()
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)

    def read_signals() -> None:
        for number in reader.recv(4096):
            if number in STOP_SIGNALS:
                when_signalled()

    loop.add_reader(reader, read_signals)
    signal.set_wakeup_fd(writer.fileno())
    for number in STOP_SIGNALS:
        # A handler must exist, so that Python writes the signal's number to the socket.
        signal.signal(number, lambda *_: None)
        signal.siginterrupt(number, False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        loop.remove_reader(reader)
        reader.close()
        writer.close()
