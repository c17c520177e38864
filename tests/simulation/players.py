"""Those who act: each a thread with a connection of its own, of which one moves at a time."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import connections

WAIT_TIMEOUT = 120.0  # seconds of real time for which only a fault of the simulation waits
LOOK = 0.02
RETURNING = " RETURNING "  # SQLite commits such a statement when its rows are read, not before


class Killed(BaseException):
    """The process was killed here: nothing may catch it, what is open is rolled back."""


class Player:
    """Somebody who takes steps, and may be interrupted before any statement of SQL.

    The thread of the world and those of the players pass a turn on, so that one of them moves at
    a time, and all are the same from run to run.

    Args:
        world: in which it acts.
        name: for the trace.
        skew: how far off the clock of its host is.
    """

    def __init__(self, world: Any, name: str, skew: timedelta) -> None:
        self.world = world
        self.name = name
        self.skew = skew
        self.frozen_until: datetime | None = None
        self.statements_to_live: int | None = None
        self.freeze_for: timedelta | None = None
        self.freeze_after = 0  # statements
        self.is_busy = False
        self.is_blocked = False
        self._pause = 0
        self._arrived = threading.Event()
        self._turn, self._pause_reached = threading.Semaphore(0), threading.Semaphore(0)
        self._step: Callable[[], Any] | None = None
        self._end: tuple[str, Any] | None = None
        self._then: Callable[[str, Any], None] | None = None
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()
        self.world.wait_until(self._pause_reached, self)

    def begin(self, step: Callable[[], Any], then: Callable[[str, Any], None]) -> None:
        """Take a step, now or when thawed; ``then`` hears how it ended: done, killed, failed."""
        assert not self.is_busy
        self.is_busy = True
        self._step, self._then, self._end = step, then, None
        self._go_on(self._pause)

    def kill(self) -> None:
        """Let the step in hand end where it is."""
        if self.is_busy:
            self.statements_to_live, self.frozen_until = 0, None
            if not self.is_blocked:
                self._go_on(self._pause)

    def has_come_through(self) -> bool:
        """Return whether the lock that it waited for is its own; it then goes on in its turn."""
        while not self._arrived.wait(LOOK):
            if self.world.waits_for_lock(self._pid):
                return False
        self.is_blocked = False
        self._at(self.world.now)
        return True

    def _at(self, moment: datetime) -> None:
        self._pause += 1
        self.world.at(moment, partial(self._go_on, self._pause))

    def _go_on(self, pause: int) -> None:
        """Move until the step ends or is interrupted, if that pause has not ended otherwise."""
        if pause != self._pause:
            return
        if self.frozen_until is not None and self.world.now < self.frozen_until:
            self._at(self.frozen_until)
            return
        self._pause += 1
        self.world.host_clock_of(self)
        self._turn.release()
        self.world.wait_until(self._pause_reached, self)
        if self._end is not None:
            self.is_busy, self.statements_to_live = False, None
            end, self._end = self._end, None
            self._then(*end)

    def close(self) -> None:
        """End the thread."""
        self._step = None
        self._turn.release()
        self._thread.join(WAIT_TIMEOUT)

    def _live(self) -> None:
        connection = self.world.connect()
        connection.execute_wrappers.append(self._statement)
        self._pid = self.world.backend_of(connection)
        self._pause_reached.release()
        while True:
            self._turn.acquire()
            if self._step is None:
                break
            try:
                self._end = ("done", self._step())
            except Killed:
                self._end = ("killed", None)
            except Exception as error:  # noqa: BLE001 - a role would log it, and try again
                self._end = ("failed", error)
            self._pause_reached.release()
        connections["default"].close()

    def _statement(self, execute: Callable[..., Any], *args: Any) -> Any:
        self._may_be_interrupted(args[0])
        try:
            result = execute(*args)
        finally:
            if self.is_blocked:
                self._arrived.set()
                self._turn.acquire()
        if not self.world.is_in_transaction(connections["default"]) and RETURNING not in args[0]:
            self._may_be_interrupted("after " + args[0])
        return result

    def _may_be_interrupted(self, sql: str) -> None:
        is_in_transaction = self.world.is_in_transaction(connections["default"])
        if self.statements_to_live is not None:
            self.statements_to_live -= 1
            if self.statements_to_live < 0:
                raise Killed
        if is_in_transaction and not self.world.has_row_locks:
            return  # whoever holds the only lock there is would hold up everybody
        if self.freeze_for is not None and self.freeze_after > 0:
            self.freeze_after -= 1
        elif self.freeze_for is not None and not is_in_transaction:
            self.frozen_until = self.world.now + self.freeze_for
            self.freeze_for = None
            self._wait_for_turn(self.frozen_until)
        elif (pause := self.world.interruption()) is not None:
            self._wait_for_turn(self.world.now + pause)

    def _wait_for_turn(self, moment: datetime) -> None:
        self._at(moment)
        self._pause_reached.release()
        self._turn.acquire()
        if self.statements_to_live is not None and self.statements_to_live <= 0:
            raise Killed

    def found_blocked(self) -> bool:
        """Let the others move on if it waits for a lock of theirs; return whether it does."""
        if not self.world.waits_for_lock(self._pid):
            return False
        self.is_blocked = True
        self._arrived.clear()
        return True
