"""Measures how soon what a killed worker carried out is queued again, runs again, or is ended."""

import threading
import time
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError, connections

from sisy.models import Process, Run, RunState
from tests.chaos import moments
from tests.chaos.evidence import Rescue
from tests.chaos.moments import datetime_of

Holding = tuple[int, int | None, int]  # run, process, attempt


@dataclass(slots=True)
class _Watch:
    name: str
    pid: int
    started: float
    killed: float
    held: set[Holding] | None = None
    count: int = 0


class RescueWatch:
    """Looks several times a second what dead workers still hold by the ledger."""

    def __init__(self) -> None:
        self.rescues: list[Rescue] = []
        self._open: list[_Watch] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "RescueWatch":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ending.set()
        self._thread.join()

    def killed(self, name: str, pid: int, started: float, at: float) -> None:
        with self._lock:
            self._open.append(_Watch(name, pid, started, at))

    def all(self) -> list[Rescue]:
        """Return those that are over, and as such those that are not."""
        now = moments.now()
        with self._lock:
            return self.rescues + [
                Rescue(
                    name=watch.name,
                    killed=watch.killed,
                    runs=watch.count,
                    seconds=now - watch.killed,
                    is_over=False,
                )
                for watch in self._open
                if watch.count
            ]

    def _watch(self) -> None:
        while not self._ending.wait(0.25):
            with self._lock:
                watches = list(self._open)
            try:
                for watch in watches:
                    self._look(watch)
            except (DatabaseError, InterfaceError):
                connections.close_all()
                time.sleep(0.2)
        connections.close_all()

    def _look(self, watch: _Watch) -> None:
        if watch.held is None:
            watch.held = self._held_by(watch)
            watch.count = len(watch.held)
        elif watch.held:
            pks = [run for run, _, _ in watch.held]
            running = Run.objects.filter(pk__in=pks, state=RunState.RUNNING)
            watch.held &= set(running.values_list("pk", "process", "attempt"))
        if not watch.held:
            with self._lock:
                self._open.remove(watch)
                if watch.count:
                    self.rescues.append(
                        Rescue(
                            name=watch.name,
                            killed=watch.killed,
                            runs=watch.count,
                            seconds=moments.now() - watch.killed,
                        )
                    )

    def _held_by(self, watch: _Watch) -> set[Holding]:
        own = Process.objects.filter(
            pid=watch.pid, role="worker", started_at__gte=datetime_of(watch.started - 1)
        )
        running = Run.objects.filter(state=RunState.RUNNING, process__in=own.values("pk"))
        return set(running.values_list("pk", "process", "attempt"))
