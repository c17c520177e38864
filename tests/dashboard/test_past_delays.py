"""Piles of runs of the last 24 hours are shown once their alerts recovered: they will be back."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.models import Alert, Process, Role, Run, RunState, Task, task_with_callable
from sisy.records.problems import Kind
from sisy.reports.alerts import find_alerts
from sisy.reports.alerts.grouping import grouped
from sisy.reports.alerts.recovered import MAX_CLOSED_READ, past_delays, recovered_alerts
from sisy.reports.alerts.verdict import in_words
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.app import jobs
from tests.commands.calling import said, told
from tests.roles.steps import LEASE
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

MIDNIGHT = NOON - 12 * HOUR
FULL = "all 4 worker slots for the queue 'default' are in use"
MORNING = "2026-05-06 00:00:00 UTC"
AGAIN = "tasks of this queue are due together again."


def tasks_of(number, schedule="0 0 * * *", **fields):
    tasks = [
        task_with_callable(jobs.noop, label=f"invoice {n}", schedule=schedule, **fields)
        for n in range(number)
    ]
    return Task.objects.bulk_create(tasks)


def delayed(tasks, due=MIDNIGHT, kind=Kind.LATE, closed=NOON - 11 * HOUR, **columns):
    """Store runs that were due together and waited for longer and longer, and their alerts."""
    runs = Run.objects.bulk_create(
        task.new_run(
            now=due,
            due_at=due,
            state=RunState.SUCCEEDED,
            started_at=due + (6 * MINUTE + number * SECOND),
            finished_at=due + HOUR,
        )
        for number, task in enumerate(tasks)
    )
    known = {
        "queue": "default",
        "why": f"A run has been queued for 6 min, but should start within 5 min: {FULL}.",
        "cause": FULL,
    }
    Alert.objects.bulk_create(
        Alert(
            kind=kind,
            subject=f"task:{run.task_id}",
            task_id=run.task_id,
            run_id=run.pk,
            since=due + 5 * MINUTE,
            opened_at=due + 5 * MINUTE,
            closed_at=closed,
            label=run.label,
            **{**known, **columns},
        )
        for run in runs
    )


def shown():
    return [alert for alert in find_alerts("default", NOON) if alert.is_over]


def test_a_pile_is_one_row_that_says_how_long_runs_waited_and_when_it_is_back():
    delayed(tasks_of(30))
    [alert] = shown()
    assert alert.why == (
        "30 of the runs due at 2026-05-05 00:00:00 UTC waited up to 6 min 29 s to start. "
        f"Cause at that time: {FULL}."
    )
    assert alert.fix.startswith(f"At {MORNING}, 30 {AGAIN} To avoid another delay, spread")
    assert alert.again_at == MIDNIGHT + DAY


def test_all_tasks_that_are_due_again_count_though_some_were_not_late():
    tasks = tasks_of(30)
    delayed(tasks[:20])
    [alert] = shown()
    assert alert.why.startswith("20 of the runs due at ")
    assert alert.fix.startswith(f"At {MORNING}, 30 {AGAIN}")


def test_a_past_delay_is_not_a_problem_and_links_to_its_tasks():
    delayed(tasks_of(3))
    groups = grouped(find_alerts("default", NOON))
    over = [group for group in groups if group.lead.is_over]
    assert len(over) == 1
    assert in_words(over, NOON) == ""
    response = browser_of("view_task", "view_run").get("/sisy/?parts=alerts")
    page = text_of(response)
    assert "recovered" in page
    assert "3 of the runs due at 2026-05-05 00:00:00 UTC" in page
    link = "/sisy/load/peak/?at=2026-05-06T00%3A00%3A00%2B00%3A00"
    assert link in response.content.decode()


def test_commands_say_what_was_delayed():
    delayed(tasks_of(3))
    assert f"3 {AGAIN}" in said("sisy_status")
    listed = said("sisy_alerts list")
    assert "No open alerts." in listed
    assert "3 alerts were closed in the last 24 hours." in listed
    assert "3 of the runs due at 2026-05-05 00:00:00 UTC waited" in listed
    assert told("sisy_alerts list") == []
    assert "closed in the last 24 hours" not in said("sisy_alerts list --all")


def test_a_delay_that_is_over_is_marked_in_json_and_has_no_since():
    delayed(tasks_of(3))
    found = told("sisy_status")["alerts"]
    assert [row["is_over"] for row in found] == [False, False, True]
    assert found[-1]["fix"].startswith(f"At {MORNING}, 3 {AGAIN}")
    rows = told("sisy_top")["alerts"]
    assert rows[-1]["problem"].startswith("3 of the runs due at 2026-05-05 00:00:00 UTC waited")
    assert rows[-1]["since"] == ""


def test_tasks_that_were_spread_since_are_not_due_together_again():
    tasks = tasks_of(3)
    delayed(tasks)
    for number, task in enumerate(tasks):
        Task.objects.filter(pk=task.pk).update(next_run=MIDNIGHT + DAY + number * MINUTE)
    [alert] = shown()
    assert alert.again_at is None
    assert alert.fix == "The next runs of these tasks start at different times."
    assert "Spread…" not in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (4, f"4 {AGAIN} The workers of the queue can start them all at once."),
        (5, f"5 {AGAIN} To avoid another delay, spread"),
    ],
)
def test_tasks_that_fit_in_the_slots_of_their_queue_need_no_advice(number, fix):
    for queue in ("default", "other"):
        Process.join(Role.WORKER, using="default", now=NOON, lease=LEASE, queues=(queue,), slots=4)
    tasks = tasks_of(30)
    delayed(tasks)
    for task in tasks[number:]:
        task.pause()
    [alert] = shown()
    assert alert.fix.startswith(f"At {MORNING}, {fix}")
    assert (alert.again_at is None) == (number == 4)
    page = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert ("Spread…" in page) == (number == 5)
    assert ("likely to recur" in page) == (number == 5)
    assert ("spread their schedules" in said("sisy_alerts list")) == (number == 5)


def test_tasks_that_cannot_be_spread_need_more_workers():
    delayed(tasks_of(30, schedule="0,1 0 * * *"))
    Task.objects.update(next_run=MIDNIGHT + DAY)
    [alert] = shown()
    assert alert.fix == f"At {MORNING}, 30 {AGAIN} To avoid another delay, start more workers."
    page = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert "Recovered, but likely to recur" in page
    assert "Spread…" not in page
    assert "Open tasks" in page


def test_tasks_with_a_spread_do_not_start_together_again():
    delayed(tasks_of(30, spread=HOUR))
    [alert] = shown()
    assert alert.fix == "The next runs of these tasks start at different times."
    assert alert.again_at is None


def test_what_was_over_a_day_ago_is_not_shown():
    delayed(tasks_of(3), closed=NOON - DAY - SECOND)
    assert shown() == []


def test_one_task_that_was_late_alone_is_not_shown():
    delayed(tasks_of(1))
    assert shown() == []


def test_a_queue_that_is_delayed_now_is_not_said_to_have_recovered():
    delayed(tasks_of(3))
    Alert.objects.create(
        kind=Kind.QUEUED,
        subject="queue:default",
        open_key="queued:queue:default",
        queue="default",
        since=NOON,
        opened_at=NOON,
    )
    assert shown() == []


def test_a_delayed_queue_without_late_tasks_is_shown_too():
    crowd = f"29 other runs were queued at the same time: {FULL}."
    why = f"The oldest run in the queue 'default' has been queued for 5 min. {crowd}"
    delayed(tasks_of(1), kind=Kind.QUEUED, why=why, closed=MIDNIGHT + 12 * MINUTE)
    [alert] = shown()
    assert alert.why == (
        "The queue 'default' was delayed for 7 min. Its oldest run was due at 2026-05-05 00:00:00 "
        f"UTC. Cause at that time: {FULL}."
    )
    assert alert.again_at == MIDNIGHT + DAY


def test_a_delayed_queue_with_only_one_late_task_is_shown_too():
    tasks = tasks_of(2)
    delayed(tasks[:1])
    delayed(tasks[1:], kind=Kind.QUEUED, closed=MIDNIGHT + 12 * MINUTE)
    [alert] = shown()
    assert alert.why.startswith("The queue 'default' was delayed for 7 min.")


def test_each_moment_is_a_row_and_the_longest_are_shown():
    tasks = tasks_of(2)
    for hour in range(5):
        delayed(tasks, due=MIDNIGHT + hour * HOUR)
    rows = grouped(shown())
    assert [row.number for row in rows] == [1, 1, 1, 2]
    assert rows[-1].why == "2 more delays in the last 24 hours."


def test_only_the_alerts_that_were_closed_last_are_read():
    def statements():
        with CaptureQueriesContext(connection) as queries:
            list(recovered_alerts("default", NOON, {"default": 4}))
        return len(queries)

    tasks = tasks_of(MAX_CLOSED_READ + 100)
    delayed(tasks[:10])
    few = statements()
    delayed(tasks, due=MIDNIGHT + HOUR)
    assert statements() <= few + 1
    assert few <= 6
    assert sum(delay.number for delay in past_delays("default", NOON)) <= MAX_CLOSED_READ


def test_runs_and_tasks_that_were_deleted_are_no_obstacle():
    tasks = tasks_of(3)
    delayed(tasks)
    Task._base_manager.filter(pk__in=[task.pk for task in tasks]).delete()
    [alert] = shown()
    assert alert.again_at is None
    Run.objects.all().delete()
    assert shown() == []
