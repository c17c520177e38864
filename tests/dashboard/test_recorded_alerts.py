"""Open alerts on the overview and in sisy_status, and what people do with them."""

import re

import pytest

from sisy.models import Alert, Process, Queue, Role, Run, RunState, TroubledRun
from sisy.records.problems import Kind
from sisy.reports.alerts import find_alerts
from sisy.reports.alerts.grouping import grouped
from sisy.reports.alerts.recorded import MAX_LATE_SHOWN
from sisy.reports.alerts.verdict import in_words
from tests.admin.pages import history_of, messages_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.commands.calling import told
from tests.support.hostile import STORABLE, flaw_in
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def opened(kind=Kind.FAILING, subject="task:5", **columns):
    """Return an open alert."""
    known = {
        "label": "import",
        "why": "The latest run failed: KeyError.",
        "cause": "KeyError",
        "task_id": 5,
        "since": NOON - MINUTE,
    }
    return Alert.objects.create(
        kind=kind,
        subject=subject,
        open_key=f"{kind}:{subject}",
        opened_at=NOON,
        **{**known, **columns},
    )


def failed_run(**fields):
    run = scheduled("0 0 1 1 *", **fields).new_run(
        now=NOON, state=RunState.FAILED, finished_at=NOON, error_class="KeyError"
    )
    run.save()
    assert TroubledRun.objects.filter(run_id=run.pk).exists()
    return run


def do(verb, *alerts, browser=None, **fields):
    data = {"pk": [alert.pk for alert in alerts], **fields}
    browser = browser or browser_of_superuser()
    return messages_of(browser.post(f"/sisy/alerts/do/{verb}/", data, follow=True))


def up():
    for role in (Role.HEARTBEAT, Role.WORKER):
        Process.join(role, using="default", now=NOON, lease=HOUR, queues=("default",))


def test_an_alert_says_how_many_runs_have_failed_by_now():
    up()
    run = failed_run(label="import")
    opened(subject=f"task:{run.task_id}", task_id=run.task_id, run_id=run.pk)
    more = [run.task.new_run(now=NOON, state=RunState.FAILED, finished_at=NOON) for _ in range(46)]
    latest = Run.objects.bulk_create(more[:6])[-1]
    [alert] = find_alerts("default", NOON)
    assert alert.why == "The last 7 runs failed: KeyError."
    assert alert.run == latest.pk
    Run.objects.bulk_create(more[6:])
    [alert] = find_alerts("default", NOON)
    assert alert.why == "At least the last 40 runs failed: KeyError."


def test_an_alert_names_the_newest_run_and_its_error_if_one_may_see_it():
    up()
    run = failed_run(label="import")
    fix = f"Retry with 'manage.py sisy_runs retry {run.pk}'."
    opened(subject=f"task:{run.task_id}", task_id=run.task_id, run_id=run.pk, fix=fix)
    reason = "KeyError: 'price'"
    newest = run.task.new_run(
        now=NOON, state=RunState.FAILED, finished_at=NOON, reason=reason, error_class="KeyError"
    )
    newest.save()
    text = text_of(browser_of("view_task", "view_run_details").get("/sisy/?parts=alerts"))
    assert "The last 2 runs failed: KeyError: 'price'." in text
    assert f"sisy_runs retry {newest.pk}'" in text
    assert f"sisy_runs retry {run.pk}'" not in text
    assert "KeyError: 'price'" in told("sisy_status")["alerts"][0]["why"]
    text = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert "The last 2 runs failed: KeyError." in text


def test_what_is_not_a_problem_is_listed_below_the_problems():
    up()
    paused = "Paused"
    Queue.objects.pause("default", "Maintenance.")
    assert paused not in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    failed_run(label="import")
    text = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert text.index("import") < text.index(paused) < text.index("Maintenance")
    assert "1 problem" in text


def test_the_overview_counts_the_paused_tasks_and_leads_to_them():
    up()
    assert "paused task" not in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    scheduled(label="of a colleague").pause()
    html = browser_of("view_task").get("/sisy/?parts=alerts").content.decode()
    assert 'href="/sisy/tasks/?state=paused">1 paused task</a>' in html


