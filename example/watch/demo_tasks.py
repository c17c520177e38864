"""Create the demo's tasks that start when the demo does, and depend on its address."""

from datetime import timedelta

from django.utils import timezone

from sisy.models import Task, task_with_callable
from watch import jobs, trouble
from watch.models import DayTotal, Page, Sighting


def create_tasks(address: str) -> None:
    """Save the tasks, unless they exist. The demo's pages are at ``address``."""
    if Page.objects.exists():
        return
    for path in ("reminders/", "health/"):
        page = Page.objects.create(url=f"{address}{path}")
        save(page.check_now, f"watch /{path}", "* * * * * */5")
    save(jobs.count_up, "count up", "* * * * * *")
    save(jobs.wait, "wait 0.2 s (async)", "* * * * * */2")
    save(Sighting.count, "count sightings (static method)", "* * * * * */10")
    save(DayTotal.roll_up, "roll up the day (class method)", "* * * * * */15")
    now = timezone.now()
    save(
        jobs.wait,
        "wait 0.2 s, for ten minutes",
        "* * * * * */5",
        start_running=now + timedelta(seconds=5),
        end_running=now + timedelta(minutes=10),
    )
    create_troubled_tasks()
    Task.run_iterations(jobs.countdown, iterations=10, label="countdown (ten runs)")


def create_troubled_tasks() -> None:
    """Save tasks that fail, hang and recover. Mails tell about them, at ``mails/``."""
    save(
        trouble.import_prices,
        "import prices (fails now and then)",
        "* * * * * */10",
        max_attempts=3,
        retry_delay=timedelta(seconds=1),
    )
    save(trouble.sync_stock, "sync stock (fails, then recovers)", "* * * * * */20")
    save(
        trouble.send_newsletter,
        "send newsletter (hangs every other time)",
        f"*/{trouble.MINUTES_OF_TROUBLE} * * * *",
        timeout=timedelta(seconds=75),
        expected_duration=timedelta(seconds=15),
    )


def save(target, label: str, schedule: str, **fields) -> None:
    """Save a task."""
    task_with_callable(target, label=label, schedule=schedule, **fields).save()
