"""Open and close alerts. A problem has one alert, however many heartbeats find it.

The key of a problem is unique among open alerts, so the database decides which heartbeat opens it.
That heartbeat sends the signal.
Here, an alert only gets the moment at which to notify people: see `notifying`.

A problem that recurs within ten minutes reopens its alert. People are notified again only if it
lasts for ten minutes this time, and then of its recovery only when that has lasted for ten
minutes.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Case, F, Max, Q, Value, When

from sisy import signals
from sisy.alerting.problem import Problem, of_task, open_key
from sisy.models import Alert
from sisy.models.alert import KEY_IF_OPEN
from sisy.records.fields import MomentField
from sisy.records.problems import Kind
from sisy.store.bulk import Update, update_rows
from sisy.store.isolation import isolating

SETTLING = timedelta(seconds=10)  # from the opening of an alert to its message
RECURRING = timedelta(minutes=10)

T = TypeVar("T")

Closing = tuple[Alert, str]
"""An alert, and why it is over."""


def open_subjects(using: str, kind: Kind, subjects: Iterable[str]) -> set[str]:
    """Return those of ``subjects`` that have an open alert of a kind.

    What an alert says is found out when it is opened, and need not be found out again.
    """
    subject_of = {open_key(kind, subject): subject for subject in subjects}
    return {subject_of[key] for key in _open_keys(using, subject_of)}


def without_open(using: str, kind: Kind, found: Mapping[int, T]) -> dict[int, T]:
    """Return those of ``found``, by the key of their task, that have no open alert of a kind."""
    already_open = open_subjects(using, kind, map(of_task, found))
    return {pk: one for pk, one in found.items() if of_task(pk) not in already_open}


def _open_keys(using: str, keys: Iterable[str]) -> set[str]:
    """Return those of ``keys`` that an open alert has."""
    wanted = set(keys)
    alerts = Alert.objects.using(using).filter(open_key__in=wanted).order_by()
    # A collation that ignores case finds others, too.
    return wanted & set(alerts.values_list("open_key", flat=True)) if wanted else set()


def open_alerts(using: str, problems: Iterable[Problem], now: datetime) -> int:
    """Open an alert for each problem that has none. Return how many."""
    # In the order of keys, so that heartbeats which open the same alerts cannot deadlock.
    found = dict(sorted((problem.key, problem) for problem in problems))
    if not found:
        return 0
    with transaction.atomic(using=using):
        alerts = Alert.objects.using(using)
        for key in _open_keys(using, found):
            del found[key]
        subjects = [problem.subject for problem in found.values()]
        kinds = {problem.kind for problem in found.values()}
        last = last_alerts(using, subjects, kinds)
        new: list[Alert] = []
        again: dict[int, Problem] = {}
        for key, problem in found.items():
            before = last.get(key)
            if before is not None and before.closed_by and before.evidence == problem.evidence:
                continue
            if before is not None and _recurs(before, now):
                again[before.pk] = problem
            else:
                new.append(_alert_of(problem, before, now))
        keys, reopened = _create(using, new), _reopen(using, again, now)
        opened = alerts.filter(Q(open_key__in=keys) | Q(pk__in=reopened))
        opened.send_on_commit(signals.alert_opened)
        return len(keys) + len(reopened)


def close_alerts(using: str, closings: Iterable[Closing], now: datetime) -> int:
    """Close alerts whose problem is over. Return how many were open."""
    over = {alert.pk: (alert.evidence, reason) for alert, reason in closings}
    if not over:
        return 0
    later = Value(now + RECURRING, MomentField())
    notify_at = Case(
        When(is_notified=True, reopened=0, then=Value(now, MomentField())),
        When(is_notified=True, then=later),
        default=None,
        output_field=MomentField(),
    )
    alerts = Alert.objects.using(using)
    by_reason: dict[str, list[int]] = defaultdict(list)
    with transaction.atomic(using=using):
        locked = alerts.open().filter(pk__in=over).order_by("pk").select_for_update()
        for pk, evidence in locked.values_list("pk", "evidence"):
            as_read, reason = over[pk]
            # With other evidence, its problem was found again in the meantime.
            if evidence == as_read:
                by_reason[reason].append(pk)
        return sum(
            alerts.filter(pk__in=pks).end(closed_at=now, close_reason=reason, notify_at=notify_at)
            for reason, pks in by_reason.items()
        )


def last_alerts(
    using: str, subjects: Collection[str], kinds: Collection[Kind]
) -> dict[str, Alert]:
    """Return, by the keys of their problems, the latest alerts of some subjects and kinds."""
    alerts = Alert.objects.using(using)
    newest = (
        alerts.filter(subject__in=subjects, kind__in=kinds)
        .order_by()
        .values_list("subject", "kind")
        .annotate(newest=Max("pk"))
    )
    pks = [pk for *_, pk in newest]
    return {open_key(alert.kind, alert.subject): alert for alert in alerts.filter(pk__in=pks)}


def _recurs(before: Alert, now: datetime) -> bool:
    is_recent = before.closed_at is not None and now - before.closed_at < RECURRING
    return is_recent and not before.closed_by


def _began(problem: Problem, before: Alert | None, now: datetime) -> datetime:
    """Return when a problem began: before its alert was closed by hand, if it lasted on."""
    since = min(problem.since, now)
    if before is None or not before.closed_by or before.closed_at is None:
        return since
    return min(since, before.since) if since <= before.closed_at else since


def _alert_of(problem: Problem, before: Alert | None, now: datetime) -> Alert:
    is_muted = before is not None and before.is_muted(now)
    return Alert(
        open_key=problem.key,
        kind=problem.kind,
        subject=problem.subject,
        task_id=problem.task,
        run_id=problem.run,
        queue=problem.queue,
        label=problem.label,
        why=problem.why,
        cause=problem.cause,
        fix=problem.fix,
        evidence=problem.evidence,
        since=_began(problem, before, now),
        opened_at=now,
        notify_at=now + SETTLING,
        muted_until=before.muted_until if before is not None and is_muted else None,
        muted_by=before.muted_by if before is not None and is_muted else "",
    )


def _create(using: str, alerts: Sequence[Alert]) -> list[str]:
    """Store new alerts. Return the keys of those that no other heartbeat opened first."""

    def create(some: Sequence[Alert]) -> list[str]:
        with transaction.atomic(using=using):
            Alert.objects.using(using).bulk_create(some)
        return [alert.open_key or "" for alert in some]

    def one_by_one(error: Exception) -> list[str]:
        created = []
        for alert in alerts:
            with suppress(IntegrityError):
                created += create([alert])
        return created

    return isolating(lambda: create(alerts), one_by_one)


def _reopen(using: str, again: Mapping[int, Problem], now: datetime) -> list[int]:
    """Open closed alerts again, by their keys, for what shows their problem now.

    Return the keys of those that no other heartbeat has opened.
    """
    alerts = Alert.objects.using(using).filter(pk__in=again)
    pks = alerts.closed().locked() if again else []
    if not pks:
        return []
    shown_by = [again[pk] for pk in pks]
    news: dict[str, list[Any]] = {
        "why": [problem.why for problem in shown_by],
        "cause": [problem.cause for problem in shown_by],
        "fix": [problem.fix for problem in shown_by],
        "run_id": [problem.run for problem in shown_by],
        "evidence": [problem.evidence for problem in shown_by],
    }
    update_rows(using, Alert, pks, Update(assign=news))
    later = Value(now + RECURRING, MomentField())
    alerts.filter(pk__in=pks).update(
        open_key=KEY_IF_OPEN,
        closed_at=None,
        close_reason="",
        reopened=F("reopened") + 1,
        # If its recovery was not reported yet, people still know that it is open.
        notify_at=Case(
            When(is_notified=True, then=None), default=later, output_field=MomentField()
        ),
    )
    return pks