def test_a_problem_with_an_alert_is_listed_once():
    up()
    run = failed_run(label="import")
    [alert] = find_alerts("default", NOON)
    assert (alert.kind, alert.record) == (Kind.FAILED, None)
    record = opened(subject=f"task:{run.task_id}", task_id=run.task_id, run_id=run.pk)
    [alert] = find_alerts("default", NOON)
    assert (alert.kind, alert.record) == (Kind.FAILING, record)
    page = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert page.count("import") == 1
    assert [row["alert"] for row in told("sisy_status")["alerts"]] == [record.pk]


def test_a_failing_function_is_listed_once():
    up()
    run = failed_run()
    run.origin = "once"
    run.save()
    opened(subject=f"call:{run.target_path}", task_id=None, label=run.label)
    assert [alert.kind for alert in find_alerts("default", NOON)] == [Kind.FAILING]


def test_a_queue_without_a_worker_is_listed_once():
    Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=HOUR)
    scheduled("0 0 1 1 *", queue="gpu")
    opened(Kind.NO_WORKER, "queue:gpu", queue="gpu", task_id=None, label="")
    assert [alert.kind for alert in find_alerts("default", NOON)] == [Kind.NO_WORKER]


def test_the_most_severe_alerts_come_first_and_only_some_are_listed():
    for number in range(30):
        opened(subject=f"task:{number}", task_id=number)
    found = find_alerts("default", NOON)
    assert found[0].kind == Kind.NO_HEARTBEAT
    assert found[-1].why == "And 10 more open alerts."
    assert sum(alert.number for alert in found[1:]) == 30


def late_alerts(number, queue="default", cause="all 4 worker slots are in use", fix=""):
    known = {"queue": queue, "why": f"A run is late: {cause}.", "cause": cause, "fix": fix}
    for n in range(number):
        opened(Kind.LATE, f"task:{queue}-{n}", task_id=100 + n, **known)


def test_many_late_tasks_hide_no_other_problem():
    up()
    opened()
    late_alerts(MAX_LATE_SHOWN + 30)
    found = find_alerts("default", NOON)
    assert Kind.FAILING in {alert.kind for alert in found}
    assert [alert.why for alert in found if not alert.queues][-1] == "And 30 more late tasks."
    assert in_words(grouped(found), NOON) == "3 problems"


def test_late_tasks_of_two_queues_are_two_problems():
    up()
    late_alerts(2, queue="cpu1")
    late_alerts(2, queue="cpu2")
    assert len(grouped(find_alerts("default", NOON))) == 2


def test_the_command_for_one_task_is_not_advice_for_several():
    up()
    late_alerts(1, fix="Cancel run 5.")
    [group] = grouped(find_alerts("default", NOON))
    assert group.fix == "Cancel run 5."
    opened(
        Kind.LATE,
        "task:x",
        queue="default",
        why=group.lead.why,
        cause=group.lead.cause,
        fix="Cancel run 6.",
    )
    [group] = grouped(find_alerts("default", NOON))
    assert "Cancel" not in group.fix


def test_the_page_of_a_run_does_not_lead_to_itself():
    run = failed_run()
    alert = opened(run_id=run.pk, task_id=run.task_id, subject=f"task:{run.task_id}")
    html = browser_of_superuser().get(f"/sisy/runs/{run.pk}/?parts=alerts").content.decode()
    assert f'id="record-{alert.pk}"' in html
    assert "Open run" not in html
    assert "<button>Retry" not in html


def test_people_acknowledge_mute_and_close_alerts():
    alert = opened()
    link = f'<a href="/sisy/#record-{alert.pk}">Show</a>'
    assert do("acknowledge", alert) == [f"Acknowledged: failing: import. {link}"]
    assert do("mute", alert, hours="8") == [f"Muted 1 alert for 8 h. {link}"]
    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.muted_until, alert.muted_by) == (
        "Sam",
        NOON + 8 * HOUR,
        "Sam",
    )
    page = text_of(browser_of_superuser().get("/sisy/?parts=alerts"))
    assert "acknowledged by Sam" in page
    assert do("unmute", alert) == ["Unmuted 1 alert."]
    assert do("close", alert) == [f"Closed 1 alert. {link}"]
    alert.refresh_from_db()
    assert (alert.is_open, alert.closed_by) == (False, "Sam")
    assert history_of(alert) == ["Acknowledged.", "Muted for 8 h.", "Unmuted.", "Closed."]


