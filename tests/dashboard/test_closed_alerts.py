"""Alerts that a person has closed although their problem remains."""

import pytest

from sisy.models import Process, Role, Run, RunState
from sisy.records.problems import Kind, Severity
from sisy.reports.alerts import find_alerts
from sisy.reports.alerts.grouping import grouped
from sisy.reports.alerts.verdict import in_words
from tests.admin.pages import history_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.commands.calling import said
from tests.dashboard.test_recorded_alerts import do, failed_run, opened, up
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

BEGAN = NOON - 8 * HOUR
OUTAGE = "No heartbeat was running."


def closed_one(run, kind=Kind.FAILING, **columns):
    """Return an alert about a run that a person has closed."""
    about = {"task_id": run.task_id, "run_id": run.pk, "evidence": run.pk, "since": BEGAN}
    alert = opened(kind, f"task:{run.task_id}", **about | columns)
    do("close", alert)
    alert.refresh_from_db()
    return alert


def fails_again(run):
    """Store another failed run of the task."""
    again = run.task.new_run(now=NOON, state=RunState.FAILED, finished_at=NOON)
    Run.objects.bulk_create([again])


def alerts_on_page():
    return text_of(browser_of_superuser().get("/sisy/?parts=alerts"))


def test_a_closed_alert_needs_no_action_until_the_task_fails_again():
    up()
    run = failed_run(label="import")
    record = closed_one(run)
    [alert] = find_alerts("default", NOON)
    assert (alert.closed, alert.record, alert.severity) == (record, None, Severity.INFO)
    assert in_words(grouped([alert]), NOON) == ""
    fails_again(run)
    [alert] = find_alerts("default", NOON)
    assert (alert.closed, alert.severity) == (None, Severity.ERROR)


def test_a_closed_alert_keeps_its_start_and_says_who_closed_it():
    up()
    closed_one(failed_run(label="import"))
    text = alerts_on_page()
    assert "All clear" in text
    assert f"since {BEGAN:%H:%M:%S}" in text
    assert "closed by Sam" in text
    assert "The next failed run reopens it." in text
    assert "Acknowledge" not in text
    assert "Retry" in text


def test_a_closed_alert_keeps_its_mute_and_can_be_muted():
    up()
    record = closed_one(failed_run(label="import"), muted_until=NOON + 8 * HOUR)
    assert "muted until 20:00:00" in alerts_on_page()
    assert do("unmute", record) == ["Unmuted 1 alert."]
    assert "muted until" not in alerts_on_page()
    [said] = do("mute", record, hours="1")
    assert said.startswith("Muted 1 alert for 1 h.")
    assert "muted until 13:00:00" in alerts_on_page()


def test_closing_can_be_undone_where_the_message_leads_to():
    up()
    run = failed_run(label="import")
    record = closed_one(run)
    browser = browser_of_superuser()
    html = browser.get("/sisy/?parts=alerts").content.decode()
    assert f'id="record-{record.pk}"' in html
    assert "/sisy/alerts/do/reopen/" in html
    link = f'<a href="/sisy/#record-{record.pk}">Show</a>'
    assert do("reopen", record, browser=browser) == [f"Reopened 1 alert. {link}"]
    record.refresh_from_db()
    assert (record.is_open, record.closed_by) == (True, "")
    assert history_of(record) == ["Closed.", "Reopened."]
    text = alerts_on_page()
    assert "1 problem" in text
    assert "Reopen" not in text
    assert do("reopen", record) == [
        "Nothing to reopen: it is open, or another alert about its problem is."
    ]


def test_only_people_with_the_permission_see_the_button_to_reopen():
    up()
    closed_one(failed_run(label="import"))
    assert "Reopen" not in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert "Reopen" not in text_of(browser_of("view_task").get("/sisy/alerts/"))
    for page in ("/sisy/?parts=alerts", "/sisy/alerts/"):
        assert "Reopen" in text_of(browser_of("view_task", "handle_alert").get(page))


def test_an_alert_that_leaves_the_overview_is_reopened_from_the_list_of_all():
    up()
    alerts = [opened(Kind.SLOW, f"task:{number}", since=BEGAN) for number in (5, 6)]
    link = f'<a href="/sisy/alerts/#record-{alerts[0].pk}">Show</a>'
    assert do("close", *alerts) == [f"Closed 2 alerts. {link}"]
    assert "Reopen" not in alerts_on_page()
    page = browser_of_superuser().get("/sisy/alerts/")
    assert f'id="record-{alerts[0].pk}"' in page.content.decode()
    assert "closed by Sam Reopen 2 alerts too slow: import" in text_of(page)
    do("reopen", *alerts)
    assert "Reopen" not in text_of(browser_of_superuser().get("/sisy/alerts/"))


