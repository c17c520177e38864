"""Schedule the demo's tasks, except those of its data migration and its web form."""

from datetime import timedelta

from django.utils import timezone

from sisy.models import Task, task_with_callable
from watch import jobs
from watch.models import DayTotal, Page, Sighting


def schedule_everything(address: str) -> None:
    """Save the demo's tasks, unless they exist. The demo's pages are at ``address``."""
    if Task.objects.filter(label="count up").exists():
        return
    every_second = "* * * * * *"
    for path in ("reminders/", "health/"):
        page = Page.objects.create(url=f"{address}{path}")
        save(page.check_now, f"watch /{path}", "* * * * * */5")
    save(jobs.count_up, "count up", every_second)
    save(jobs.breathe, "breathe (async)", "* * * * * */2")
    save(Sighting.count, "count sightings (static method)", "* * * * * */10")
    save(DayTotal.roll_up, "roll up the day (class method)", "* * * * * */15")
    save(DayTotal.roll_up, "roll up the night", "55 23 * * *")
    save(jobs.mail_digest, "mail a digest", "0 9-17 * * mon-fri")
    now = timezone.now()
    save(
        jobs.breathe,
        "for the next ten minutes",
        "* * * * * */5",
        start_running=now + timedelta(seconds=5),
        end_running=now + timedelta(minutes=10),
    )
    Task.run_iterations(jobs.countdown, iterations=10, label="ten times, then gone")


def save(target, label: str, schedule: str, **fields) -> None:
    """Save a task."""
    task_with_callable(target, label=label, schedule=schedule, **fields).save()
