"""What processes read while there is nothing to do, and how late they claim while there is."""

import time
from contextlib import nullcontext
from dataclasses import dataclass

from django.test import override_settings
from tests.settings import layer

from benchmarks import jobs, layouts, readings, report
from benchmarks.layouts import Layout
from benchmarks.storage_writes import SETTLING, fall_due, submit_batched, wait_until_clean
from sisy import clock
from sisy.messaging import doorbell
from sisy.models import Run, Task

HEARTBEAT, WORKER = "sisy_heartbeat", "sisy_worker"
SITE = Layout(name="PostgreSQL and Valkey", commands=(WORKER, HEARTBEAT), has_valkey=True)
CLAIM, POLL, BEAT = "a claim on an empty queue", "a worker's poll", "a heartbeat's poll"
RING_INTERVAL = 0.25
BURSTS = 50  # of submissions, a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is carried out before pages are counted, and at which rate.

    Attributes:
        backlog: runs, and then as many plans.
        plan_seconds: in each of which an equal share of the plans falls due.
        rate: submissions a second, for ``seconds``.
        idle: the seconds in which pages are counted, each time.
    """

    backlog: int
    plan_seconds: int
    rate: int
    seconds: float
    idle: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What processes read when they found nothing to do, and how late runs started.

    Attributes:
        pages: read each time, by what the process did.
        lateness: the seconds from the moment at which a run was ready to its start.
    """

    pages: dict[str, list[int]]
    lateness: list[float]


def watch(load: Load, *, is_held: bool) -> Watched:
    """Carry out runs and plans, with or without a snapshot held, and watch the processes."""
    name = "a snapshot is held" if is_held else "no snapshot is held"
    with layouts.opened(SITE) as site:
        site.set(SISY_ENGINES={})  # as by default: other engines have a poll of their own
        readings.explain_all()
        with (
            override_settings(CHANNEL_LAYERS={"default": layer(site.environment["VALKEY_URL"])}),
            readings.held_snapshot() if is_held else nullcontext(),
        ):
            for command in SITE.commands:
                layouts.start(site, [command], PGAPPNAME=command)
            report.progress(f"{name}: {load.rate} runs a second for {load.seconds:g} s")
            lateness = claim_steadily(load.rate, load.seconds)
            report.progress(f"{name}: {load.backlog:,} runs in all")
            submit_batched(max(0, load.backlog - Run.objects.count()))
            time.sleep(SETTLING)
            pages = {CLAIM: read_by_claims(load.idle), POLL: read_by_polls(WORKER, load.idle)}
            report.progress(f"{name}: {load.backlog:,} plans")
            fall_due(load.backlog, load.plan_seconds)
            time.sleep(SETTLING)
            pages[BEAT] = read_by_polls(HEARTBEAT, load.idle)
            layouts.stop(site)
    return Watched(pages=pages, lateness=lateness)


def claim_steadily(rate: int, seconds: float) -> list[float]:
    """Submit at this rate, and return how late each run started; the first second is warm-up."""
    begun = time.monotonic()
    for n in range(round(BURSTS * (seconds + 1))):
        time.sleep(max(0.0, begun + n / BURSTS - time.monotonic()))
        Task.bulk_run_once(jobs.noop, [{}] * (rate // BURSTS))
    wait_until_clean(rate)
    # Only two columns: in some minutes at a high rate, there are hundreds of thousands of runs.
    moments = Run.objects.order_by("pk").values_list("ready_at", "started_at")[rate:]
    return [(started_at - ready_at).total_seconds() for ready_at, started_at in moments.iterator()]


def read_by_claims(seconds: float) -> list[int]:
    """Ring the worker for a queue that is empty; return the pages that it reads each time."""
    run = Run.objects.latest("pk")
    with readings.reading() as found:
        moments = [time.time()]
        for _ in range(round(seconds / RING_INTERVAL)):
            run.ready_at = clock.now("default")
            doorbell.ring([run])
            time.sleep(RING_INTERVAL)
            moments.append(time.time())
    return found.between(moments, WORKER)


def read_by_polls(process: str, seconds: float) -> list[int]:
    """Return the pages that a process reads in each second in which it has nothing to do."""
    with readings.reading() as found:
        time.sleep(seconds + 1)  # parts of seconds at both ends do not count
    return found.in_each_second(process)
