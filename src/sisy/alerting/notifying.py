"""Notify people of alerts that were opened or are over, by messages in the outbox.

A message is stored in the transaction that records what people were notified of, so that any
number of heartbeats notify them once. Up to ten alerts have a message each. If there are more,
something larger has happened: the messages wait until no further alert was opened for half a
minute, or for two minutes at most, and become one.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, F, Max, Min, Q
from django.utils.translation import gettext, ngettext

from sisy.alerting.advised_commands import to_see_all
from sisy.alerting.channels import configured
from sisy.alerting.notice import Notice, payload_of
from sisy.alerting.opening import RECURRING
from sisy.alerting.outbox import post
from sisy.channel_settings import ChannelSetting
from sisy.models import Alert, Task
from sisy.models.alert import AlertQuerySet
from sisy.records.choices import Event
from sisy.records.problems import Severity
from sisy.runtime.log import logger

MAX_SINGLE = 10  # alerts that have a message each
MAX_LISTED = 1000  # alerts that a message about many describes
QUIET = timedelta(seconds=30)
LONGEST_STORM = timedelta(minutes=2)
LONGEST_WAIT = RECURRING + timedelta(minutes=1)  # of an alert that is not muted


def notify(using: str, now: datetime) -> int:
    """Store the messages that are due. Return how many alerts they are about."""
    with transaction.atomic(using=using):
        due = Alert.objects.using(using).filter(notify_at__lte=now)
        muted = due.filter(muted_until__gt=now)
        muted.open().update(notify_at=F("muted_until"))
        muted.closed().update(notify_at=None, is_notified=False)
        opened = _notify(due.open().filter(is_notified=False), Event.OPENED, now)
        over = _notify(due.closed().filter(is_notified=True), Event.RECOVERED, now)
        # People know the state of the others.
        due.open().filter(is_notified=True).update(notify_at=None)
        due.closed().filter(is_notified=False).update(notify_at=None)
        return opened + over


def correct_moments(using: str, now: datetime) -> None:
    """Notify people soon of alerts that would wait for longer than any alert that is not muted.

    Their moment was set before the clock was set back, or is the end of a mute that was shortened.
    """
    alerts = Alert.objects.using(using).filter(notify_at__gt=now + LONGEST_WAIT)
    is_muted = Q(muted_until__isnull=False, muted_until__gte=F("notify_at"))
    alerts.exclude(is_muted).update(notify_at=now)


def _notify(due: AlertQuerySet, event: Event, now: datetime) -> int:
    """Notify people of the alerts that are due. Return how many."""
    counted = due.order_by().aggregate(
        number=Count("pk"), first=Min("notify_at"), last=Max("notify_at")
    )
    if not counted["number"]:
        return 0
    if counted["number"] > MAX_SINGLE and _grows(counted["first"], counted["last"], now):
        return 0
    is_opening = event is Event.OPENED
    using = due.db
    # This locks them: another heartbeat waits here, and then finds none.
    pks = list(due.order_by("pk").select_for_update().values_list("pk", flat=True))
    if not (number := len(pks)):
        return 0
    alerts = Alert.objects.using(using).filter(pk__in=pks).order_by("pk")
    alerts.update(is_notified=is_opening, notify_at=None, notified_at=now)
    if number > MAX_SINGLE:
        _post_many(using, alerts, number, event, now)
        return number
    notes = _notes(alerts) if is_opening else {}
    for alert in alerts:
        key = f"alert-{alert.pk}-{alert.reopened}"
        if is_opening:
            alerts.filter(pk=alert.pk).update(thread=key)
        else:
            key += "-over"
        post(
            using,
            event,
            payload_of([notice_of(alert, notes.get(alert.task_id, ""))]),
            key,
            now=now,
        )
        _log(event, alert)
    return number


def _grows(first: datetime, last: datetime, now: datetime) -> bool:
    """Return whether further alerts may follow soon, so that one message can be about all."""
    return now - last < QUIET and now - first < LONGEST_STORM


def _post_many(
    using: str, alerts: AlertQuerySet, number: int, event: Event, now: datetime
) -> None:
    key = f"alerts-{alerts[0].pk}-{int(now.timestamp())}"
    if event is Event.OPENED:
        alerts.update(thread=key)
    for channel in configured():
        # Each channel lists alerts of its own, so that others cannot take their places.
        wanted = _wanted(alerts, channel)
        if wanted:
            listed = list(alerts.filter(pk__in=wanted[:MAX_LISTED]))
            notices = [notice_of(alert) for alert in listed]
            if more := len(wanted) - len(listed):
                notices.append(_others(alerts, listed[0], more, event))
            post(using, Event.DIGEST, payload_of(notices), key, [channel.name], now=now)
    logger.warning("%d alerts: %s", number, "opened" if event is Event.OPENED else "recovered")


def _wanted(alerts: AlertQuerySet, channel: ChannelSetting) -> list[int]:
    """Return the keys of the alerts that a channel gets."""
    if channel.wants_all:
        return list(alerts.values_list("pk", flat=True))
    named = alerts.only("label", "queue", "subject").iterator(chunk_size=MAX_LISTED)
    return [alert.pk for alert in named if channel.wants(alert.name, alert.queue)]


def _others(alerts: AlertQuerySet, first: Alert, more: int, event: Event) -> Notice:
    """Return a notice about the alerts that a message does not list."""
    bounds = alerts.order_by().aggregate(first=Min("since"), last=Max("closed_at"))
    return Notice(
        kind=first.kind,
        problem=gettext("more alerts"),
        severity=Severity.ERROR,
        since=bounds["first"],
        ended_at=bounds["last"] if event is Event.RECOVERED else None,
        why=ngettext("And %d more alert.", "And %d more alerts.", more) % more,
        fix=to_see_all(are_over=event is Event.RECOVERED),
        count=more,
    )


def _notes(alerts: AlertQuerySet) -> dict[int | None, str]:
    """Return the notes of the tasks of a few alerts, by their keys."""
    tasks = [alert.task_id for alert in alerts if alert.task_id is not None]
    noted = Task.objects.using(alerts.db).filter(pk__in=tasks).exclude(note="")
    return dict(noted.values_list("pk", "note"))


def notice_of(alert: Alert, note: str = "") -> Notice:
    """Return what a message says about an alert.

    Args:
        note: the note of its task.
    """
    why = alert.why
    if alert.is_open and alert.reopened:
        times = ngettext("It recurred %d time.", "It recurred %d times.", alert.reopened)
        why = f"{why} {times % alert.reopened}"
    elif not alert.is_open:
        why = alert.close_reason
    return Notice(
        kind=alert.kind,
        problem=str(alert.get_kind_display()),
        what=alert.name,
        severity=alert.severity,
        since=alert.since,
        ended_at=alert.closed_at,
        why=why,
        cause=alert.cause,
        fix=alert.fix if alert.is_open else "",
        note=note,
        queue=alert.queue,
        task=alert.task_id,
        run=alert.run_id,
        thread="" if alert.is_open else alert.thread,
    )


def _log(event: Event, alert: Alert) -> None:
    if event is Event.OPENED:
        logger.warning("Alert: %s. %s", alert, alert.why)
    else:
        logger.info("Recovered: %s. %s", alert, alert.close_reason)
