"""Virtual time, and the order in which things happen in it."""

import heapq
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import time_machine

from tests.simulation.databases import Database
from tests.simulation.players import LOOK, WAIT_TIMEOUT, Player

INTERRUPTIONS = (0.0, 0.0, 0.003, 0.05, 0.7, 2.5)
READING_ERROR = 0.02  # seconds by which a reading of the database's clock may be off


class World:
    """Everything that happens, one thing after the other.

    Attributes:
        random: where everything is drawn from.
        offset: by how much the database's clock was set since the start.
        furthest: the latest moment that the database's clock showed before it was set back.
    """

    def __init__(self, seed: int, start: datetime, database: Database, restless: float) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.offset = timedelta(0)
        self.furthest = start
        self.restless = restless
        self.has_row_locks = database.has_row_locks
        self.events = 0
        self._database = database
        self._elapsed = start
        self._queue: list[tuple[datetime, float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._blocked: list[Player] = []
        self._host = time_machine.travel(start, tick=False)
        self._host_clock = None

    def __enter__(self) -> "World":
        self._host_clock = self._host.start()
        self._before = random.getstate()
        random.seed(self.seed)  # the product draws the delays of retries
        return self

    def __exit__(self, *exc: object) -> None:
        self._host.stop()
        random.setstate(self._before)

    @property
    def now(self) -> datetime:
        """The moment by the database's clock."""
        return self._elapsed + self.offset

    def at(self, moment: datetime, what: Callable[[], None]) -> None:
        """Let something happen at a moment; what happens at the same one is shuffled."""
        entry = (
            max(moment - self.offset, self._elapsed),
            self.random.random(),
            next(self._numbers),
            what,
        )
        heapq.heappush(self._queue, entry)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.at(self.now + timedelta(seconds=seconds), what)

    def next_event(self) -> datetime | None:
        """Return when something happens next; None if nothing will by itself."""
        return self._queue[0][0] + self.offset if self._queue else None

    def jump_to(self, moment: datetime) -> None:
        """Let time pass in which nothing happens."""
        self._elapsed = max(self._elapsed, moment - self.offset)

    def advance(self) -> None:
        """Let the next thing happen."""
        moment, _, _, what = heapq.heappop(self._queue)
        self._elapsed = max(self._elapsed, moment)
        self.events += 1
        what()
        for player in list(self._blocked):
            if player.has_come_through():
                self._blocked.remove(player)

    def interruption(self) -> timedelta | None:
        """Draw whether, and for how long, whoever moves is interrupted."""
        if self.random.random() >= self.restless:
            return None
        return timedelta(seconds=self.random.choice(INTERRUPTIONS))

    def reading(self) -> datetime:
        """Return what somebody reads from the database's clock, or carries on from a reading."""
        error = self.random.uniform(-READING_ERROR, READING_ERROR)
        return self.now + timedelta(seconds=error)

    def steady(self) -> float:
        """Return seconds by a clock that nobody sets."""
        return self._elapsed.timestamp()

    def set_clock(self, step: timedelta) -> None:
        """Set the database's clock forward, or back."""
        self.furthest = max(self.furthest, self.now)
        self.offset += step

    def host_clock_of(self, player: Player) -> None:
        """Let the host's clock be what it is where ``player`` runs: wrong."""
        self._host_clock.move_to(self.now + player.skew, tick=False)

    def connect(self):
        """Open the connection of the calling thread."""
        return self._database.connect()

    def backend_of(self, connection) -> int | None:
        return self._database.backend_of(connection)

    def is_in_transaction(self, connection) -> bool:
        return self._database.is_in_transaction(connection)

    def waits_for_lock(self, pid: int | None) -> bool:
        return self._database.waits_for_lock(pid)

    def wait_until(self, reached: threading.Semaphore, player: Player) -> None:
        """Wait until ``player`` pauses, or waits for a lock that another one holds."""
        if not self.has_row_locks:
            assert reached.acquire(timeout=WAIT_TIMEOUT), f"{player.name} hangs"
            return
        for _ in range(int(WAIT_TIMEOUT / LOOK)):
            if reached.acquire(timeout=LOOK):
                return
            if player.is_busy and player.found_blocked():
                self._blocked.append(player)
                return
        raise AssertionError(f"{player.name} hangs")


class WorldClock:
    """The database's clock, as whoever moves reads it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self, using: str) -> datetime:
        return self._world.reading()

    last_known = now

    def earliest(self, using: str) -> datetime:
        """Return a moment that is not later than now, and as much too early as a reading is."""
        return self._world.now - timedelta(seconds=self._world.random.uniform(0, READING_ERROR))

    def read_again(self, using: str) -> None:
        """Do nothing: each look is exact."""


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)
