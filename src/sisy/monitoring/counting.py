"""Count what this process does, and add it to the totals of the site.

The web process that a monitoring system asks is not the process that executes runs. So each
heartbeat and worker counts in memory, by the signals of its own changes, and adds what it has
counted to a row of `Tally` after each renewal of its lease. That is one small transaction every
few seconds, however many runs there are, and none if nothing happened:

    change is committed --> Counts in memory --lease is renewed--> Tally row --scrape--> sum

Rows only grow, so a restart of any process resets nothing. A process that is killed loses what it
has counted since its last renewal, at most a quarter of a lease. If the answer to a commit is
lost, the counts of a few seconds may be added twice.

Processes without a lease, such as a web process in which a person cancels runs, add what they have
counted at once.
"""

import json
import threading
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed
from django.db import connections, transaction

from sisy import clock, conf, signals
from sisy.messaging import doorbell
from sisy.models import RunState, Tally
from sisy.models.lease import call_at_renewals
from sisy.monitoring.counts import (
    BY_TASK,
    DURATION,
    LATENESS,
    LAYOUT,
    RETRIES,
    RINGS,
    RUNS,
    TASK_DURATION,
    TASK_LATENESS,
    TASK_RUNS,
    Counts,
)
from sisy.planning.catch_up import IN_TIME, THEREFORE
from sisy.runtime.compat import after_fork_in_child
from sisy.runtime.log import Outage
from sisy.runtime.signal_dispatch import ContainedSignal
from sisy.store.gauges import totals_of
from sisy.store.isolation import past_deadlocks

if TYPE_CHECKING:
    from sisy.models import Run

News = list[dict[str, Any]]

_counts: dict[str, Counts] = {}  # by the alias of the database
_lock = threading.Lock()
_with_lease: set[str] = set()  # the aliases of databases in which this process keeps a lease
_outage = Outage("Storing metrics")

OF_MISSED = {f"{IN_TIME} {therefore}": policy.value for policy, therefore in THEREFORE.items()}
OF_STATE: dict[str, str] = {
    RunState.SUCCEEDED: "",
    RunState.TIMED_OUT: "timeout",
    RunState.LOST: "worker_died",
    RunState.SKIPPED: "overlap",
}


def reason_of(run: "Run") -> str:
    """Return why ``run`` ended, in one of few values; empty if it succeeded.

    ==========  ==============================================================================
    outcome     reason
    ==========  ==============================================================================
    failed      the dotted path of the exception's class; ``rejected`` if no function was called
    timed_out   ``timeout``
    cancelled   ``queued`` or ``running``: what the run was
    lost        ``worker_died``
    missed      the policy that left it out: ``latest``, ``all`` or ``skip``; ``changed`` if its
                task was changed or deleted first
    skipped     ``overlap``
    ==========  ==============================================================================
    """
    known = OF_STATE.get(run.state)
    if known is not None:
        return known
    if run.state == RunState.CANCELLED:
        return "queued" if run.started_at is None else "running"
    if run.state == RunState.MISSED:
        return OF_MISSED.get(run.reason, "changed")
    return run.error_class or "rejected"


def on_ended(news: News) -> None:
    """Count runs that have ended, and measure those that were executed."""
    with _lock:
        for each in news:
            _count_end(each["run"])


def on_lost(news: News) -> None:
    """Count lost runs. Most are queued again."""
    with _lock:
        for each in news:
            run: Run = each["run"]
            if run.state == RunState.QUEUED:
                _of(run).add(RETRIES, (run.queue, "lost"))
            else:
                _count_end(run)


def on_retrying(news: News) -> None:
    """Count failed attempts after which the run is queued again."""
    with _lock:
        for each in news:
            run: Run = each["run"]
            _of(run).add(RETRIES, (run.queue, run.error_class))


def on_ended_anywhere(news: News) -> None:
    """Count runs that any process may have ended, and store that soon."""
    on_ended(news)
    using = _alias_of(news[0]["run"])
    if using not in _with_lease:
        flush(using)


