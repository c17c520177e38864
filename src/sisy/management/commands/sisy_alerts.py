"""``manage.py sisy_alerts``: alerts, the channels for messages about them, and their messages."""

from argparse import ArgumentParser
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import ngettext

from sisy import clock, conf
from sisy.alerting import sending
from sisy.alerting.trial import try_channel
from sisy.channel_settings import channels_of
from sisy.exceptions import did_you_mean
from sisy.management import lookup
from sisy.management.alert_verbs import AlertVerbs
from sisy.management.arguments import whole
from sisy.management.verbs import add_number
from sisy.models import OutboxMessage
from sisy.models.outbox import OutboxQuerySet
from sisy.reports.outbox import Undelivered, undelivered


class Command(AlertVerbs):
    help = (
        "Shows, acknowledges, mutes, closes and reopens alerts. Tests the channels for messages, "
        "and shows messages that could not be sent. Exits with 1 if an alert does not exist, if "
        "a test failed, or if there was nothing to do."
    )
    examples = (
        "sisy_alerts list",
        "sisy_alerts show 12",
        "sisy_alerts ack 12",
        "sisy_alerts mute 12 --hours 8",
        "sisy_alerts test",
    )

    def add_verbs(self, verb: Callable[[str, str], ArgumentParser]) -> None:
        super().add_verbs(verb)
        test = verb("test", "send a test message through each channel")
        test.add_argument(
            "channels",
            nargs="*",
            metavar="CHANNEL",
            help="names of channels (default: all of SISY_ALERTS)",
        )
        messages = verb(
            "messages",
            "list messages that could not be sent, including those that Sisy will retry",
        )
        add_number(messages, "messages", 50)
        verb("resend", "resend messages that could not be sent").add_argument(
            "messages",
            nargs="*",
            type=whole(1, 10**lookup.MAX_DIGITS),
            metavar="MESSAGE",
            help="keys of messages (default: all)",
        )

    def do_test(self, *, channels: list[str], **options: Any) -> None:
        rows = [self._tried(name) for name in channels or _names()]
        self.answer(rows, wraps="error")
        if failed := [row["channel"] for row in rows if row["error"]]:
            raise CommandError(f"Not sent: {', '.join(failed)}.", returncode=1)

    def do_messages(self, *, number: int, **options: Any) -> None:
        found = undelivered(self.using, number)
        self.answer(
            [_line(one) for one in found], otherwise="Every message was sent.", wraps="error"
        )
        if any(one.is_dead for one in found) and not self.as_json:
            self.say(
                "To resend the messages that Sisy no longer retries: manage.py sisy_alerts resend"
            )

    def do_resend(self, *, messages: list[int], **options: Any) -> None:
        rows = OutboxMessage.objects.using(self.using)
        chosen = rows.filter(pk__in=messages) if messages else rows.all()
        if missing := sorted(set(messages) - set(chosen.values_list("pk", flat=True))):
            raise CommandError(
                f"Message {missing[0]} does not exist, or has been deleted. Run "
                "'manage.py sisy_alerts messages' to see those that could not be sent."
            )
        count = sending.resend(chosen, self.now)
        if not count:
            raise CommandError(self._why_none_resent(chosen))
        words = ngettext(
            "%d message will be sent again.", "%d messages will be sent again.", count
        )
        self.say_with(words % count, resent=count)

    def _why_none_resent(self, chosen: OutboxQuerySet) -> str:
        retried = chosen.unsent().count()
        if not retried:
            return "No messages to resend: every message was sent."
        words = ngettext(
            "No messages to resend: Sisy will send %d message itself. To see it: manage.py "
            "sisy_alerts messages",
            "No messages to resend: Sisy will send %d messages itself. To see them: manage.py "
            "sisy_alerts messages",
            retried,
        )
        return words % retried

    def _tried(self, name: str) -> dict[str, Any]:
        if name not in _names():
            hint = did_you_mean(name, _names())
            raise CommandError(f"SISY_ALERTS has no channel {name!r}.{hint}")
        began = clock.steady()
        error = try_channel(name, self.now)
        return {
            "channel": name,
            "result": "not sent" if error else "sent",
            "took": timedelta(seconds=clock.steady() - began),
            "error": str(error or ""),
        }


def _names() -> list[str]:
    names = [one.name for one in channels_of(conf.get_settings().alerts)]
    if not names:
        raise CommandError("SISY_ALERTS is empty, so no messages are sent.")
    return names


def _line(one: Undelivered) -> dict[str, Any]:
    return {
        "id": one.pk,
        "channel": one.channel,
        "subject": one.subject,
        "created": one.created_at,
        "attempts": one.attempts,
        "next_attempt": one.next_attempt,
        "error": one.error,
    }
