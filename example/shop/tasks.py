"""Create the shop's tasks."""

from datetime import timedelta

from django.utils import timezone

from shop import jobs, outside, pictures
from shop.models import DayTotal, Page, PageCheck
from sisy.models import Missed, Overlap, Task, task_with_callable

BRANCHES = (
    "Aachen Basel Berlin Bern Bonn Bremen Dresden Erfurt Essen Freiburg",
    "Graz Hamburg Hannover Jena Kassel Kiel Leipzig Linz Mainz Munich",
    "Oldenburg Potsdam Rostock Salzburg Stuttgart Trier Ulm Vienna Weimar Zurich",
)


def create_tasks_with_a_past() -> None:
    """Save the tasks that the shop had before the demo was started."""
    create_daily_work()
    create_work_with_others()


def create_new_tasks(address: str) -> None:
    """Save the tasks that start with the demo, unless they exist. Its pages are at ``address``."""
    if Page.objects.exists():
        return
    Task.objects.get(label="newsletter: send").run_now()
    for path in ("reminders/", "health/"):
        page = Page.objects.create(url=f"{address}{path}")
        save(page.check_now, f"pages: check /{path}", "* * * * * */5")
    save(jobs.count_up, "visits: count up", "* * * * * *")
    save(jobs.poll, "couriers: poll", "* * * * * */2")
    save(PageCheck.count, "pages: count checks", "* * * * * */10")
    save(DayTotal.roll_up, "pages: roll up the hour", "* * * * * */15")
    now = timezone.now()
    save(
        jobs.poll,
        "sale: poll for ten minutes",
        "* * * * * */5",
        start_running=now + timedelta(seconds=5),
        end_running=now + timedelta(minutes=10),
    )
    Task.run_iterations(jobs.countdown, iterations=10, label="countdown (ten runs)")


def create_daily_work() -> None:
    """Save tasks that take a while."""
    work("carts: close abandoned ones", "h * * * *", seconds=9)
    work("catalogue: rebuild the search index", "0 * * * *", seconds=40)
    save(
        pictures.resize,
        "catalogue: resize pictures",
        "*/20 * * * *",
        userdata={"seconds": 25},
        timeout=timedelta(minutes=5),
    )
    work("catalogue: warm the caches", "*/10 6-22 * * *", seconds=4)
    work("orders: charge cards", "*/15 * * * *", seconds=12, max_attempts=3, on_lost="fail")
    # Each label is needed, so none is skipped while another one is being printed.
    work(
        "orders: print shipping labels",
        "*/10 * * * *",
        seconds=2,
        queue="labels",
        overlap=Overlap.BUFFER_ALL,
    )
    work("reports: sales of the day", "30 2 * * *", seconds=50, timezone="Europe/Berlin")
    work("reports: stocktaking", "0 0 l * *", seconds=90, timezone="Asia/Tokyo")
    work("backups: database", "15 1,13 * * *", seconds=55)
    work("backups: pictures", "0 3 * * *", seconds=80, missed=Missed.SKIP)
    work("certificates: renew", "0 4 * * *", seconds=5, missed=Missed.SKIP)
    for branch in " ".join(BRANCHES).split():
        work(
            f"invoices: {branch}",
            "0 0 * * *",
            seconds=20,
            start_within=timedelta(minutes=5),
        )
    old = work("catalogue: import from the old shop", "0 5 * * *", seconds=30)
    old.pause("Replaced by 'catalogue: import prices'.")


IMPORT_NOTE = """
**Prices stay as they are** while this fails, so it can wait until the morning.

- Check the [status of the supplier](https://status.example.com/) first.
- If it is up, ask *Ann* in #catalogue: the format may have changed.
"""


def create_work_with_others() -> None:
    """Save tasks that depend on other companies, which are not always well."""
    save(
        outside.import_prices,
        "catalogue: import prices",
        "*/10 * * * *",
        max_attempts=2,
        retry_delay=timedelta(seconds=20),
        note=IMPORT_NOTE,
    )
    save(outside.sync_stock, "stock: ask the warehouse", "* * * * *")
    save(
        outside.send_newsletter,
        "newsletter: send",
        "30 * * * *",
        expected_duration=timedelta(seconds=15),
    )


def work(label: str, schedule: str, *, seconds: int, **fields) -> Task:
    """Save a task that takes this many seconds, and return it."""
    return save(jobs.work, label, schedule, userdata={"seconds": seconds}, **fields)


def save(target, label: str, schedule: str, **fields) -> Task:
    """Save a task, and return it."""
    task = task_with_callable(target, label=label, schedule=schedule, **fields)
    task.save()
    return task
