"""A row of an alert says what to do first, what it affects most, and what changed before it."""

import pytest

from sisy.lifecycle.miss import missed_row
from sisy.models import Alert, Process, Role, RunState, Task, TaskChange
from sisy.records.problems import Kind, Severity
from sisy.reports.alerts import find_alerts
from sisy.reports.alerts.grouping import grouped
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.commands.calling import said, told
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import open_alert, scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

DEPLOYED = (
    "First seen after a deploy on 2026-05-05 09:00:00 that also changed settings (queue, retry "
    "delay)"
)


def ended(task, state, ago):
    moment = NOON - ago
    error = "" if state == RunState.SUCCEEDED else "KeyError"
    times = {"ready_at": moment, "started_at": moment, "finished_at": moment}
    run = task.new_run(now=moment, state=state, attempt=1, due_at=None, error_class=error, **times)
    run.save()
    return run


def missed(label, next_run, *, is_recorded=True):
    task = scheduled("0 0 1 1 *", label=label)
    Task.objects.filter(pk=task.pk).update(next_run=next_run)
    row = missed_row(task, NOON - 2 * HOUR, NOON - HOUR, 2, "Nothing was up.", NOON)
    row.save()
    if is_recorded:
        words = {"why": "2 occurrences were missed.", "cause": "Nothing was up."}
        open_alert(task, Kind.MISSED, NOON, run_id=row.pk, **words)


def test_the_missed_tasks_that_are_due_again_last_are_named_first():
    missed("every ten minutes", NOON + MINUTE)
    missed("never again", None)
    missed("backup", NOON + DAY)
    missed("hourly", NOON + HOUR)
    missed("over", NOON + 2 * DAY, is_recorded=False)
    named = (
        "Affects never again, backup (due again at 2026-05-06 12:00:00 UTC), hourly (due again at "
        "2026-05-05 13:00:00 UTC) and 2 more"
    )
    assert named in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert named in " ".join(said("sisy_status").split())


def test_a_group_is_named_by_its_oldest_alert_as_long_as_that_is_open():
    missed("hourly", NOON + HOUR)
    oldest = Alert.objects.get().pk
    missed("never again", None)
    assert f"warning {oldest} " in said("sisy_status")


def test_the_range_of_missed_occurrences_is_no_second_range_of_the_outage():
    missed("backup", NOON + DAY)
    text = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert "due from 10:00:00 to 11:00:00" in text


def flapping():
    task = scheduled(label="stock")
    for minutes in range(12, 0, -1):
        state = RunState.FAILED if minutes % 2 else RunState.SUCCEEDED
        ended(task, state, minutes * MINUTE)
    open_alert(task, Kind.FAILING, NOON, run_id=1, cause="KeyError", why="It fails.")
    return task


def test_what_fails_intermittently_leads_to_all_its_failed_runs():
    task = flapping()
    shown = browser_of_superuser().get("/sisy/?parts=alerts")
    assert "Open the failed runs, and find what they have in common." in text_of(shown)
    html = shown.content.decode()
    assert f"runs/?task={task.pk}&amp;state=unsuccessful" in html
    assert "runs/do/retry/" not in html
    command = f"manage.py sisy_runs list --task {task.pk} --state failed"
    assert command in said("sisy_status")
    assert "of the last" not in said(command.removeprefix("manage.py "))


def failing_since(ago, *, succeeded=4 * HOUR, **fields):
    task = scheduled(label="import", **fields)
    ended(task, RunState.SUCCEEDED, succeeded)
    first, *_ = [ended(task, RunState.FAILED, ago - n * MINUTE) for n in range(3)]
    open_alert(task, Kind.FAILING, NOON - ago, run_id=first.pk, why="It fails.")
    return task


def deployed(task):
    TaskChange.objects.create(
        task_id=task.pk,
        changed_at=NOON - 3 * HOUR,
        kind="declaration",
        fields={"queue": ["a", "b"], "retry_delay": ["10", "20"]},
    )


