"""Carries out one proof: the fleet, the user and the nemesis at once; then all comes to rest."""

import os
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.db import DatabaseError, InterfaceError, connections

from sisy import clock
from sisy.models import Process, Task, TaskState
from tests.chaos import disturbances, execution_log, ledger, moments, witness
from tests.chaos.course import Course, say
from tests.chaos.database_clock import ClockWatch
from tests.chaos.drops import Drop
from tests.chaos.evidence import Evidence, Span
from tests.chaos.fleet import Fleet
from tests.chaos.grounds import Ground
from tests.chaos.habits import habits
from tests.chaos.journal import Change, Journal
from tests.chaos.nemesis import plan
from tests.chaos.rescues import RescueWatch
from tests.chaos.user import User
from tests.chaos.withdrawals import Withdrawals
from tests.chaos.workload import QUEUES, Draft, drafts
from tests.processes.databases import migrate
from tests.processes.site import Site
from tests.support.waiting import wait_until

LEASE = 5
TIME_TO_PLAN = 3.0
TIME_TO_CATCH_UP = 12.0
"""Seconds in which a healed fleet has planned all that is due."""

TIME_TO_GO_ON = 60.0
"""Seconds within which a fleet at work has one live run less."""

LOG = "executions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is proved, and on what."""

    seconds: float
    seed: int
    database: str
    layer: str
    nemesis: str
    tasks: int
    folder: Path


@dataclass(slots=True, kw_only=True)
class Proof:
    """What came of it: the evidence, and what was done."""

    evidence: Evidence
    deeds: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    drops: list[Drop] = field(default_factory=list)
    snapshots: list[Span] = field(default_factory=list)
    user_acts: Counter[str] = field(default_factory=Counter)
    aimed: int = 0
    complaints: list[str] = field(default_factory=list)


def commands(database: str) -> dict[str, tuple[str, ...]]:
    """Return the members of the fleet: three heartbeats and four workers; on SQLite, 2 and 3."""
    heartbeats, graces = (2, "2 8 30") if database == "sqlite" else (3, "2 8 2 30")
    worker = ("sisy_worker", "--queues", ",".join(QUEUES), "--concurrency", "12")
    found = {f"heartbeat-{n}": ("sisy_heartbeat",) for n in range(1, heartbeats + 1)}
    for n, grace in enumerate(graces.split(), start=1):
        found[f"worker-{n}"] = (*worker, "--grace", grace)
    return found


def prove(options: Options, ground: Ground) -> Proof:
    """Run it all, and return the evidence; an interrupt ends the workload early."""
    site = _site(options)
    migrate(site)
    fleet = Fleet(site, commands(options.database), ground.orders, ground.failed_since)
    steps = plan(
        options.seed,
        options.seconds,
        list(fleet.members),
        options.database,
        options.layer,
        LEASE,
        options.nemesis,
    )
    for step in steps:
        print(step)
    all_drafts = drafts(options.seed, options.database, options.seconds, options.tasks)
    journal = Journal()
    users = _users(options, all_drafts, journal)
    with ExitStack() as stack:
        stack.callback(ground.snapshots.release)
        stack.callback(fleet.clear_away)
        clock_watch = stack.enter_context(ClockWatch())
        withdrawals = stack.enter_context(Withdrawals())
        fleet.start()
        _signed_on(fleet)
        start = _saved(all_drafts, journal)
        stalls = stack.enter_context(disturbances.StallWatch())
        rescues = stack.enter_context(RescueWatch())
        course = Course(fleet, ground, rescues, start)
        for user in users:
            user.start()
        course.run(steps, start + options.seconds)
        for user in users:
            user.stop()
        end = moments.now()
        say("coming to rest")
        ground.heal()
        fleet.heal()
        course.wait(moments.now() + TIME_TO_CATCH_UP)
        paused_from = moments.now()
        _pause_active()
        _rest(course)
        for draft in all_drafts:
            whole = (paused_from, moments.now())
            journal.write(Change(key=draft.key, when=whole, schedule=None))
        fleet.stop()
        for error in (*(user.error for user in users), ground.snapshots.error):
            if error is not None:
                raise error
        evidence = witness.evidence(
            database=options.database,
            lease=LEASE,
            log=options.folder / LOG,
            horizon=(start, end),
            drafts=all_drafts,
            journal=journal,
            users=users,
            fleet=fleet,
            ground=ground,
            stalls=stalls,
            rescues=rescues,
            clock=clock_watch.clock(),
            withdrawn=withdrawals.runs,
        )
    return Proof(
        evidence=evidence,
        deeds=course.deeds,
        orders=ground.orders.given,
        drops=ground.orders.drops(),
        snapshots=ground.snapshots.held,
        user_acts=sum((user.done for user in users), Counter()),
        aimed=sum(user.aimed for user in users),
        complaints=fleet.complaints(),
    )


def _users(options: Options, all_drafts: list[Draft], journal: Journal) -> list[User]:
    """Return the users, each of whom has a part of the tasks."""
    how = habits(options.nemesis, options.database)
    return [
        User(f"{options.seed}-{number}", all_drafts[number :: how.number], journal, how)
        for number in range(how.number)
    ]


def _site(options: Options) -> Site:
    names = ("DATABASE_URL", "VALKEY_URL", "SISY_TEST_DB", "SISY_TEST_FOLDER")
    log = options.folder / LOG
    log.mkdir()
    environment = {name: os.environ[name] for name in names if name in os.environ}
    (options.folder / "processes").mkdir()
    site = Site(options.folder / "processes", environment | {execution_log.FOLDER: str(log)})
    settings = {"SISY_LEASE_SECONDS": LEASE}
    if options.layer == "none":
        settings["CHANNEL_LAYERS"] = {}
    site.set(**settings)
    return site


def _signed_on(fleet: Fleet) -> None:
    pids = [member.process.pid for member in fleet.members.values()]
    up = Process.objects.filter(pid__in=pids).order_by().values("pid").distinct()
    wait_until(lambda: up.count() == len(pids), "all have signed on")


def _saved(all_drafts: list[Draft], journal: Journal) -> float:
    """Save the tasks so that all begin at the same second, and return that."""
    began = time.monotonic()
    start = clock.now("default").replace(microsecond=0) + timedelta(
        seconds=TIME_TO_PLAN + len(all_drafts) / 30
    )
    start = start.replace(microsecond=0)
    before = moments.now()
    # At once: one after the other, a busy machine would not have saved them all by their start.
    Task.objects.bulk_create([draft.task(start) for draft in all_drafts])
    say(f"{len(all_drafts)} tasks saved in {time.monotonic() - began:.1f} s")
    saved = (before, moments.now())
    for draft in all_drafts:
        fields = draft.fields
        journal.write(
            Change(
                key=draft.key,
                when=saved,
                schedule=fields["schedule"],
                priority=fields["priority"],
            )
        )
    return start.timestamp()


def _pause_active() -> None:
    """Let nothing fall due any more."""
    while True:
        try:
            for task in Task.objects.filter(state=TaskState.ACTIVE):
                task.pause("the end of the chaos")
        except (DatabaseError, InterfaceError):
            connections.close_all()
        else:
            return


def _rest(course: Course) -> None:
    """Wait until no run is live, as long as there are ever fewer of them."""
    fewest, deadline = None, 0.0
    while live := sum(count for _, count in ledger.live_counts()):
        if fewest is None or live < fewest:
            fewest, deadline = live, time.monotonic() + TIME_TO_GO_ON
        if time.monotonic() > deadline:
            return
        _pause_active()  # an iteration that was given back revives its task
        course.show()
        time.sleep(0.2)
