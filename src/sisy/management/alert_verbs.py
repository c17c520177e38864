"""The verbs of ``sisy_alerts`` that show alerts, and record what people do about them."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import ngettext

from sisy.alerting.capacity import running
from sisy.management import moments
from sisy.management.alert_text import (
    facts_of,
    lines_of,
    next_steps,
    noted,
    severity_now,
    unchanged,
    with_recurrence,
)
from sisy.management.arguments import one_of, whole
from sisy.management.looks import SEVERITIES
from sisy.management.verbs import VerbCommand, add_by, add_number, who
from sisy.models import Alert
from sisy.models.alert import AlertQuerySet
from sisy.records.problems import Kind, severity_of
from sisy.reports import formatting
from sisy.reports.alerts import seen_now
from sisy.reports.alerts.facts import Facts, facts_beside
from sisy.reports.alerts.group import AlertGroup
from sisy.reports.alerts.recovered import DAY, closed_in_words, closed_since, recovered_alerts
from sisy.reports.alerts.streaks import KINDS as MAY_FLAP
from sisy.reports.ledger import key_of
from sisy.reports.peaks import slots_by_queue
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
    """The verbs that show alerts, and record what people do about them."""

    def add_verbs(self, verb: Callable[[str, str], ArgumentParser]) -> None:
        listing = verb("list", "list open alerts, newest first")
        listing.add_argument("--all", action="store_true", help="also list closed alerts")
        listing.add_argument(
            "--severity",
            action="append",
            type=one_of(SEVERITIES),
            choices=SEVERITIES,
            help=f"only alerts of this severity: {', '.join(SEVERITIES)} (repeatable)",
        )
        listing.add_argument(
            "--kind",
            action="append",
            type=one_of(Kind.values, Kind.choices),
            choices=Kind.values,
            metavar="KIND",
            help=f"only alerts of this kind: {', '.join(Kind.values)}, or a problem as the list "
            "names it, such as 'too slow' (repeatable)",
        )
        add_number(listing, "alerts", 50)
        verb("show", "show an alert: why it opened, what to do, and who did what").add_argument(
            "alert", type=alert_key, metavar="ALERT", help="key of an alert"
        )
        self._add_change(verb("ack", "acknowledge alerts: show others that you are handling them"))
        _add_keys(verb("unack", "undo ack: show others that you no longer handle the alerts"))
        mute = verb("mute", "send no messages about alerts for a while")
        self._add_change(mute)
        ends = mute.add_mutually_exclusive_group()
        ends.add_argument(
            "--hours",
            type=whole(1, MAX_HOURS),
            default=1,
            metavar="N",
            help="for N hours (default: %(default)s)",
        )
        ends.add_argument(
            "--until",
            metavar="WHEN",
            help=f"until WHEN, instead of --hours: {moments.FORMS}",
        )
        self._add_change(verb("unmute", "send messages about alerts again"))
        self._add_change(verb("close", "close alerts without a message"))
        reopen = verb("reopen", "undo close: reopen alerts that a person closed")
        _add_keys(reopen, "closed_alerts")

    @staticmethod
    def _add_change(parser: ArgumentParser) -> None:
        _add_keys(parser)
        add_by(parser)

    def do_list(
        self,
        *,
        all: bool,  # noqa: A002
        severity: list[str] | None,
        kind: list[str] | None,
        number: int,
        **options: Any,
    ) -> None:
        alerts = Alert.objects.using(self.using)
        chosen = alerts.all() if all else alerts.open()
        if kind:
            chosen = chosen.filter(kind__in=kind)
        if severity:
            # The severity of a failing task that flaps is another one than that of its kind.
            kinds = [one for one in Kind if one in MAY_FLAP or severity_of(one) in severity]
            chosen = chosen.filter(kind__in=kinds)
        found = list(chosen.order_by("-pk")[:number])
        seen = self._seen(found)
        if severity:
            found = [one for one in found if severity_now(one, seen.get(one.pk)) in severity]
        if self.as_json:
            self.say_json([facts_of(alert, seen.get(alert.pk), self.now) for alert in found])
            return
        rows = lines_of(found, seen, self.now)
        nothing = "No alerts match." if severity or kind else "No alerts yet."
        self.answer(
            rows,
            otherwise=nothing if severity or kind or all else "No open alerts.",
            spare=("problem",),
        )
        if rows:
            self.say("To see why, and what to do: manage.py sisy_alerts show ID")
        if not all:
            self._say_what_is_over()

    def _seen(self, alerts: Sequence[Alert]) -> dict[int, AlertGroup]:
        """Return, by the key of each open alert, what its latest runs say."""
        return seen_now(self.using, alerts, self.now, in_full=True)

    def _say_what_is_over(self) -> None:
        """Say how many alerts were closed recently, and which delays may recur."""
        closed = closed_since(self.using, self.now - DAY)
        if not closed:
            return
        said = closed_in_words(closed)
        self.say(f"{said} To list closed alerts, too: manage.py sisy_alerts list --all")
        _, workers = running(self.using, self.now)
        for alert in recovered_alerts(self.using, self.now, slots_by_queue(workers)):
            self.explain(f"{alert.why} {alert.fix}".rstrip())

    def do_show(self, *, alert: int, **options: Any) -> None:
        [found] = self._named([alert])
        seen = self._seen([found]).get(found.pk)
        facts = facts_of(found, seen, self.now)
        known = Facts()
        if seen is not None:
            known = facts_beside(self.using, [seen], self.now, in_full=True)[seen.key]
            facts |= {
                "began_after": known.began_after,
                "backlog": known.backlog,
                "hanging": known.hanging,
                "paused": known.paused,
                "note": known.note,
            }
        if self.as_json:
            self.say_json(facts)
            return
        facts["message_sent"] = facts.pop("notified")
        facts["note"] = noted(facts.get("note", ""), found.task_id)
        facts["kind"] = str(found.get_kind_display())
        recurred = formatting.recurred(facts.pop("reopened"))
        facts["since"] = with_recurrence(found.since, recurred)
        steps: list[str] = []
        if found.is_open:
            # The first step is the fix, unwrapped, so that its command can be copied.
            steps += next_steps(found, facts.pop("fix"), known.warning, self.now)
        elif found.closed_by:
            steps.append(f"To reopen it: manage.py sisy_alerts reopen {found.pk}")
        # Leave out what has not happened to it.
        self.describe({name: value for name, value in facts.items() if value})
        for step in steps:
            tell = self.say if "manage.py" in step else self.explain
            tell(step)
        if facts["run"]:
            self.say(f"To see the run: manage.py sisy_runs show {facts['run']}")

    def do_ack(self, *, alerts: list[int], by: str, **options: Any) -> None:
        named = self._named(alerts)
        count = named.acknowledge(who(by), self.now)
        words = ngettext("Acknowledged %d alert", "Acknowledged %d alerts", count) % count
        self._say_changed(named, "ack", count, "Acknowledged", words)

    def do_unack(self, *, alerts: list[int], **options: Any) -> None:
        named = self._named(alerts)
        count = named.unacknowledge()
        words = ngettext(
            "%d alert is no longer acknowledged", "%d alerts are no longer acknowledged", count
        )
        self._say_changed(named, "unack", count, "No longer acknowledged", words % count)

    def do_mute(
        self, *, alerts: list[int], by: str, hours: int, until: str | None, **options: Any
    ) -> None:
        end = moments.until(until, timezone.get_default_timezone_name(), self.now)
        moment = end or self.now + timedelta(hours=hours)
        named = self._named(alerts)
        count = named.mute(moment, who(by))
        lasts = f" until {in_zone(moment, timezone.get_default_timezone())}"
        words = ngettext("Muted %d alert", "Muted %d alerts", count) % count
        self._say_changed(named, "mute", count, f"Muted{lasts}", words + lasts)

    def do_unmute(self, *, alerts: list[int], **options: Any) -> None:
        named = self._named(alerts)
        count = named.unmute(self.now)
        words = ngettext("Unmuted %d alert", "Unmuted %d alerts", count) % count
        self._say_changed(named, "unmute", count, "Unmuted", words)

    def do_close(self, *, alerts: list[int], by: str, **options: Any) -> None:
        named = self._named(alerts)
        count = named.close(who(by), self.now)
        words = ngettext("Closed %d alert", "Closed %d alerts", count) % count
        more = " New evidence of a problem reopens its alert."
        self._say_changed(named, "close", count, "Closed", words, more)

    def do_reopen(self, *, closed_alerts: list[int], **options: Any) -> None:
        named = self._named(closed_alerts)
        count = named.reopen()
        words = ngettext("Reopened %d alert", "Reopened %d alerts", count) % count
        self._say_changed(named, "reopen", count, "Reopened", words)

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

    def _say_changed(
        self, named: AlertQuerySet, verb: str, count: int, one: str, many: str, more: str = ""
    ) -> None:
        """Say which alert a verb changed, or how many of several; if none, raise the reason.

        Args:
            one: the words before the name of the only alert, such as "Closed".
            many: the words if several were named, such as "Closed 3 alerts".
        """
        alerts = list(named.order_by("pk"))
        if not count:
            raise CommandError(unchanged(alerts, verb, self.now))
        words = many if alerts[1:] else f"{one}: {alerts[0]}"
        self.say_with(f"{words}.{more}", changed=count)


def _add_keys(parser: ArgumentParser, name: str = "alerts") -> None:
    parser.add_argument(name, nargs="+", type=alert_key, metavar="ALERT", help="keys of alerts")
