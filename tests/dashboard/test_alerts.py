"""What needs attention: counted over the last 24 hours, exact, and nothing left out silently."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.alerting.missed import judge_missed
from sisy.alerting.opening import open_alerts
from sisy.lifecycle.miss import missed_row
from sisy.models import Missed, Origin, Overlap, Process, Queue, Role, Run, RunState, Task
from sisy.planning.catch_up import IN_TIME, THEREFORE
from sisy.records.problems import Kind
from sisy.reports import alerts as page
from sisy.reports import queue_names
from sisy.reports.alerts import Severity, find_alerts
from sisy.reports.alerts.grouping import grouped
from sisy.worker.claim import claim
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.app import jobs
from tests.commands.calling import said
from tests.roles.steps import finish
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import open_alert, scheduled, worker
from tests.support.statements import without_steps

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("now")]

KEY_ERROR = "builtins.KeyError"


@pytest.fixture(autouse=True)
def processes():
    """All that is needed is up, so that only runs need attention."""
    for role in (Role.HEARTBEAT, Role.WORKER):
        Process.join(role, using="default", now=NOON, lease=30 * SECOND, queues=("default",))


def ended(task, states, since=NOON - HOUR, apart=SECOND, **columns):
    """Let runs of a task end in some states, one after the other."""
    runs = [
        task.new_run(
            now=since,
            state=state,
            attempt=1,
            started_at=since + n * apart,
            finished_at=since + n * apart,
            error_class="" if state == RunState.SUCCEEDED else KEY_ERROR,
            **columns,
        )
        for n, state in enumerate(states)
    ]
    return Run.objects.bulk_create(runs)


def alerts():
    return [(alert.what, alert.why) for alert in find_alerts("default", NOON)]


FAILED, WELL = RunState.FAILED, RunState.SUCCEEDED


def test_failures_are_counted_with_how_many_runs_they_are_of():
    ended(scheduled(label="sweep"), [WELL] * 14 + [FAILED] * 26)
    assert alerts() == [("sweep", "26 of 40 runs in the last 24 hours failed: KeyError.")]


def test_the_counts_are_exact_however_many_they_are():
    noisy, quiet = scheduled(label="noisy"), scheduled(label="quiet")
    ended(quiet, [FAILED], since=NOON - 20 * HOUR)
    ended(noisy, [WELL] * 300 + [FAILED] * 1700, since=NOON - 10 * HOUR)
    assert alerts() == [
        ("noisy", "1700 of 2000 runs in the last 24 hours failed: KeyError."),
        ("quiet", "The only run in the last 24 hours failed: KeyError."),
    ]


def test_a_task_that_flaps_stays_after_it_has_succeeded():
    ended(scheduled(label="flaps"), [WELL, FAILED, FAILED, WELL])
    [(what, why)] = alerts()
    assert what == "flaps"
    assert why == ("2 of 4 runs in the last 24 hours failed: KeyError. The latest run succeeded.")


def test_a_task_that_has_recovered_is_listed_but_is_not_a_problem():
    ended(scheduled(label="flaps"), [WELL, FAILED, FAILED, WELL])
    page = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert "All clear" in page
    assert "2 of 4 runs in the last 24 hours failed" in page


@pytest.mark.parametrize("last", [[], [FAILED]])
def test_a_task_that_fails_and_recovers_is_a_problem_in_one_place(last):
    ended(scheduled(label="flaps"), [FAILED, WELL] * 3 + last)
    [alert] = find_alerts("default", NOON)
    failed = 3 + len(last)
    assert alert.why == (
        f"It fails intermittently. {failed} of the last {6 + len(last)} runs failed: KeyError."
    )
    assert alert.severity == Severity.WARNING
    page = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert "1 problem" in page
    assert "flapping" in page


def test_the_beginning_of_a_recorded_alert_stays_while_its_task_flaps():
    task = scheduled(label="flaps")
    ended(task, [FAILED, WELL] * 30)
    since = NOON - 8 * HOUR
    opened = open_alert(task, Kind.FAILING, NOON, since=since, run_id=1)
    [alert] = find_alerts("default", NOON)
    assert (alert.record, alert.is_flapping, alert.since) == (opened, True, since)


def test_failures_older_than_24_hours_are_not_counted():
    task = scheduled(label="sweep")
    ended(task, [FAILED] * 3, since=NOON - DAY - 3 * SECOND)
    assert alerts() == []
    ended(task, [FAILED], since=NOON - DAY)
    assert alerts() == [("sweep", "The only run in the last 24 hours failed: KeyError.")]


def test_a_run_that_was_submitted_once_and_failed_is_shown():
    Task.run_once(jobs.noop, {"n": 1})
    [run] = claim(worker(), ["default"], 1, NOON)
    finish(run, NOON, FAILED, error_class=KEY_ERROR)
    assert not Task.objects.exists()
    path = "tests.app.jobs.noop"
    assert alerts() == [(path, "The only run in the last 24 hours failed: KeyError.")]


@pytest.mark.parametrize("origin", [Origin.ONCE, Origin.ENQUEUED])
def test_runs_without_a_task_are_grouped_by_what_they_call(origin):
    def once(label, states, path="tests.app.jobs.noop"):
        runs = ended(scheduled(label=label, fn=path), states, origin=origin)
        Task.objects.all().delete()
        return runs

    once("mail to Ann", [FAILED] * 2 + [WELL])
    once("mail to Bob", [FAILED] * 3 + [WELL])
    once("digest", [FAILED, FAILED], path="tests.app.jobs.returns")
    assert alerts() == [
        ("digest", "All 2 runs in the last 24 hours failed: KeyError."),
        ("tests.app.jobs.noop", "5 of 7 runs in the last 24 hours failed: KeyError."),
    ]


def test_problems_that_do_not_fit_are_counted(now):
    for n in range(23):
        ended(scheduled("0 0 1 1 *", label=f"task {n}"), [FAILED])
    shown = alerts()
    assert len(shown) == 21
    assert shown[-1] == ("", "And 3 more tasks that failed in the last 24 hours.")
    text = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert "4 problems" in text  # 20 with the same error, and 3 that are only counted
    assert (
        "And 3 more tasks that failed in the last 24 hours. Open the runs to read their errors. "
        "Retry them when the cause is fixed. Open failed runs"
    ) in text
    assert "And 3 more tasks that failed in the last 24 hours." in said("sisy_status")


def test_missed_occurrences_are_counted_even_if_they_are_not_named():
    for n in range(22):
        task = scheduled("0 0 1 1 *", label=f"task {n}")
        gap = missed_row(task, NOON - 2 * HOUR, NOON - HOUR, 60, "Nothing was up.", NOON)
        Run.objects.bulk_create([gap])
    shown = alerts()
    words = "60 occurrences were missed in the last 24 hours: Nothing was up."
    assert shown[0] == ("task 21", words)
    assert shown[-1] == ("", "And 2 more tasks with missed occurrences.")


def heartbeat(began, end=None):
    """Store a heartbeat that ran from and to so long before noon."""
    Process.objects.filter(role=Role.HEARTBEAT, started_at=NOON).delete()
    process = Process.join(Role.HEARTBEAT, using="default", now=NOON - began, lease=HOUR)
    Process.objects.filter(pk=process.pk).update(lease_until=NOON + 30 * SECOND)
    process.refresh_from_db()
    if end is not None:
        process.leave("It stopped normally.", NOON - end)


@pytest.mark.parametrize(
    ("zone", "said"), [("utc", "09:55:00 to 11:05:00 UTC"), ("mine", "18:55:00 to 20:05:00 JST")]
)
def test_missed_occurrences_name_the_time_without_a_heartbeat(zone, said):
    heartbeat(5 * HOUR, 125 * MINUTE)
    heartbeat(55 * MINUTE)
    reason = f"{IN_TIME} {THEREFORE[Missed.SKIP]}"
    missed_row(scheduled(label="b"), NOON - 2 * HOUR, NOON - HOUR, 9, reason, NOON).save()
    browser = browser_of("view_task")
    browser.post("/sisy/preferences/", {"zone": zone, "mine": "Asia/Tokyo", "next": "/sisy/"})
    page = text_of(browser.get("/sisy/?parts=alerts"))
    assert f"No heartbeat was running from 2026-05-05 {said}. The task does not catch up" in page


def test_missed_occurrences_without_a_gap_between_heartbeats_keep_their_reason():
    heartbeat(5 * HOUR)
    reason = f"{IN_TIME} {THEREFORE[Missed.SKIP]}"
    missed_row(scheduled(label="b"), NOON - 2 * HOUR, NOON - HOUR, 9, reason, NOON).save()
    [alert] = find_alerts("default", NOON)
    assert alert.why.endswith(reason)


@pytest.mark.parametrize("is_recorded", [True, False])
def test_single_occurrences_that_were_missed_one_by_one_are_backfilled(is_recorded):
    """Each has a row of its own, such as after some short outages."""
    task = scheduled(label="backup")
    moments = [NOON - n * HOUR for n in (3, 2, 1)]
    rows = [missed_row(task, one, one, 1, "Nothing was up.", NOON) for one in moments]
    for row in rows:
        row.save()
    if is_recorded:
        open_alerts("default", judge_missed("default", {task.pk: rows[::-1]}, NOON), NOON)
    [group] = grouped(find_alerts("default", NOON))
    assert "3 occurrences were missed" in group.why
    assert "ackfill" in group.fix
    assert not group.is_retryable
    page = browser_of("view_task", "backfill_task", "run_task").get("/sisy/?parts=alerts")
    assert f'href="/sisy/tasks/{task.pk}/backfill/"' in page.content.decode()
    # Nobody needs the command beside a button that does the same.
    assert "manage.py" not in text_of(page)
    if is_recorded:
        assert (group.since, group.until) == (moments[0], moments[-1])
        other = browser_of("view_task").get("/sisy/?parts=alerts")
        assert "manage.py sisy_tasks backfill" in text_of(other)


def test_missed_occurrences_are_reported_from_the_first_to_the_last():
    task = scheduled(label="backup")
    missed_row(task, NOON - 3 * HOUR, NOON - 2 * HOUR, 9, "Nothing was up.", NOON).save()
    [alert] = find_alerts("default", NOON)
    assert (alert.since, alert.until) == (NOON - 3 * HOUR, NOON - 2 * HOUR)
    page = browser_of("view_task", "backfill_task").get("/sisy/?parts=alerts")
    assert "from 09:00:00" in text_of(page)
    assert "to 10:00:00" in text_of(page)
    assert f'href="/sisy/tasks/{task.pk}/backfill/"' in page.content.decode()
    other = browser_of("view_task").get("/sisy/?parts=alerts").content.decode()
    assert "/backfill/" not in other


def test_broken_and_late_tasks_that_are_not_named_are_counted():
    for n in range(23):
        scheduled("0 0 1 1 *", label=f"broken {n}")
    Task._base_manager.update(state="broken")
    assert alerts()[-1] == ("", "And 3 more broken tasks.")
    Task._base_manager.update(state="active", next_run=NOON - MINUTE)
    assert alerts()[-1] == ("", "And 3 more overdue tasks.")


def test_queued_runs_are_counted_by_queue_with_the_cause():
    Process.objects.all().delete()
    Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=30 * SECOND)
    task = scheduled("0 0 1 1 *", overlap=Overlap.ALLOW)
    queued = [task.new_run(now=NOON - HOUR) for _ in range(700)]
    Run.objects.bulk_create(queued)
    why = "Queue 'default': 700 runs are queued, because the queue 'default' has no worker."
    assert ("", why) in alerts()
    Queue.objects.pause("default", "Too hot.", by="Sam")
    [site] = [why for _, why in alerts() if "paused" in why]
    assert site == (
        "The queue 'default' was paused by Sam at 2026-05-05 12:00:00 UTC (Too hot): "
        "700 runs are queued."
    )
    assert not any("are queued, because" in why for _, why in alerts())


def test_rows_keep_their_places_while_the_same_tasks_keep_failing():
    tasks = [scheduled("0 0 1 1 *", label=f"task {n}") for n in range(4)]
    for task in tasks:
        ended(task, [FAILED])
    before = [what for what, _ in alerts()]
    for task in reversed(tasks):
        ended(task, [FAILED], since=NOON - MINUTE)
    assert [what for what, _ in alerts()] == before


def statements():
    with CaptureQueriesContext(connection) as captured:
        find_alerts("default", NOON)
    return len(without_steps(captured))


def test_the_number_of_statements_does_not_grow(monkeypatch):
    # The names of queues are found one by one, up to a limit.
    monkeypatch.setattr(queue_names, "MAX_STEPS", 0)
    one = scheduled("0 0 1 1 *", label="one", queue="one", overlap=Overlap.ALLOW)
    ended(one, [FAILED])
    ended(one, [FAILED], origin=Origin.ONCE)
    Run.objects.bulk_create([missed_row(one, NOON - HOUR, NOON - MINUTE, 9, "", NOON)])
    Run.objects.bulk_create([one.new_run(now=NOON - HOUR)])
    few = statements()
    for n in range(page.MAX_GROUPS_SHOWN - 2):
        other = scheduled("0 0 1 1 *", label=f"other {n}", queue=f"queue-{n}")
        ended(other, [FAILED] * 3)
        ended(other, [FAILED], origin=Origin.ONCE)
        Run.objects.bulk_create([other.new_run(now=NOON - HOUR)])
    assert statements() == few
    assert few < 28
