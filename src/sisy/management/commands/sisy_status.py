"""``manage.py sisy_status``: processes, queues, throughput and alerts."""

from typing import Any

from django.db import router

from sisy import clock
from sisy.alerting.capacity import Fleet
from sisy.management.alert_text import in_lines
from sisy.management.looks import SEVERITIES, state_of_queue
from sisy.management.output import AnsweringCommand, counted
from sisy.management.table import Look
from sisy.models import Task
from sisy.reports.alerts import Alert, find_alerts
from sisy.reports.alerts.facts import facts_beside, outage_of
from sisy.reports.alerts.group import AlertGroup
from sisy.reports.alerts.grouping import grouped
from sisy.reports.fleet import members, throughput
from sisy.reports.queues import queues


class Command(AnsweringCommand):
    help = (
        "Shows processes, queues, throughput and what needs attention. For health probes, use "
        "sisy_health."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        using = router.db_for_write(Task)
        now = clock.now(using)
        fleet = Fleet.at(using, now)
        found: dict[str, list[dict[str, Any]]] = {
            "processes": [
                {
                    "process": str(each.process),
                    "queues": each.process.queues,
                    "runs": len(each.runs),
                    "slots": each.process.slots,
                    "unresponsive": each.is_silent,
                    "started": each.process.started_at,
                    "problem": each.process.problem,
                }
                for each in members(using, now)
            ],
            "queues": [
                {
                    "queue": each.name,
                    "state": state_of_queue(each, fleet),
                    "queued": counted(each.queued, is_all=each.is_all),
                    "oldest": each.oldest,
                    "running": each.running,
                    "workers": len(each.workers),
                    "paused": each.paused_at,
                }
                for each in queues(using, now)
            ],
            "throughput": [
                {"period": each.span, "runs": counted(each.number, is_all=each.is_all)}
                for each in throughput(using, now)
            ],
        }
        alerts = find_alerts(using, now, in_full=True)
        if self.as_json:
            self.say_json({**found, "alerts": [_line(alert) for alert in alerts]})
            return
        for queue in found["queues"]:
            del queue["paused"]  # its state says so
        for title, rows in found.items():
            self.stdout.write(f"{title.capitalize()}:")
            self.answer(rows, otherwise="  none")
            self.stdout.write("")
        self.stdout.write("Alerts:")
        if not alerts:
            self.say("  none")
            return
        groups = grouped(alerts)
        facts = facts_beside(using, groups, now, in_full=True)
        self.stdout.write(
            self.description(
                (
                    _named(group),
                    in_lines(group, facts[group.key], outage_of(using, group), now),
                )
                for group in groups
            )
        )
        if any(alert.record for alert in alerts):
            self.say("To see more about an alert: manage.py sisy_alerts show ID")


def _line(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.record and alert.record.pk,
        "severity": alert.severity,
        "what": alert.what,
        "why": alert.full or alert.why,
        "since": alert.since,
        "fix": alert.fix,
        "is_over": alert.is_over,
        "acknowledged_by": alert.record.acknowledged_by if alert.record else "",
    }


def _named(group: AlertGroup) -> str:
    """Return the severity of a group of alerts, and the key of the oldest, which stays."""
    key = min((record.pk for record in group.records), default="")
    name = f"{group.severity} {key}".strip()
    return Look(name, SEVERITIES.get(group.severity, ""))
