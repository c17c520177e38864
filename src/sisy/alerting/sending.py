"""Claim messages of the outbox, send them, and record what happened.

A message goes through three steps, each a statement or a request of its own:

1. *Claim.* One update moves ``next_attempt_at`` past the time that sending may take, and counts
   the attempt. It repeats what it has read, so of any number of heartbeats one wins.
2. *Send.* No transaction is open in this step: a server may be slow.
3. *Record.* A success is always recorded, even if the claim has expired by then. A failure is
   recorded only if no other sender has claimed the message since.

If a sender dies between claim and record, the message is due again when its claim expires. It is
then unknown whether the server has accepted it, so the next attempt carries the same key. The same
is true if the answer of the server was lost.

A failed message is tried again after 5 seconds, then after ever longer delays, up to an hour.
After about a day it becomes a dead letter: it is kept and shown, and people can have it sent
again.

The recovery of an alert is not sent before the message that it was opened.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils.translation import gettext

from sisy import conf
from sisy.alerting.channels import Channel
from sisy.alerting.delivery import NotDelivered
from sisy.alerting.notice import threads_of
from sisy.models.outbox import OutboxMessage, OutboxQuerySet
from sisy.records.choices import Event
from sisy.runtime.user_errors import name_of, words_of

CLAIM = timedelta(seconds=60)  # longer than any channel takes to send a message
IN_FLIGHT_INTERVAL = timedelta(seconds=1)  # between two looks at a message that must be first
FIRST_DELAY = timedelta(seconds=5)
MAX_DELAY = timedelta(hours=1)
GROWTH = 4
MAX_ATTEMPTS = 28  # about a day
MAX_ATTEMPTS_OF = {Event.PING: 5}  # about seven minutes; an older ping says nothing
CANDIDATES = 20  # messages that a claim looks at
PRUNE_BATCH = 1000
SECOND = timedelta(seconds=1)


def due_channels(using: str, now: datetime) -> list[str]:
    """Return the names of the channels to which messages are due."""
    due = OutboxMessage.objects.using(using).due(now).order_by()
    return sorted(due.values_list("channel", flat=True).distinct())


def claim(using: str, now: datetime, channel: str) -> OutboxMessage | None:
    """Claim the message to a channel that has been due longest. Return None if there is none."""
    rows = OutboxMessage.objects.using(using)
    due = rows.due(now).filter(channel=channel).order_by("next_attempt_at", "pk")
    for message in due[:CANDIDATES]:
        as_read = rows.filter(
            pk=message.pk,
            attempts=message.attempts,
            next_attempt_at=message.next_attempt_at,
        )
        if (later := _moment_of_earlier(rows, message)) is not None:
            as_read.update(next_attempt_at=_behind(later, now))
        elif message.attempts >= attempts_of(message.event):
            # Each of its senders died, so it may be the cause.
            error = gettext(
                "Every process that tried to send it died before it could record the result."
            )
            as_read.update(next_attempt_at=None, failed_at=now, error=error)
        elif as_read.update(attempts=message.attempts + 1, next_attempt_at=now + CLAIM):
            message.attempts += 1
            return message
    return None


def _behind(earlier: datetime, now: datetime) -> datetime:
    """Return when to look again whether an earlier message was sent, which is due at a moment."""
    wait = max(earlier - now, timedelta(0))
    if wait <= CLAIM:
        # Another sender may be sending it right now. Then its claim lasts much longer than that.
        wait = min(wait, IN_FLIGHT_INTERVAL)
    return now + wait + SECOND


def _moment_of_earlier(rows: OutboxQuerySet, message: OutboxMessage) -> datetime | None:
    """Return the next attempt of the message that must be sent first; None if there is none."""
    threads = threads_of(message.payload)
    if not threads:
        return None
    earlier = rows.unsent().filter(key__in=threads, channel=message.channel, pk__lt=message.pk)
    return earlier.order_by("next_attempt_at").values_list("next_attempt_at", flat=True).first()


def attempts_of(event: str) -> int:
    """Return after how many attempts a message becomes a dead letter."""
    return MAX_ATTEMPTS_OF.get(Event(event), MAX_ATTEMPTS)


def attempt(channel: Callable[[], Channel], message: OutboxMessage) -> NotDelivered | None:
    """Send a message. Return the error if it was not delivered.

    Args:
        channel: returns the channel, or raises `NotDelivered`.
    """
    try:
        channel().send(message)
    except NotDelivered as error:
        return error
    except BaseException as error:  # noqa: BLE001 - the border around code of the project
        return NotDelivered(
            f"The message could not be created: {name_of(error)}: {words_of(error)}"
        )
    return None


def record_sent(using: str, now: datetime, message: OutboxMessage) -> None:
    """Record that a message was sent."""
    row = OutboxMessage.objects.using(using).filter(pk=message.pk)
    if message.event == Event.PING:
        # There may be several for each run, and they are not needed once they are sent.
        row.delete()
    else:
        row.update(sent_at=now, next_attempt_at=None, failed_at=None, error="")


def record_failure(using: str, now: datetime, message: OutboxMessage, error: Exception) -> None:
    """Record that a message was not sent, and when it is tried again, if it is."""
    claimed = OutboxMessage.objects.using(using).filter(
        pk=message.pk, attempts=message.attempts, sent_at=None
    )
    if message.attempts >= attempts_of(message.event):
        claimed.update(next_attempt_at=None, failed_at=now, error=str(error))
    else:
        claimed.update(next_attempt_at=now + delay_after(message.attempts), error=str(error))


def delay_after(attempts: int) -> timedelta:
    """Return the delay after this many failed attempts: 5 s, then four times as long each time."""
    # Shorter by up to a tenth, so that many messages do not come back in the same second.
    delay = min(MAX_DELAY, FIRST_DELAY * float(GROWTH ** min(attempts - 1, 10)))
    return delay * random.uniform(0.9, 1)


def resend(messages: OutboxQuerySet, now: datetime) -> int:
    """Send dead letters again. Return how many there are."""
    return messages.dead().update(failed_at=None, next_attempt_at=now, attempts=0)


def prune(using: str, now: datetime) -> int:
    """Delete some of the messages that are older than the history. Return how many."""
    days = conf.get_settings().history_days
    if not days:
        return 0
    oldest = now - timedelta(days=days)
    rows = OutboxMessage.objects.using(using)
    old = rows.filter(Q(sent_at__lt=oldest) | Q(failed_at__lt=oldest)).order_by()
    keys = list(old.values_list("pk", flat=True)[:PRUNE_BATCH])
    return rows.filter(pk__in=keys).delete()[0] if keys else 0