def test_a_deploy_between_the_last_success_and_the_first_failure_is_named():
    deployed(failing_since(2 * HOUR, note="It can wait.\nUntil nine."))
    assert DEPLOYED in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    lines = [line.strip() for line in said("sisy_status").splitlines()]
    assert f"{DEPLOYED}." in lines
    key = Task.objects.get().pk
    assert f"Note: It can wait. All of it: manage.py sisy_tasks show {key}" in lines
    alert = told("sisy_alerts list")[0]["id"]
    shown = told(f"sisy_alerts show {alert}")
    assert (shown["began_after"], shown["note"]) == (DEPLOYED, "It can wait.\nUntil nine.")


def test_a_deploy_is_named_only_with_the_failures_of_its_task():
    task = failing_since(2 * HOUR)
    deployed(task)
    open_alert(task, Kind.SILENT, NOON, why="It is silent.")
    text = text_of(browser_of("view_task").get(f"/sisy/tasks/{task.pk}/?parts=alerts"))
    assert text.count("It is silent.") == 1
    assert text.count(DEPLOYED) == 1


@pytest.mark.parametrize("times", [{"succeeded": 2.5 * HOUR}, {"ago": 3.5 * HOUR}])
def test_a_deploy_after_which_a_run_succeeded_or_before_which_one_failed_is_not(times):
    deployed(failing_since(**{"ago": 2 * HOUR, **times}))
    assert "New since" not in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))


def test_a_task_that_fails_again_and_again_may_wait_for_its_next_run():
    failing_since(2 * HOUR)
    [group] = [group for group in grouped(find_alerts("default", NOON)) if group.what]
    assert group.fix.endswith("', or wait for the next run.")


def test_a_queue_without_a_worker_names_what_is_held_up_and_who_served_it_last():
    for ended, queues in ((3 * HOUR, ["mail"]), (2 * HOUR, ["mail", "default"]), (HOUR, ["web"])):
        process = Process.join(
            Role.WORKER, using="default", now=NOON - DAY, lease=2 * DAY, queues=queues
        )
        process.leave(now=NOON - ended)
    for number, label in ((1, "report"), (2, "digest")):
        task = scheduled(label=label, queue="mail", overlap="allow")
        for n in range(number):
            task.new_run(now=NOON, due_at=NOON - n * HOUR).save()
    held_up = (
        "3 runs of 'digest', 'report' are queued. The last worker that served it, "
        f"{process.pid}@{process.host}, ended at 2026-05-05 10:00:00 UTC."
    )
    assert held_up in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert held_up in said("sisy_status")


@pytest.mark.parametrize(("minutes", "is_named"), [(1, True), (60, False)])
def test_a_queue_without_a_worker_names_the_worker_that_a_deploy_started(minutes, is_named):
    at = {"using": "default", "lease": 2 * DAY}
    old = Process.join(Role.WORKER, now=NOON - DAY, queues=["mail", "default"], **at)
    old.leave(now=NOON - HOUR)
    started_at = NOON - HOUR + minutes * MINUTE
    Process.join(Role.HEARTBEAT, now=started_at, **at)
    new = Process.join(Role.WORKER, now=started_at, queues=["default", "web"], **at)
    scheduled(queue="mail").run_now()
    words = (
        f"ended at 2026-05-05 11:00:00 UTC. {new.pid}@{new.host}, which started at 2026-05-05 "
        "11:01:00 UTC, serves only 'default', 'web'."
    )
    assert (words in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))) == is_named


def test_what_a_late_heartbeat_has_missed_for_seconds_is_not_a_problem():
    task = scheduled("* * * * * *", label="poll")
    missed_row(task, NOON - 40 * SECOND, NOON - SECOND, 39, "It was late.", NOON).save()
    [found] = [alert for alert in find_alerts("default", NOON) if alert.what == "poll"]
    assert found.severity == Severity.INFO
