"""The processes under test, and what can be done to them; each deed is written down."""

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos import moments
from tests.chaos.drops import ORDER, Orders
from tests.chaos.evidence import Life, Span
from tests.chaos.execution_log import MEMBER
from tests.processes.process import Process
from tests.processes.site import Site

COMMAND = (sys.executable, "-m", "tests.chaos.member")

TIME_TO_END = 40.0
TIME_TO_SIGN_ON = 5.0
"""Seconds from the start of a process until it works, on a busy machine."""

LONGEST_START = 30.0
"""Seconds after which it must have come up, however busy the machine is."""


class Member:
    """One place in the fleet, in which processes follow each other."""

    def __init__(self, name: str, command: tuple[str, ...], fleet: "Fleet") -> None:
        self.name = name
        self.command = command
        self._fleet = fleet
        self.process: Process | None = None
        self.life: Life | None = None
        self.wanted_again = False
        self._frozen_at: float | None = None

    @property
    def is_wanted(self) -> bool:
        return self.life is not None and self.life.died is None

    def start(self) -> None:
        if self.is_wanted:
            return
        started = moments.now()
        number = len(self._fleet.lives) + 1
        file = self._fleet.orders.file(self.name)
        self.process = self._fleet.site.run(
            *COMMAND, *self.command, **{MEMBER: str(number), ORDER: str(file)}
        )
        self.life = Life(member=number, name=self.name, started=started)
        self._fleet.lives[number] = self.life

    def kill(self) -> None:
        """End it without a word."""
        if not self.is_wanted:
            return
        before = moments.now()
        self.process.send(signal.SIGKILL)
        self.process.ends()
        self._thawed()
        self._dead((before, moments.now()), "KILL")

    def tell_to_end(self) -> None:
        """Send TERM, and do not wait."""
        if self.is_wanted:
            self.life.told = moments.now()
            self.process.send(signal.SIGTERM)

    def freeze(self) -> None:
        if self.is_wanted:
            self.process.send(signal.SIGSTOP)
            self._frozen_at = moments.now()

    def thaw(self) -> None:
        if self._frozen_at is not None and self.is_wanted:
            thawed = moments.now()
            self.process.send(signal.SIGCONT)
            self.life.frozen.append((self._frozen_at, thawed))
        self._frozen_at = None

    def look(self) -> None:
        """Notice its end, and an end that nobody asked for, or that does not come."""
        if not self.is_wanted:
            return
        seen = moments.now()
        if self.process.is_up:
            self._fleet.seen[self.name] = seen
            if self.life.told is not None and seen > self.life.told + TIME_TO_END:
                self._fleet.crashes.append(
                    f"{self.name} (process {self.life.member}) is still up after TERM"
                )
                self.kill()
            return
        self._thawed()
        life = self.life
        last = max(self._fleet.seen.get(self.name, 0.0), life.started)
        code = self.process.ends()
        if self._could_not_start(life, seen):
            self.wanted_again = True  # as a supervisor would start it anew
        elif code not in self._codes_of_an_end(life):
            tail = "\n    ".join(self.process.output.splitlines()[-5:])
            self._fleet.crashes.append(
                f"{self.name} (process {life.member}) ended with {code}"
                f"{'' if life.told is None else ' after TERM'}, and wrote last:\n    {tail}"
            )
        self._dead((last, moments.now()), "itself" if life.told is None else "TERM")

    @staticmethod
    def _codes_of_an_end(life: Life) -> tuple[int, ...]:
        """One that was told to end before it could hear that is ended by the signal itself."""
        if life.told is None:
            return ()
        is_young = life.told - life.started < LONGEST_START
        return (0, -signal.SIGTERM) if is_young else (0,)

    def _could_not_start(self, life: Life, ended: float) -> bool:
        """Whether the database was away, or broke its connection, when it had to read it first."""
        is_young = ended - life.started < LONGEST_START
        return is_young and life.told is None and self._fleet.database_failed(life.started)

    def start_again(self) -> None:
        """Start it; one that was told to end, and is busy with that, as soon as it has ended."""
        if self.is_wanted and self.life.told is not None:
            self.wanted_again = True
        else:
            self.start()

    def _thawed(self) -> None:
        if self._frozen_at is not None:
            self.life.frozen.append((self._frozen_at, moments.now()))
        self._frozen_at = None

    def _dead(self, when: Span, by: str) -> None:
        self.life.died, self.life.by = when, by
        if self.wanted_again:
            self.wanted_again = False
            self.start()


class Fleet:
    """All members, and a thread that looks after them.

    Args:
        orders: where the processes look for what they are to do to their connections.
        database_failed: whether the database was away, or broke connections, since a moment.
    """

    def __init__(
        self,
        site: Site,
        commands: dict[str, tuple[str, ...]],
        orders: Orders,
        database_failed: Callable[[float], bool],
    ) -> None:
        self.site = site
        self.orders = orders
        self.database_failed = database_failed
        self.lives: dict[int, Life] = {}
        self.crashes: list[str] = []
        self.seen: dict[str, float] = {}
        self.members = {name: Member(name, words, self) for name, words in commands.items()}
        self.lock = threading.RLock()
        self._ending = threading.Event()
        self._looking = threading.Thread(target=self._look_on, daemon=True)

    def start(self) -> None:
        for member in self.members.values():
            member.start()
        self._looking.start()

    def heal(self) -> None:
        """Thaw what is frozen, and start what is dead, or about to die."""
        with self.lock:
            for member in self.members.values():
                member.thaw()
        self.wait_for_those_told()
        with self.lock:
            for member in self.members.values():
                member.start()

    def stop(self) -> None:
        with self.lock:
            for member in self.members.values():
                member.thaw()
                member.tell_to_end()
        self.wait_for_those_told()
        self._ending.set()

    def clear_away(self) -> None:
        self._ending.set()
        for process in self.site.processes:
            if process.is_up:
                process.clear_away()

    def complaints(self) -> list[str]:
        """Return what processes wrote that a process that is well never writes."""
        return [
            f"{Path(process._log).name}: {line}"
            for process in self.site.processes
            for line in process.complaints()
        ]

    def wait_for_those_told(self) -> None:
        deadline = time.monotonic() + TIME_TO_END + 10
        while time.monotonic() < deadline:
            with self.lock:
                told = [
                    member
                    for member in self.members.values()
                    if member.is_wanted and member.life.told is not None
                ]
            if not told:
                return
            time.sleep(0.05)

    def _look_on(self) -> None:
        while not self._ending.wait(0.02):
            with self.lock:
                for member in self.members.values():
                    member.look()
