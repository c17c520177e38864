"""How people are told of alerts: storms, flapping, and what people do with alerts."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.alerting.judge import Judge
from sisy.alerting.text import text_of
from sisy.models import Alert, RunState, Task, task_with_callable
from sisy.models.outbox import OutboxMessage
from sisy.runtime.loop import Turn
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.watched import IDLE
from tests.support.hostile import STORABLE
from tests.support.moments import DAY, HOUR, MINUTE, SECOND

pytestmark = pytest.mark.django_db


def fail_all(site, number):
    """Let the latest run of so many new tasks fail, as workers record it."""
    tasks = Task.objects.bulk_create(
        task_with_callable(jobs.noop, label=f"task {n}", schedule=IDLE) for n in range(number)
    )
    for task in tasks:
        task.pk = task.pk or Task.objects.get(label=task.label).pk
        site.fail(Task.objects.get(pk=task.pk))
    return tasks


def test_a_mass_failure_is_one_message_and_its_end_another(site, monkeypatch):
    monkeypatch.setattr("sisy.alerting.notifying.MAX_LISTED", 50)
    tasks = fail_all(site, 40)
    site.later(40)
    tasks += fail_all(site, 15)
    site.later(100)
    assert Alert.objects.open().count() == 55
    [(event, about)] = site.told()
    assert (event, len(about)) == ("digest", 51)
    assert about[-1] == ("more alerts", "")
    for task in tasks:
        site.run(Task.objects.get(pk=task.pk))
    site.restart()
    site.later(150)
    assert site.open_kinds() == []
    assert [event for event, _ in site.told()] == ["digest", "digest"]
    payload = OutboxMessage.objects.order_by("pk").last().payload
    assert all(notice["ended_at"] for notice in payload["notices"])


def test_the_message_about_an_open_alert_contains_the_note_of_its_task(site):
    [task] = fail_all(site, 1)
    Task._base_manager.filter(pk=task.pk).update(note="Call Ann.")
    site.later(45)
    [opened] = OutboxMessage.objects.all()
    assert opened.payload["notices"][0]["note"] == "Call Ann."
    assert "Note: Call Ann.\n" in text_of(opened).plain
    site.run(Task.objects.get(pk=task.pk))
    site.restart()
    site.later(45)
    over = OutboxMessage.objects.order_by("pk").last()
    assert (over.event, over.payload["notices"][0]["note"]) == ("recovered", "")


def test_up_to_ten_alerts_have_a_message_each(site):
    fail_all(site, 10)
    site.later(45)
    assert [event for event, _ in site.told()] == ["opened"] * 10


def test_a_recovery_names_the_message_that_told_of_the_problem(site):
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    site.run(task)
    site.later(40)
    opened, over = OutboxMessage.objects.order_by("pk")
    assert opened.payload["notices"][0]["thread"] == ""
    assert over.payload["notices"][0]["thread"] == opened.key


def test_a_problem_that_recurs_within_ten_minutes_reopens_without_a_message(site):
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    for _ in range(4):
        site.run(task)
        site.later(60)
        site.fail(task)
        site.later(60)
    assert site.open_kinds() == ["failing"]
    alert = Alert.objects.get()
    assert alert.reopened == 2  # the task flaps since then, so its alert stays open
    assert [event for event, _ in site.told()] == ["opened", "recovered"]


def test_a_task_that_flaps_has_one_alert_one_message_and_one_recovery(site):
    task = site.idle_task(label="import")
    for _ in range(2):
        site.fail(task)
        site.later(45)
        site.run(task)
        site.later(45)
        site.asleep(11 * MINUTE)
    before = len(site.told())
    for _ in range(4):
        site.fail(task)
        site.later(45)
        site.restart()
        site.run(task)
        site.later(45)
        site.asleep(11 * MINUTE)
        site.later(20)
        assert site.open_kinds() == ["failing"]
    assert [event for event, _ in site.told()[before:]] == ["opened"]
    alert = Alert.objects.open().get()
    assert alert.why == "It fails intermittently. 3 of the last 5 runs failed: KeyError."
    assert alert.reopened == 0
    for _ in range(9):
        assert site.open_kinds() == ["failing"]
        site.run(task)
        site.later(35)
    assert site.open_kinds() == []
    assert [event for event, _ in site.told()[before:]] == ["opened", "recovered"]
    alert.refresh_from_db()
    assert alert.close_reason == "The last 10 runs succeeded."


def test_a_function_that_flaps_has_one_alert_until_ten_runs_succeed(site):
    def call(state=RunState.SUCCEEDED):
        Task.run_once(jobs.noop)
        [run] = claim(site.worker, ["default"], 1, site.now)
        site.finish(run, state)
        site.later(35)

    for _ in range(3):
        call(RunState.FAILED)
        call()
    assert site.open_kinds() == ["failing"]
    site.asleep(10 * MINUTE)
    for _ in range(9):
        assert site.open_kinds() == ["failing"]
        call()
    assert site.open_kinds() == []


def test_a_function_that_flaps_less_often_keeps_its_alert(site):
    def call(*states):
        for state in states:
            Task.run_once(jobs.noop)
            [run] = claim(site.worker, ["default"], 1, site.now)
            site.finish(run, state)
        site.later(35)

    well, badly = RunState.SUCCEEDED, RunState.FAILED
    call(badly, well, badly, well, badly)
    for _ in range(2):
        call(*[well] * 9)
        call(badly)
        assert site.open_kinds() == ["failing"]
    call(well)
    assert site.open_kinds() == ["failing"]
    assert Alert.objects.get().reopened == 0


def test_many_runs_in_a_minute_do_not_end_an_alert_that_flaps(site):
    task = site.idle_task()
    site.fail(task)
    site.run(task)
    site.fail(task)
    site.run(task)
    site.fail(task)
    site.later(45)
    assert site.open_kinds() == ["failing"]
    for _ in range(45):
        site.run(task)
    site.later(35)
    assert site.open_kinds() == ["failing"]
    assert [event for event, _ in site.told()] == ["opened"]
    site.asleep(10 * MINUTE)
    site.later(60)
    assert site.open_kinds() == []
    assert [event for event, _ in site.told()] == ["opened", "recovered"]


def test_a_task_whose_failures_are_over_within_a_round_flaps(site):
    task = site.idle_task()
    for _ in range(3):
        site.fail(task)
        site.run(task)
    site.later(45)
    assert site.open_kinds() == ["failing"]


def test_an_alert_that_opens_again_names_the_run_that_failed_last(site):
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    site.run(task)
    site.later(45)
    run = site.run(task, RunState.FAILED, error_class="builtins.OSError")
    site.later(45)
    alert = Alert.objects.get()
    assert (alert.run_id, alert.evidence) == (run.pk, run.pk)
    assert alert.why == "The latest run failed: OSError."


def test_a_reopened_alert_and_its_end_are_reported_only_if_they_last(site):
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    site.run(task)
    site.later(60)
    site.fail(task)
    site.later(11 * 60)
    assert [event for event, _ in site.told()] == ["opened", "recovered", "opened"]
    site.run(task)
    site.later(60)
    assert len(site.told()) == 3
    site.later(10 * 60)
    assert [event for event, _ in site.told()] == ["opened", "recovered", "opened", "recovered"]


def test_a_problem_that_recurs_later_is_a_new_alert(site):
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    site.run(task)
    site.later(45)
    site.asleep(11 * MINUTE)
    site.fail(task)
    site.later(60)
    assert Alert.objects.count() == 2
    assert [event for event, _ in site.told()] == ["opened", "recovered", "opened"]


def test_a_muted_alert_sends_no_message_until_that_moment(site):
    task = site.idle_task()
    site.fail(task)
    while not Alert.objects.open():
        site.later(1)
    assert Alert.objects.open().mute(site.now + 5 * MINUTE, "ann") == 1
    site.later(240)
    assert site.told() == []
    site.later(90)
    assert [event for event, _ in site.told()] == ["opened"]


def test_the_end_of_a_muted_alert_is_not_told_and_the_next_one_is_muted_too(site):
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    Alert.objects.open().mute(site.now + HOUR, "ann")
    site.run(task)
    site.later(60)
    site.asleep(15 * MINUTE)
    site.fail(task)
    site.later(60)
    assert [event for event, _ in site.told()] == ["opened"]
    assert Alert.objects.first().muted_by == "ann"
    assert Alert.objects.open().unmute(site.now) == 1
    site.later(60)
    assert [event for event, _ in site.told()] == ["opened", "opened"]


def test_an_alert_is_acknowledged_once(site):
    site.fail(site.idle_task())
    site.later(45)
    assert Alert.objects.acknowledge("ann", site.now) == 1
    assert Alert.objects.acknowledge("bob", site.now) == 0
    assert Alert.objects.get().acknowledged_by == "ann"


def test_an_alert_that_a_person_closed_opens_again_only_with_new_evidence(site):
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    assert Alert.objects.close("ann", site.now) == 1
    site.restart()
    site.later(90)
    assert site.open_kinds() == []
    assert [event for event, _ in site.told()] == ["opened"]
    site.fail(task)
    site.later(45)
    assert site.open_kinds() == ["failing"]
    closed = Alert.objects.closed().get()
    assert (closed.closed_by, closed.close_reason) == ("ann", "Closed by ann.")


def test_a_problem_that_outlasts_its_closed_alert_keeps_its_start(site):
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    began = site.now - HOUR
    Alert.objects.update(since=began)
    Alert.objects.close("ann", site.now)
    site.fail(task)
    site.later(45)
    assert Alert.objects.open().get().since == began


def test_a_problem_that_recurs_after_its_alert_was_closed_has_a_new_start(site):
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    Alert.objects.close("ann", site.now)
    site.later(45)
    site.run(task)
    site.fail(task)
    site.later(45)
    opened = Alert.objects.open().get()
    assert opened.since > Alert.objects.closed().get().closed_at


def test_a_slow_run_whose_alert_a_person_closed_stays_closed(site):
    task = site.idle_task(expected_duration=MINUTE)
    site.start(task)
    site.later(100)
    Alert.objects.close("ann", site.now)
    site.later(60)
    assert site.open_kinds() == []


def test_hostile_labels_are_told_harmlessly(site):
    task = site.idle_task()
    Task._base_manager.filter(pk=task.pk).update(label=STORABLE[:255])
    task = Task.objects.get(pk=task.pk)
    site.fail(task)
    site.later(45)
    alert = Alert.objects.get()
    assert str(alert).isprintable()
    [(_, [(_, what)])] = site.told()
    assert what.isprintable()


def test_closed_alerts_are_deleted_with_old_history(site, settings):
    settings.SISY_HISTORY_DAYS = 2
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    site.run(task)
    site.later(45)
    site.asleep(2 * DAY - HOUR)
    site.later(60)
    assert Alert.objects.count() == 1
    site.asleep(2 * HOUR)
    site.later(60)
    assert Alert.objects.count() == 0


def test_an_idle_round_is_one_statement_however_much_there_is(site):
    for _ in range(3):
        site.run(site.idle_task())
    judge = Judge("default")
    judge.go_on(site.now, may_judge=True)
    judge.next_at = None
    with CaptureQueriesContext(connection) as queries:
        judge.go_on(site.now + SECOND, may_judge=True)
    assert len(queries) == 1, [query["sql"] for query in queries]


def test_one_bad_judge_does_not_stop_the_others(site, monkeypatch):
    def explode(watch):
        raise RuntimeError("a bug")

    monkeypatch.setattr("sisy.alerting.broken.judge_broken", explode)
    Task._base_manager.filter(pk=site.idle_task().pk).update(state="broken")
    site.fail(site.idle_task())
    site.later(45)
    assert site.open_kinds() == ["failing"]


def test_the_states_that_are_never_judged_are_left_alone(site):
    task = site.idle_task()
    run = task.run_now()
    run.cancel()
    site.fail(task)
    site.later(45)
    from sisy.models import TroubledRun

    judged = dict(TroubledRun.objects.values_list("state", "is_judged"))
    assert judged == {RunState.CANCELLED: False, RunState.FAILED: True}


def test_a_message_about_very_many_alerts_describes_some_of_them(site, monkeypatch):
    monkeypatch.setattr("sisy.alerting.text.MAX_DESCRIBED", 5)
    fail_all(site, 12)
    site.later(100)
    text = text_of(OutboxMessage.objects.get())
    assert "12 alerts: failing 12" in text.subject
    assert (
        "Showing the first 5 of 12 alerts. To see all of them: manage.py sisy_alerts list"
        in text.plain
    )
    assert text.plain.count("Failing: task") == 5


def test_a_slow_step_does_not_keep_the_others_from_their_turn(site):
    task = site.idle_task(start_within=5 * SECOND, expected_duration=MINUTE)
    site.fail(site.idle_task())
    task.run_now()
    judge, passes = Judge("default"), 0
    judge._since = site.now - HOUR
    while judge.next_at is None:
        judge.go_on(site.now + MINUTE, Turn(0), may_judge=True)
        passes += 1
    assert site.open_kinds() == ["failing", "late"]
    assert passes > 1