def test_missed_occurrences_stay_closed_until_more_are_missed():
    up()
    task = scheduled("0 0 1 1 *", label="report")
    gap = {"state": RunState.MISSED, "reason": "No heartbeat was running.", "finished_at": NOON}
    run = task.new_run(now=NOON, due_at=NOON - HOUR, **gap)
    run.save()
    record = closed_one(run, Kind.MISSED)
    [alert] = find_alerts("default", NOON)
    assert (alert.kind, alert.closed, alert.severity) == (Kind.MISSED, record, Severity.INFO)
    assert "Further missed occurrences reopen it." in alerts_on_page()
    task.new_run(now=NOON, due_at=NOON - MINUTE, **gap).save()
    [alert] = find_alerts("default", NOON)
    assert (alert.closed, alert.severity) == (None, Severity.WARNING)


def missed_one(label="report", ended=NOON):
    """Return a task that missed an occurrence, and the alert about it that a person has closed."""
    task = scheduled("0 0 1 1 *", label=label)
    gap = {"state": RunState.MISSED, "reason": OUTAGE, "finished_at": ended}
    run = task.new_run(now=ended, due_at=ended - HOUR, **gap)
    run.save()
    about = {"label": label, "cause": OUTAGE, "why": f"1 occurrence was missed: {OUTAGE}"}
    about["since"] = run.due_at
    return task, closed_one(run, Kind.MISSED, **about)


@pytest.mark.parametrize(
    ("state", "minutes", "is_listed"),
    [
        ("succeeded", 0, False),
        ("succeeded", 1, False),
        ("succeeded", -1, True),
        ("failed", 1, True),
    ],
)
def test_missed_occurrences_of_a_task_that_has_succeeded_since_are_over(state, minutes, is_listed):
    """A heartbeat judges in the same way, once the alert is open."""
    up()
    gap_ended = NOON - 10 * MINUTE
    task, _ = missed_one(ended=gap_ended)
    task.new_run(now=gap_ended, state=state, finished_at=gap_ended + minutes * MINUTE).save()
    assert ("1 occurrence was missed" in alerts_on_page()) is is_listed


def test_closed_alerts_of_one_cause_stay_one_row():
    up()
    records = [missed_one(f"report {number}")[1] for number in range(4)]
    [group] = grouped(find_alerts("default", NOON))
    assert (group.what, group.severity) == ("4 tasks", Severity.INFO)
    text = alerts_on_page()
    assert text.count("closed by Sam") == 1
    assert "Further missed occurrences of a task reopen its alert." in text
    do("reopen", *records)
    assert "missed 4 tasks" in alerts_on_page()
    # One that is open is apart from those that are closed.
    do("close", *records[:3])
    groups = grouped(find_alerts("default", NOON))
    assert [group.what for group in groups] == ["report 3", "3 tasks"]


def test_a_row_that_needs_no_action_gives_no_advice():
    up()
    _, record = missed_one()
    page = browser_of_superuser().get("/sisy/?parts=alerts")
    assert "sisy-fix" not in page.content.decode()
    assert f'href="/sisy/runs/{record.run_id}/"' in page.content.decode()
    status = said("sisy_status")
    assert "Closed by Sam. Further missed occurrences reopen it." in status
    assert "Retry the run" not in status
    do("reopen", record)
    assert "Retry the run if the occurrence" in alerts_on_page()
    assert "Retry the run" in said("sisy_status")


def test_an_alert_that_closed_by_itself_is_not_shown_as_closed():
    up()
    run = failed_run(label="import")
    record = closed_one(run)
    type(record).objects.update(closed_by="", close_reason="The latest run succeeded.")
    [alert] = find_alerts("default", NOON)
    assert (alert.closed, alert.severity) == (None, Severity.ERROR)


def test_a_queue_without_a_worker_stays_critical_when_its_alert_is_closed():
    Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=HOUR)
    scheduled("0 0 1 1 *", queue="gpu")
    record = opened(Kind.NO_WORKER, "queue:gpu", queue="gpu", task_id=None, since=BEGAN)
    do("close", record)
    [alert] = find_alerts("default", NOON)
    assert (alert.severity, alert.since) == (Severity.CRITICAL, BEGAN)
    assert "Mute" in alerts_on_page()


def test_a_closed_alert_is_not_grouped_with_an_open_one_of_the_same_cause():
    up()
    closed_one(failed_run(label="import"))
    failed_run(label="export")
    groups = grouped(find_alerts("default", NOON))
    assert [group.severity for group in groups] == [Severity.ERROR, Severity.INFO]
