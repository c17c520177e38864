"""``manage.py sisy_status``: processes, queues, throughput and alerts."""

from typing import Any

from django.db import router

from sisy import clock
from sisy.management.looks import SEVERITIES
from sisy.management.output import AnsweringCommand, counted
from sisy.management.table import Look, shown
from sisy.models import Task
from sisy.reports.alerts import find_alerts
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
        found = {
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
            "alerts": [
                {
                    "alert": each.record and each.record.pk,
                    "severity": each.severity,
                    "what": each.what,
                    "why": each.why,
                    "since": each.since,
                }
                for each in find_alerts(using, now, in_full=True)
            ],
        }
        if self.as_json:
            self.say_json(found)
            return
        alerts = found.pop("alerts")
        for title, rows in found.items():
            self.stdout.write(f"{title.capitalize()}:")
            self.answer(rows, otherwise="  none")
            self.stdout.write("")
        self.stdout.write("Alerts:")
        if not alerts:
            self.say("  none")
            return
        self.stdout.write(self.description(map(_in_words, alerts)))
        if recorded := [row["alert"] for row in alerts if row["alert"]]:
            self.say(f"To see what to do: manage.py sisy_alerts show {recorded[0]}")


def _in_words(alert: dict[str, Any]) -> tuple[str, str]:
    """Return the severity of an alert, and what is wrong since when."""
    what = f"{alert['what']}: " if alert["what"] else ""
    since = f" Since {shown(alert['since'])}." if alert["since"] else ""
    name = f"{alert['severity']} {alert['alert'] or ''}".strip()
    return Look(name, SEVERITIES.get(alert["severity"], "")), f"{what}{alert['why']}{since}"
