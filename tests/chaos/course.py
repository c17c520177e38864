"""Carries out a plan of the nemesis, and shows how far it is."""

import sys
import time
from collections import Counter

from django.db import DatabaseError, InterfaceError, connections

from sisy.models import Run
from tests.chaos import ledger, moments
from tests.chaos.drops import Order
from tests.chaos.fleet import Fleet, Member
from tests.chaos.grounds import Ground
from tests.chaos.nemesis import Step
from tests.chaos.rescues import RescueWatch

PROGRESS = 5.0


class Course:
    """Does one step after the other at its time.

    Attributes:
        deeds: how often what was done.
    """

    def __init__(self, fleet: Fleet, ground: Ground, rescues: RescueWatch, start: float) -> None:
        self.deeds: Counter[str] = Counter()
        self._fleet = fleet
        self._ground = ground
        self._rescues = rescues
        self._start = start
        self._shown = 0.0

    def run(self, steps: list[Step], until: float) -> None:
        try:
            for step in steps:
                self.wait(self._start + step.at)
                self._do(step)
            self.wait(until)
        except KeyboardInterrupt:
            say("interrupted: no more is broken, and what there is is checked")

    def wait(self, until: float) -> None:
        while (left := until - moments.now()) > 0:
            time.sleep(min(left, 0.2))
            self.show()

    def _do(self, step: Step) -> None:
        self.deeds[f"{step.do} {step.to.partition('-')[0]}"] += 1
        match step.do, step.to:
            case "stop", _:
                self._ground.stop(step.to, step.how)
            case "start", "database" | "layer":
                self._ground.start(step.to)
            case "break", _:
                self._ground.break_a_connection()
            case "drop", _:
                self._ground.orders.give(step.to, Order.of(step.how))
            case "hold", _:
                self._ground.snapshots.hold()
            case "release", _:
                self._ground.snapshots.release()
            case "flush", _:
                self._ground.flush()
            case "flood", _:
                self._ground.flood()
            case _:
                self._do_to_member(step)

    def _do_to_member(self, step: Step) -> None:
        member = self._fleet.members[step.to]
        with self._fleet.lock:
            match step.do:
                case "start":
                    member.start_again()
                case "kill":
                    self._kill(member)
                case "tell to end":
                    member.tell_to_end()
                case "freeze":
                    member.freeze()
                case "thaw":
                    member.thaw()

    def _kill(self, member: Member) -> None:
        process, life = member.process, member.life
        if member.is_wanted:
            member.kill()
            if member.name.startswith("worker"):
                self._rescues.killed(member.name, process.pid, life.started, life.died[0])

    def show(self) -> None:
        now = time.monotonic()
        if now - self._shown < PROGRESS:
            return
        self._shown = now
        try:
            states = Counter(dict(ledger.live_counts()))
            rows = Run.objects.order_by("-pk").values_list("pk", flat=True).first()
            books = f"rows to {rows}, {states['queued']} queued, {states['running']} running"
        except (DatabaseError, InterfaceError):
            connections.close_all()
            books = "the database is away"
        kills = sum(count for deed, count in self.deeds.items() if deed.startswith("kill"))
        say(f"{moments.now() - self._start:6.0f} s, {kills} kills, {books}")


def say(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)