def _count_end(run: "Run") -> None:
    counts = _of(run)
    counts.add(RUNS, (run.queue, run.state, reason_of(run)), run.count)
    has_metrics = is_of_own_metrics(run.label)
    if has_metrics:
        counts.add(TASK_RUNS, (run.label, run.state), run.count)
    if (lateness := run.lateness) is None or (duration := run.duration) is None:
        return
    counts.observe(LATENESS, (run.queue,), lateness.total_seconds())
    counts.observe(DURATION, (run.queue,), duration.total_seconds())
    if has_metrics:
        counts.observe(TASK_LATENESS, (run.label,), lateness.total_seconds())
        counts.observe(TASK_DURATION, (run.label,), duration.total_seconds())


@lru_cache(maxsize=10_000)
def is_of_own_metrics(label: str) -> bool:
    """Return whether the tasks with a label have metrics of their own."""
    return any(fnmatchcase(label, pattern) for pattern in conf.get_settings().metrics_tasks)


def _of(run: "Run") -> Counts:
    using = _alias_of(run)
    counts = _counts.get(using)
    if counts is None:
        counts = _counts[using] = Counts()
    return counts


def _alias_of(run: "Run") -> str:
    return run._state.db or "default"


def flush(using: str) -> None:
    """Add what this process has counted to the totals of the site. Never raises or waits for long.

    If that fails, the counts are kept for the next time.
    """
    with _lock:
        counts = _counts.pop(using, None)
    # Rings alone are not worth a transaction: every idle worker may receive those of all others.
    if not counts:
        return
    for channel, number in doorbell.take_received().items():
        counts.add(RINGS, (channel,), number)
    try:
        past_deadlocks(_store, using, counts)
    except Exception as error:  # noqa: BLE001 - counting must never break what is counted
        with _lock:
            counts.merge(_counts.get(using, Counts()))
            _counts[using] = counts
        _outage.failed(error, "the counts are kept in memory")
    else:
        _outage.recovered()


def _store(using: str, counts: Counts) -> None:
    # Any row that is free: a process that froze with a lock on one must not stop the others.
    rows = Tally.objects.using(using).filter(layout=LAYOUT).order_by("pk")
    now = clock.last_known(using)
    with transaction.atomic(using=using):
        skips = connections[using].features.has_select_for_update_skip_locked
        tally = rows.select_for_update(skip_locked=skips).first()
        if tally is None:
            tally = Tally(layout=LAYOUT, totals=counts.as_json(), changed_at=now)
            tally.save(using=using, force_insert=True)
            return
        totals = Counts.of_json(tally.totals)
        totals.merge(counts)
        rows.filter(pk=tally.pk).update(totals=totals.as_json(), changed_at=now)


def read(using: str) -> Counts:
    """Return what all processes have counted, in one statement."""
    leaves_out = () if conf.get_settings().metrics_tasks else BY_TASK
    return Counts.sum_of(map(json.loads, totals_of(using, LAYOUT)), leaves_out)


def on_renewal(using: str, is_over: bool) -> None:
    """Store what was counted. Called when a lease was renewed or has ended."""
    if is_over:
        _with_lease.discard(using)
    else:
        _with_lease.add(using)
    flush(using)


def forget() -> None:
    """Forget what this process has counted, as in a fork, whose parent stores it."""
    global _lock
    _lock = threading.Lock()  # a thread of the parent may have held it
    _counts.clear()
    doorbell.take_received()
    _with_lease.clear()


def _forget_patterns(*, setting: str, **kwargs: Any) -> None:
    if setting == "SISY_METRICS_TASKS":
        is_of_own_metrics.cache_clear()


COUNTERS: dict[ContainedSignal, Callable[[News], None]] = {
    signals.run_finished: on_ended,
    signals.run_lost: on_lost,
    signals.run_retrying: on_retrying,
    signals.run_missed: on_ended_anywhere,
    signals.run_skipped: on_ended,
    signals.run_rejected: on_ended,
    signals.run_cancelled: on_ended_anywhere,
}


def connect() -> None:
    """Count from now on."""
    for signal, counter in COUNTERS.items():
        signal.connect_counter(counter)
    call_at_renewals(on_renewal)
    after_fork_in_child(forget)
    setting_changed.connect(_forget_patterns, dispatch_uid="sisy.monitoring.counting")