def test_acknowledging_can_be_undone():
    alert = opened()
    do("acknowledge", alert)
    page = browser_of_superuser().get("/sisy/?parts=alerts").content.decode()
    assert f'id="record-{alert.pk}"' in page  # to which the message leads
    assert do("unacknowledge", alert) == ["1 alert is no longer acknowledged."]
    alert.refresh_from_db()
    assert (alert.acknowledged_at, alert.acknowledged_by) == (None, "")
    assert history_of(alert) == ["Acknowledged.", "No longer acknowledged."]
    assert do("unacknowledge", alert) == ["Nothing to undo: no alert was acknowledged."]


def test_what_is_done_already_is_not_a_success():
    alert = opened()
    do("close", alert)
    assert do("close", alert) == ["Nothing to close."]
    assert do("acknowledge", alert) == [
        "Nothing to acknowledge: it is already acknowledged or closed."
    ]
    assert do("unmute", alert) == ["Nothing to unmute."]


@pytest.mark.parametrize(
    "verb", ["acknowledge", "unacknowledge", "mute", "unmute", "close", "reopen"]
)
def test_each_action_needs_the_permission(verb):
    alert = opened()
    viewer = browser_of("view_task")
    assert "Acknowledge" not in text_of(viewer.get("/sisy/?parts=alerts"))
    response = viewer.post(f"/sisy/alerts/do/{verb}/", {"pk": alert.pk})
    assert response.status_code == 403
    may = browser_of("view_task", "handle_alert")
    assert "Acknowledge" in text_of(may.get("/sisy/?parts=alerts"))
    assert may.post(f"/sisy/alerts/do/{verb}/", {"pk": alert.pk}).status_code == 302


def test_an_alert_that_does_not_exist_gets_an_error():
    assert do("close", Alert(pk=77)) == ["Unknown alert: '77'. It may have been deleted."]


def test_hostile_labels_are_shown_harmlessly():
    opened(label=STORABLE, why=f"<script>{STORABLE}")
    page = browser_of("view_task").get("/sisy/?parts=alerts").content.decode()
    assert "<script>" not in page
    assert not flaw_in(text_of(browser_of("view_task").get("/sisy/?parts=alerts")))


def test_missed_occurrences_lead_to_the_processes_that_ended():
    up()
    opened(Kind.MISSED, why="2 occurrences were missed.")
    page = browser_of("view_task").get("/sisy/?parts=alerts").content.decode()
    assert 'href="/sisy/fleet/#ended"' in page


def rows_in(page):
    return re.findall(r'<li id="(alert-[^"]+)" class="sisy-alert (\w+(?: handled)?)"', page)


@pytest.mark.parametrize("verb", ["acknowledge", "mute"])
def test_a_handled_alert_follows_those_that_are_left(verb):
    up()
    for number in range(3):
        why = f"{'abc'[number]} failed."
        opened(subject=f"task:{number}", label=f"task {number}", why=why, cause="")
    browser = browser_of_superuser()
    before = rows_in(browser.get("/sisy/?parts=alerts").content.decode())
    first = Alert.objects.latest("pk")
    browser.post(f"/sisy/alerts/do/{verb}/", {"pk": first.pk})
    page = browser.get("/sisy/?parts=alerts").content.decode()
    after = rows_in(page)
    assert [key for key, _ in after] == [key for key, _ in [*before[1:], before[0]]]
    assert [looks for _, looks in after] == ["bad", "bad", "bad handled"]
    assert page.index(f'"{after[1][0]}"') < page.index("Acknowledged or muted")
    assert page.index("Acknowledged or muted") < page.index(f'"{after[2][0]}"')
    # Undoing it moves the row to the top, and the page follows.
    assert f'name="next" value="/sisy/#{before[0][0]}"' in page


