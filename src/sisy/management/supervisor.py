"""A parent that keeps child processes running, and reports immediately when one dies."""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

from django.db import connections, router

from sisy import clock, conf
from sisy.messaging import heartbeat_bell
from sisy.models import Process, Task
from sisy.runtime.log import logger, signal_name
from sisy.runtime.parent_pipe import HURRY, STOP, VARIABLE
from sisy.store.database_thread import DatabaseThread

LONG_LIVED = 10.0  # seconds; children that end sooner are restarted with growing delays
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
REPORT_INTERVAL = 1.0


def own_command(*options: str) -> list[str]:
    """Return the command line of this process, with ``options`` added at the end."""
    return [sys.executable, *sys.orig_argv[1:], *options]


class Child:
    """A child process, and the parent's end of the pipe to it."""

    def __init__(self, process: asyncio.subprocess.Process, line: socket.socket) -> None:
        self._process = process
        self._line = line
        self._received = b""

    @classmethod
    async def start(cls, command: Sequence[str]) -> "Child":
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            environment = {**os.environ, VARIABLE: str(theirs.fileno())}
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, pass_fds=[theirs.fileno()]
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def signed_on_as(self) -> list[int]:
        """The keys under which the child has registered."""
        return [int(key) for key in self._received.split()]

    def order(self, what: bytes) -> None:
        """Tell the child to stop or to hurry. A child that is still starting reads it later."""
        with suppress(OSError):
            self._line.send(what)

    async def end(self) -> int:
        """Wait for the child's end. Return its exit code; negative if a signal killed it."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._line, self._read)
        try:
            code = await self._process.wait()
            self._read()
        finally:
            loop.remove_reader(self._line)
            self._line.close()
        return code

    def _read(self) -> None:
        with suppress(OSError):
            while data := self._line.recv(4096):
                self._received += data
            asyncio.get_running_loop().remove_reader(self._line)


class Supervisor:
    """Keeps ``count`` processes of ``command`` running.

    If a child dies, the supervisor immediately stores that, so that heartbeats rescue its runs
    within seconds instead of waiting for its lease to expire. If the supervisor itself is killed,
    its children notice that and drain.

    Args:
        using: the alias of the database; by default the one to which the routers write tasks.
    """

    def __init__(self, command: Sequence[str], count: int, using: str | None = None) -> None:
        self.has_failed = False
        self._command = command
        self._count = count
        self._using = using or router.db_for_write(Task)
        self._database = DatabaseThread("sisy-supervisor")
        self._children: set[Child] = set()
        self._stopping = asyncio.Event()
        self._order = STOP

    async def run(self) -> None:
        """Run until `stop` is called and all children have ended.

        Afterwards, ``has_failed`` is true if one of them did not exit with code 0.
        """
        try:
            await asyncio.gather(*(self._keep_one_up() for _ in range(self._count)))
        finally:
            await self._database.close()

    def stop(self) -> None:
        """Stop the children gracefully. A second call stops them at once."""
        self._order = HURRY if self._stopping.is_set() else STOP
        self._stopping.set()
        for child in self._children:
            child.order(self._order)

    async def _keep_one_up(self) -> None:
        loop = asyncio.get_running_loop()
        short_lives = 0
        while not self._stopping.is_set():
            began = loop.time()
            how = await self._one_life()
            short_lives = 0 if loop.time() - began > LONG_LIVED else short_lives + 1
            if not self._stopping.is_set():
                delay = _delay(short_lives)
                logger.warning("%s%s", how, f" in {delay:g} s" if delay else "")
                await self._wait_unless_stopping(delay)

    async def _one_life(self) -> str:
        """Start a child, and return how it ended and what happens next."""
        try:
            child = await Child.start(self._command)
        except OSError as error:
            return f"Could not start a process ({error}); retrying"
        self._children.add(child)
        if self._stopping.is_set():
            child.order(self._order)
        logger.info("Started process %d", child.pid)
        code = await child.end()
        self._children.discard(child)
        how = _description(code)
        if code:
            self.has_failed |= self._stopping.is_set()
            await self._report(child, how)
        end = f"Process {child.pid} ended ({how})" if code else f"Process {child.pid} ended"
        return f"{end}; starting another process"

    async def _report(self, child: Child, how: str) -> None:
        """Store how a child died, and retry for the length of a lease."""
        # After that, its lease has expired anyway.
        loop = asyncio.get_running_loop()
        deadline = loop.time() + conf.get_settings().lease_seconds
        while child.signed_on_as:
            try:
                await self._database.run(_store_end, self._using, child.signed_on_as, how)
            except Exception as error:  # noqa: BLE001 - the lease expires by itself
                if self._stopping.is_set() or loop.time() > deadline:
                    logger.warning(
                        "Could not record that process %d ended (%s): %s", child.pid, how, error
                    )
                    return
                await self._wait_unless_stopping(REPORT_INTERVAL)
            else:
                return

    async def _wait_unless_stopping(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _store_end(using: str, pks: Sequence[int], how: str) -> None:
    try:
        processes = Process.objects.using(using).filter(pk__in=pks)
        processes.update(end_reason=how, lease_until=clock.now(using))
        heartbeat_bell.ring()
    finally:
        # The next report may be a long time away.
        connections.close_all()


def _description(code: int) -> str:
    """Return how a process ended, such as ``killed by SIGKILL``."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal_name(-code)}"


def _delay(short_lives: int) -> float:
    """Return the seconds until a restart, after ``short_lives`` short lives in a row."""
    if not short_lives:
        return 0.0
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(short_lives - 1, 10))
