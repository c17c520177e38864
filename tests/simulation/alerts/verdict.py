"""Compares the alerts and the messages of a site with the problems that were injected."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from sisy.alerting.channels import configured
from sisy.alerting.notice import notices_in
from sisy.models import Alert, OutboxMessage, Process, Role
from tests.simulation.alerts.problems import BOUND, STORM, WATCHED, Injected

EARLY = timedelta(seconds=15)  # that an alert may be ahead of who watches the ledger

Told = tuple[str, str, datetime, int | None, bool, str]
"""Kind, name, beginning and key of an alert, whether it is over, and the channel."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel was told about one alert."""

    at: datetime
    is_digest: bool


class Verdict:
    """What is wrong with the alerts, and how soon people knew.

    Attributes:
        violations: in words; empty if all is well.
        opening: by cause, the delays from a problem to its message.
        over: by cause, the delays from the end of a problem to its message.
        alerts: how many there were.
        messages: how many were stored for all channels.
    """

    def __init__(self, problems: Sequence[Injected]) -> None:
        self.violations: list[str] = []
        self.opening: dict[str, list[timedelta]] = defaultdict(list)
        self.over: dict[str, list[timedelta]] = defaultdict(list)
        self.kinds = Counter(problem.kind.value for problem in problems)
        self.alerts = Alert.objects.count()
        self.messages = OutboxMessage.objects.count()
        self._told = _all_told()
        self._channels = configured()
        heartbeats = Process.all_objects.filter(role=Role.HEARTBEAT)
        self._heartbeats = list(heartbeats.values_list("started_at", "ended_at"))
        alerts = _by_subject()
        for problem in problems:
            self._judge(problem, alerts[problem.kind, problem.subject])
        for left in alerts.values():
            for alert in left:
                self._wrong(f"false alert: {alert} since {alert.since:%d. %H:%M:%S}: {alert.why}")
        self._judge_messages()

    def _wrong(self, what: str) -> None:
        self.violations.append(what)

    def _judge(self, problem: Injected, alerts: list[Alert]) -> None:
        """Judge the alert of a problem, and remove it from those with the same subject."""
        own = [alert for alert in alerts if _is_about(alert, problem)]
        for alert in own:
            alerts.remove(alert)
        if not own:
            if self._could_be_known(problem):
                self._wrong(f"no alert: {problem}")
            return
        if len(own) > 1:
            self._wrong(f"{len(own)} alerts: {problem}")
        [alert, *_] = own
        if alert.reopened and not problem.recurs:
            self._wrong(f"opened again {alert.reopened} times: {problem}")
        if problem.ended is not None and alert.is_open:
            self._wrong(f"still open: {problem}")
        for channel in self._channels:
            if channel.wants(alert.name, alert.queue):
                self._judge_told(problem, alert, channel.name)

    def _could_be_known(self, problem: Injected) -> bool:
        """Return whether a heartbeat had watched for long enough before a problem was over."""
        # If all were restarted one after the other, a short problem may be over before one of them
        # may judge it.
        if problem.kind not in WATCHED or problem.ended is None:
            return True
        known_at = problem.ended - BOUND
        return any(
            started_at + WATCHED[problem.kind] <= known_at
            and (ended_at is None or ended_at >= problem.ended)
            for started_at, ended_at in self._heartbeats
        )

    def _judge_told(self, problem: Injected, alert: Alert, channel: str) -> None:
        opened = self._told.pop(_key(alert, channel, is_over=False), [])
        self._judge_delay("opening", problem, problem.began, opened, self.opening)
        if problem.ended is not None:
            over = self._told.pop(_key(alert, channel, is_over=True), [])
            since = max([problem.ended, *(message.at for message in opened)])
            self._judge_delay("recovery", problem, since, over, self.over)

    def _judge_delay(
        self,
        what: str,
        problem: Injected,
        since: datetime,
        messages: list[Message],
        delays: dict[str, list[timedelta]],
    ) -> None:
        if len(messages) != 1:
            self._wrong(f"{len(messages)} messages of its {what}: {problem}")
            return
        [message] = messages
        delay = message.at - since
        delays[problem.cause].append(delay)
        bound = BOUND + (STORM if message.is_digest else timedelta(0))
        if delays is self.opening:
            bound += WATCHED.get(problem.kind, timedelta(0))
        if delay > bound:
            self._wrong(f"its {what} was told after {delay}: {problem}")

    def _judge_messages(self) -> None:
        for (kind, name, since, _, is_over, channel), messages in self._told.items():
            what = "is over" if is_over else "opened"
            self._wrong(
                f"{len(messages)} messages to {channel} that {kind} {name} {what}, "
                f"of {since:%d. %H:%M:%S}, belong to no problem"
            )

    def lines(self) -> Iterator[str]:
        """Yield the figures, by cause."""
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(self.kinds.items()))
        yield f"injected: {sum(self.kinds.values())} problems: {kinds}"
        yield f"{self.alerts} alerts, {self.messages} messages; seconds from a problem or its end:"
        yield f"{'cause':<26}{'opened':>10}{'p50':>8}{'max':>8}{'over':>10}{'p50':>8}{'max':>8}"
        for cause, delays in sorted(self.opening.items()):
            yield f"{cause:<26}" + _figures(delays) + _figures(self.over[cause])


def _is_about(alert: Alert, problem: Injected) -> bool:
    """Return whether an alert was opened while a problem lasted."""
    is_in_time = problem.ended is None or alert.opened_at <= problem.ended + BOUND
    return is_in_time and problem.began - EARLY <= alert.opened_at


def _figures(delays: Sequence[timedelta]) -> str:
    seconds = [delay.total_seconds() for delay in delays] or [0.0]
    return f"{len(delays):>10}{median(seconds):>7.0f}s{max(seconds):>7.0f}s"


def _by_subject() -> dict[tuple[str, str], list[Alert]]:
    alerts: dict[tuple[str, str], list[Alert]] = defaultdict(list)
    for alert in Alert.objects.order_by("pk"):
        alerts[alert.kind, alert.subject].append(alert)
    return alerts


def _all_told() -> dict[Told, list[Message]]:
    alerts = [(_names(alert), alert) for alert in Alert.objects.order_by("-opened_at")]
    told: dict[Told, list[Message]] = defaultdict(list)
    for message in OutboxMessage.objects.order_by("pk"):
        for one in notices_in(message.payload):
            names = (one.kind, one.what, one.since)
            # What flaps began with a failure that had an alert of its own.
            pks = (
                alert.pk
                for each, alert in alerts
                if each == names and alert.opened_at <= message.created_at
            )
            key = (*names, next(pks, None), one.ended_at is not None, message.channel)
            told[key].append(Message(message.created_at, message.event == "digest"))
    return told


def _names(alert: Alert) -> tuple[str, str, datetime]:
    return (alert.kind, alert.name, alert.since)


def _key(alert: Alert, channel: str, *, is_over: bool) -> Told:
    return (*_names(alert), alert.pk, is_over, channel)
