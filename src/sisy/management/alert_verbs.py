"""The verbs of ``sisy_alerts`` that show alerts, and record what people do about them."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import ngettext

from sisy.management import lookup
from sisy.management.arguments import whole
from sisy.management.looks import severity
from sisy.management.table import Look
from sisy.management.verbs import VerbCommand, add_by, add_number, who
from sisy.models import Alert
from sisy.models.alert import AlertQuerySet
from sisy.records.problems import Kind
from sisy.reports.alerts.recovered import DAY, MAX_CLOSED_READ, closed_since, recovered_alerts
from sisy.reports.ledger import key_of
from sisy.runtime.durations import in_zone

MAX_HOURS = 24 * 366


def alert_key(text: str) -> int:
    """Return the key in the argument of a command: 12 or '#12'."""
    key = key_of(text.removeprefix("#"))
    if key is None:
        raise ArgumentTypeError(
            f"{text!r} is not an alert. Use its key, such as 12, which 'manage.py sisy_alerts "
            "list' shows"
        )
    return key


class AlertVerbs(VerbCommand):
    """The verbs ``list``, ``show``, ``ack``, ``mute``, ``unmute`` and ``close``."""

    def add_verbs(self, verb: Callable[[str, str], ArgumentParser]) -> None:
        listing = verb("list", "list open alerts, newest first")
        listing.add_argument("--all", action="store_true", help="also list closed alerts")
        add_number(listing, "alerts", 50)
        verb("show", "show an alert: why it opened, what to do, and who did what").add_argument(
            "alert", type=alert_key, metavar="ALERT", help="key of an alert"
        )
        self._add_change(verb("ack", "acknowledge alerts: show others that you are handling them"))
        mute = verb("mute", "send no messages about alerts for a while")
        self._add_change(mute)
        mute.add_argument(
            "--hours",
            type=whole(1, MAX_HOURS),
            default=1,
            metavar="N",
            help="for N hours (default: %(default)s)",
        )
        mute.add_argument(
            "--until",
            type=lookup.moment,
            metavar="WHEN",
            help="until a moment in the project's time zone, such as 2026-05-05T12:00",
        )
        self._add_change(verb("unmute", "send messages about alerts again"))
        self._add_change(verb("close", "close alerts without a message"))

    @staticmethod
    def _add_change(parser: ArgumentParser) -> None:
        parser.add_argument(
            "alerts", nargs="+", type=alert_key, metavar="ALERT", help="keys of alerts"
        )
        add_by(parser)

    def do_list(self, *, all: bool, number: int, **options: Any) -> None:  # noqa: A002
        alerts = Alert.objects.using(self.using)
        found = list((alerts.all() if all else alerts.open()).order_by("-pk")[:number])
        if self.as_json:
            self.say_json([_facts(alert, self.now) for alert in found])
            return
        rows = [_line(alert, self.now) for alert in found]
        self.answer(rows, otherwise="No open alerts." if not all else "No alerts yet.")
        if rows:
            self.say("To see why, and what to do: manage.py sisy_alerts show ID")
        if not all:
            self._say_what_is_over()

    def _say_what_is_over(self) -> None:
        """Say how many alerts were closed recently, and which delays may recur."""
        if closed := closed_since(self.using, self.now - DAY):
            number = f"{closed}+" if closed == MAX_CLOSED_READ else str(closed)
            words = ngettext(
                "%s alert was closed in the last 24 hours. To list it, too: "
                "manage.py sisy_alerts list --all",
                "%s alerts were closed in the last 24 hours. To list them, too: "
                "manage.py sisy_alerts list --all",
                closed,
            )
            self.say(words % number)
        for alert in recovered_alerts(self.using, self.now) if closed else ():
            self.explain(f"{alert.why} {alert.fix}")

    def do_show(self, *, alert: int, **options: Any) -> None:
        [found] = self._named([alert])
        facts = _facts(found, self.now)
        if self.as_json:
            self.say_json(facts)
            return
        facts["message_sent"] = facts.pop("told")
        facts["kind"] = str(found.get_kind_display())
        # Leave out what has not happened to it.
        self.describe({name: value for name, value in facts.items() if value})
        if found.is_open:
            self._say_next(found)
        if found.run_id:
            self.say(f"To see the run: manage.py sisy_runs show {found.run_id}")

    def _say_next(self, alert: Alert) -> None:
        if alert.fix:
            self.say(f"Next: {alert.fix}")
        if alert.kind == Kind.MISSED:
            self.say("To see when no heartbeat was running: manage.py sisy_workers list --ended")
        if alert.is_about_queue:
            self.say("To see what holds up the queue: manage.py sisy_queues list")
        if alert.acknowledged_at is None:
            self.say(f"To show that you are handling it: manage.py sisy_alerts ack {alert.pk}")
        if alert.is_muted(self.now):
            self.say(f"To unmute it: manage.py sisy_alerts unmute {alert.pk}")

    def do_ack(self, *, alerts: list[int], by: str, **options: Any) -> None:
        count = self._named(alerts).acknowledge(who(by), self.now)
        self._say_changed(count, "Acknowledged %d alert.", "Acknowledged %d alerts.")

    def do_mute(
        self, *, alerts: list[int], by: str, hours: int, until: datetime | None, **options: Any
    ) -> None:
        moment, zone = self.now + timedelta(hours=hours), timezone.get_default_timezone()
        if until is not None:
            moment = lookup.in_zone(until, timezone.get_default_timezone_name())
        if moment <= self.now:
            raise CommandError(f"{in_zone(moment, zone)} is in the past. Use a later moment.")
        count = self._named(alerts).mute(moment, who(by))
        more = f" until {in_zone(moment, zone)}."
        self._say_changed(count, "Muted %d alert", "Muted %d alerts", more)

    def do_unmute(self, *, alerts: list[int], **options: Any) -> None:
        count = self._named(alerts).unmute(self.now)
        self._say_changed(count, "Unmuted %d alert.", "Unmuted %d alerts.")

    def do_close(self, *, alerts: list[int], by: str, **options: Any) -> None:
        count = self._named(alerts).close(who(by), self.now)
        more = " New evidence of a problem opens an alert again."
        self._say_changed(count, "Closed %d alert.", "Closed %d alerts.", more)

    def _named(self, keys: Sequence[int]) -> AlertQuerySet:
        """Return the alerts with these keys.

        Raises:
            CommandError: one does not exist.
        """
        alerts = Alert.objects.using(self.using).filter(pk__in=keys)
        if missing := sorted(set(keys) - set(alerts.values_list("pk", flat=True))):
            raise CommandError(
                f"Alert {missing[0]} does not exist, or has been deleted. Run "
                "'manage.py sisy_alerts list --all' to see all alerts."
            )
        return alerts

    def _say_changed(self, count: int, one: str, many: str, more: str = "") -> None:
        if not count:
            raise CommandError("Nothing to do: the alerts are closed, or this was already done.")
        self.say_with(ngettext(one, many, count) % count + more, changed=count)


def _state(alert: Alert, now: datetime) -> str:
    if not alert.is_open:
        return Look("closed", "good")
    if alert.is_muted(now):
        return Look("muted", "quiet")
    return Look("acked", "warn") if alert.acknowledged_at else Look("open", "bad")


def _line(alert: Alert, now: datetime) -> dict[str, Any]:
    return {
        "id": alert.pk,
        "severity": severity(str(alert.severity)),
        "problem": str(alert.get_kind_display()),
        "what": f"queue {alert.name}" if alert.is_about_queue else alert.name,
        "since": alert.since,
        "state": _state(alert, now),
    }


def _facts(alert: Alert, now: datetime) -> dict[str, Any]:
    return {
        "id": alert.pk,
        "kind": alert.kind,
        "severity": str(alert.severity),
        "what": alert.name,
        "state": _state(alert, now),
        "why": alert.why,
        "fix": alert.fix,
        "since": alert.since,
        "lasted": alert.lasted(now),
        "opened": alert.opened_at,
        "reopened": alert.reopened,
        "closed": alert.closed_at,
        "close_reason": alert.close_reason,
        "acknowledged": alert.acknowledged_at,
        "acknowledged_by": alert.acknowledged_by,
        "muted_until": alert.muted_until,
        "muted_by": alert.muted_by,
        "task": alert.task_id,
        "run": alert.run_id,
        "queue": alert.queue,
        "told": alert.told_at,
    }
