"""Report that a heartbeat died. Another heartbeat finds that when its lease expires."""

from collections.abc import Collection, Iterator
from datetime import datetime

from django.utils.translation import gettext, ngettext

from sisy import conf
from sisy.alerting.opening import Closing, open_alerts
from sisy.alerting.problem import Problem, of_host
from sisy.models import Alert, Process, Role
from sisy.models.process import ProcessQuerySet
from sisy.records.problems import Kind


def note_death(using: str, process: Process, now: datetime) -> None:
    """Open an alert about a heartbeat that died, unless another one was started since.

    Call it in the transaction that notes its end, if leases may be judged.
    """
    seen_at = min(process.lease_until - conf.get_settings().lease, now)
    if process.role != Role.HEARTBEAT or _started_since(using, seen_at).exists():
        return
    left = _heartbeats(using).alive(now).exclude(pk=process.pk).count()
    rest = ngettext("%d other heartbeat is running.", "%d other heartbeats are running.", left)
    rest = rest % left if left else gettext("No other one is running, so no new runs are planned.")
    words = gettext("%(process)s died. %(rest)s")
    problem = Problem(
        kind=Kind.NO_HEARTBEAT,
        subject=of_host(process.host),
        since=seen_at,
        why=words % {"process": f"{process}"[:1].upper() + f"{process}"[1:], "rest": rest},
        fix=gettext("Start it again. If you stopped it on purpose, close this alert."),
        evidence=process.pk,
    )
    open_alerts(using, [problem], now)


def over(using: str, alerts: Collection[Alert]) -> Iterator[Closing]:
    """Yield the alerts after which a heartbeat was started."""
    for alert in alerts:
        if _started_since(using, alert.since).exists():
            yield alert, gettext("A heartbeat was started.")


def _heartbeats(using: str) -> ProcessQuerySet:
    found: ProcessQuerySet = Process.objects.using(using).filter(role=Role.HEARTBEAT)
    return found


def _started_since(using: str, moment: datetime) -> ProcessQuerySet:
    return _heartbeats(using).filter(started_at__gt=moment)