def test_the_start_of_the_problems_stays_when_people_handle_them():
    up()
    first = opened(since=NOON - 2 * HOUR, why="a failed.", cause="")
    opened(subject="task:6", task_id=6, since=NOON - HOUR, why="b failed.", cause="")
    browser = browser_of_superuser()
    assert "2 problems the first since 10:00:00" in text_of(browser.get("/sisy/?parts=alerts"))
    do("acknowledge", first, browser=browser)
    shown = text_of(browser.get("/sisy/?parts=alerts"))
    assert "2 problems, 1 to handle (1 acknowledged) the first since 10:00:00" in shown
    do("mute", Alert.objects.latest("pk"), browser=browser)
    shown = text_of(browser.get("/sisy/?parts=alerts"))
    assert "2 problems, none to handle (1 acknowledged, 1 muted) the first since 10:00:00" in shown


@pytest.mark.parametrize("page", ["tasks", "runs"])
def test_the_pages_of_a_task_and_of_a_run_show_their_alert_with_its_actions(page):
    run = failed_run(label="import")
    opened(subject=f"task:{run.task_id}", task_id=run.task_id, run_id=run.pk)
    opened(subject="task:999", task_id=999, label="other", run_id=999)
    address = f"/sisy/{page}/{run.task_id if page == 'tasks' else run.pk}/"
    browser = browser_of_superuser()
    shown = text_of(browser.get(f"{address}?parts=alerts"))
    assert "Open alerts ✕ failing import The latest run failed: KeyError." in shown
    assert "other" not in shown
    alert = Alert.objects.get(task_id=run.task_id)
    answer = browser.post("/sisy/alerts/do/acknowledge/", {"pk": alert.pk, "next": address})
    assert answer["Location"] == address
    assert "acknowledged by" in text_of(browser.get(f"{address}?parts=alerts"))
    Alert.objects.filter(pk=alert.pk).close("Ann", NOON)
    assert "Open alerts" not in text_of(browser.get(f"{address}?parts=alerts"))


def test_a_run_that_takes_too_long_can_be_cancelled_from_its_alert():
    run = scheduled(label="import").new_run(now=NOON, state=RunState.RUNNING)
    run.save()
    fix = f"If it hangs, cancel it with 'manage.py sisy_runs cancel {run.pk}'."
    opened(Kind.SLOW, task_id=run.task_id, run_id=run.pk, fix=fix)
    shown = browser_of_superuser().get("/sisy/?parts=alerts")
    assert "Cancel…" in text_of(shown)
    assert "sisy_runs" not in text_of(shown)
    assert f'name="pk" value="{run.pk}"' in shown.content.decode()
    shown = browser_of("view_task").get("/sisy/?parts=alerts")
    assert "Cancel…" not in text_of(shown)
    assert fix in text_of(shown)


def test_an_alert_with_a_retry_button_names_no_command():
    run = failed_run(label="import")
    fix = f"Fix the cause, and then retry with 'manage.py sisy_runs retry {run.pk}'."
    opened(task_id=run.task_id, run_id=run.pk, fix=fix)
    text = text_of(browser_of_superuser().get("/sisy/?parts=alerts"))
    assert "Open the run to read its error. Retry it when the cause is fixed." in text
    assert "sisy_runs" not in text
    assert fix in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))


def test_several_failing_tasks_lead_to_their_failed_runs():
    for label in ("import", "export"):
        run = failed_run(label=label)
        opened(subject=f"task:{run.task_id}", task_id=run.task_id, run_id=run.pk, label=label)
    html = browser_of_superuser().get("/sisy/?parts=alerts").content.decode()
    assert '/sisy/runs/?state=unsuccessful&amp;since=24h">Open failed runs</a>' in html
    for run in Run.objects.all():
        assert f'<a href="/sisy/runs/{run.pk}/">Open run #{run.pk}</a>' in html
