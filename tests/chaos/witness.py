"""Gathers the evidence for the checker once all has come to rest."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path

from tests.chaos import backlog, disturbances, execution_log, ledger, moments
from tests.chaos.database_clock import DatabaseClock
from tests.chaos.evidence import Disturbance, Evidence, Span, Subject
from tests.chaos.fleet import Fleet
from tests.chaos.grounds import Ground
from tests.chaos.journal import Change, Journal, active, by_the_database
from tests.chaos.rescues import RescueWatch
from tests.chaos.user import User
from tests.chaos.workload import Draft
from tests.support.small_tables import disagreements

ON_TIME_TOLERANCE = {"postgres": 5.0, "mariadb": 5.0, "sqlite": 10.0}
"""How late a start may be, in seconds, on a machine that others use, too."""


def evidence(
    *,
    database: str,
    lease: float,
    log: Path,
    horizon: Span,
    drafts: list[Draft],
    journal: Journal,
    users: Sequence[User],
    fleet: Fleet,
    ground: Ground,
    stalls: disturbances.StallWatch,
    rescues: RescueWatch,
    clock: DatabaseClock,
    withdrawn: Collection[int],
) -> Evidence:
    def bounds(moment: float) -> Span:
        return clock.bounds(moments.steady_at(moment))

    deleted = {key for user in users for key in user.deleted}
    subjects = {}
    for draft in drafts:
        changes = by_the_database(journal.of(draft.key), bounds)
        subjects[draft.key] = _subject(draft, changes, horizon, draft.key in deleted)
    requests = [request for user in users for request in user.requests]
    for request in requests:
        if request.key not in subjects:
            subjects[request.key] = Subject(key=request.key, overlap="allow")
    executions, rows = execution_log.read(log, clock.bounds), ledger.rows()
    shadows = _disturbances(database, fleet, ground, stalls)
    return Evidence(
        horizon=horizon,
        subjects=subjects,
        requests=requests,
        executions=executions,
        rows=rows,
        lives=fleet.lives,
        disturbances=backlog.extended(shadows, rows, executions),
        rescues=rescues.all(),
        existing=ledger.existing(),
        cancels=frozenset(reason for user in users for reason in user.cancels),
        crashes=tuple(fleet.crashes),
        disagreements=(*ground.snapshots.disagreements, *disagreements()),
        withdrawn=frozenset(withdrawn),
        punctual=ON_TIME_TOLERANCE[database],
        lease=lease,
    )


def _subject(
    draft: Draft,
    changes: Sequence[Change],
    horizon: Span,
    is_deleted: bool,
) -> Subject:
    fields = draft.fields
    timeout = fields.get("timeout")
    return Subject(
        key=draft.key,
        overlap=str(fields["overlap"]),
        on_lost=str(fields["on_lost"]),
        max_attempts=fields.get("max_attempts", 1),
        spread=fields.get("spread", timedelta(0)).total_seconds(),
        timeout=timeout.total_seconds() if timeout else None,
        iterations=fields.get("iterations"),
        first_due=horizon[0] if fields.get("wait_for_schedule") is False else None,
        end_running=(horizon[0] + draft.ends_after if draft.ends_after is not None else None),
        is_deleted=is_deleted,
        active=active(changes, fields["timezone"], horizon[0]),
    )


def _disturbances(
    database: str, fleet: Fleet, ground: Ground, stalls: disturbances.StallWatch
) -> list[Disturbance]:
    lives, now = list(fleet.lives.values()), moments.now()
    workers = sum(name.startswith("worker") for name in fleet.members)
    found = disturbances.of_the_database(ground.outages, ground.broken) + stalls.disturbances()
    found += disturbances.of_drops(drop.at for drop in ground.orders.drops())
    found += disturbances.of_the_fleet(lives, "heartbeat", now, 1, after=2)
    found += disturbances.of_the_fleet(lives, "worker", now, (workers + 1) // 2, after=5)
    if database == "sqlite":
        found += disturbances.of_frozen(lives, after=5)
    return disturbances.merged(found)
