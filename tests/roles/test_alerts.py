"""Each problem opens one alert and tells people once, and its end is told once."""

from datetime import timedelta

import pytest

from sisy.alerting.text import text_of
from sisy.models import Alert, Process, Role, RunState, Task
from sisy.models.outbox import OutboxMessage
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.watched import LEASE
from tests.support.moments import DAY, HOUR, MINUTE, SECOND

pytestmark = pytest.mark.django_db


def once(kind, what):
    """Return what is told about a problem: that it began, and that it is over."""
    return [("opened", [(kind, what)]), ("recovered", [(kind, what)])]


def test_a_failing_task_has_one_alert_and_one_recovery(site):
    task = site.idle_task(label="import")
    site.fail(task)
    site.later(45)
    assert site.open_kinds() == ["failing"]
    site.fail(task, times=3)
    site.later(90)
    site.restart()
    site.later(60)
    assert Alert.objects.count() == 1
    assert site.told() == once("failing", "import")[:1]
    site.run(task)
    site.later(60)
    site.restart()
    site.later(60)
    assert site.open_kinds() == []
    assert site.told() == once("failing", "import")


def test_the_alert_names_the_error_but_not_its_text(site):
    task = site.idle_task(label="import")
    run = site.run(task, RunState.FAILED, error="Traceback: KeyError: 'secret'", reason="KeyError")
    site.later(35)
    alert = Alert.objects.get()
    assert (alert.task_id, alert.run_id) == (task.pk, run.pk)
    assert alert.why == "The latest run failed: KeyError."
    assert str(run.pk) in alert.fix


@pytest.mark.parametrize(("failures", "kinds"), [(2, []), (3, ["failing"])])
def test_a_task_fails_as_often_in_a_row_as_alert_after_says(site, failures, kinds):
    task = site.idle_task(alert_after=3)
    site.fail(task, times=2)
    site.run(task)
    site.fail(task, times=failures)
    site.later(35)
    assert site.open_kinds() == kinds


def test_alert_after_zero_means_never(site):
    site.fail(site.idle_task(alert_after=0), times=5)
    site.later(60)
    assert site.open_kinds() == []


def test_a_project_can_set_alert_after_for_all_tasks(site, settings):
    settings.SISY_ALERT_AFTER = 2
    task = site.idle_task()
    site.fail(task)
    site.later(35)
    assert site.open_kinds() == []
    site.fail(task)
    site.later(35)
    assert site.open_kinds() == ["failing"]


def test_runs_without_a_task_are_grouped_by_their_function(site):
    def fail_once():
        Task.run_once(jobs.noop)
        [run] = claim(site.worker, ["default"], 1, site.now)
        site.finish(run, RunState.FAILED)

    for _ in range(3):
        fail_once()
        site.later(35)
    assert site.told() == once("failing", "tests.app.jobs.noop")[:1]
    assert Alert.objects.get().subject == "call:tests.app.jobs.noop"
    Task.run_once(jobs.noop)
    [run] = claim(site.worker, ["default"], 1, site.now)
    site.finish(run)
    site.later(60)
    assert site.told() == once("failing", "tests.app.jobs.noop")


def test_an_alert_about_a_function_closes_after_a_day_without_a_failure(site):
    Task.run_once(jobs.noop)
    [run] = claim(site.worker, ["default"], 1, site.now)
    site.finish(run, RunState.FAILED)
    site.later(40)
    assert site.open_kinds() == ["failing"]
    site.asleep(DAY)
    site.later(60)
    assert site.open_kinds() == []


def test_a_run_that_takes_too_long_opens_an_alert_while_it_is_running(site):
    task = site.idle_task(label="invoices", expected_duration=20 * MINUTE)
    run = site.start(task)
    site.asleep(20 * MINUTE - SECOND)
    site.later(1)
    assert site.open_kinds() == []
    site.later(60)
    site.restart()
    site.later(60)
    assert site.told() == once("too slow", "invoices")[:1]
    alert = Alert.objects.get()
    assert (alert.run_id, alert.since) == (run.pk, run.started_at + 20 * MINUTE)
    site.finish(run)
    site.later(60)
    assert site.told() == once("too slow", "invoices")
    assert Alert.objects.get().close_reason == "The run has ended: succeeded."


def test_a_short_expectation_is_checked_more_often(site):
    task = site.idle_task(expected_duration=4 * SECOND)
    site.later(31)
    run = site.start(task)
    site.later(7)
    assert site.open_kinds() == ["slow"]
    site.finish(run)
    site.later(15)
    assert site.open_kinds() == []


def test_a_run_that_does_not_start_in_time_is_late(site):
    task = site.idle_task(label="mail", start_within=2 * MINUTE)
    run = task.run_now()
    site.later(115)
    assert site.open_kinds() == []
    site.later(60)
    assert site.told() == once("late", "mail")[:1]
    [started] = claim(site.worker, ["default"], 1, site.now)
    site.later(60)
    assert started.pk == run.pk
    assert site.told() == once("late", "mail")
    assert Alert.objects.get().close_reason == "The run has started."


def test_many_tasks_with_start_within_are_judged_too(site, monkeypatch):
    monkeypatch.setattr("sisy.alerting.late.MAX_TASKS", 2)
    tasks = [site.idle_task(start_within=MINUTE, label=f"{n}") for n in range(4)]
    tasks[2].run_now()
    site.later(120)
    assert [alert.label for alert in Alert.objects.open()] == ["2"]


def test_a_task_with_many_queued_runs_hides_no_other_that_is_late(site, monkeypatch):
    monkeypatch.setattr("sisy.alerting.late.MAX_QUEUED", 3)
    many = site.idle_task(label="many", start_within=MINUTE, overlap="buffer_all")
    other = site.idle_task(label="other", start_within=MINUTE)
    for task in (*[many] * 7, other):
        task.run_now()
    site.later(120)
    assert {alert.label for alert in Alert.objects.open().filter(kind="late")} == {"many", "other"}
    site.later(60)
    assert site.open_kinds().count("late") == 2


def test_a_task_without_success_is_silent(site):
    task = site.idle_task(label="backup", success_every=HOUR)
    site.run(task)
    site.later(35)
    for _ in range(2):
        site.asleep(26 * MINUTE)
        site.later(6 * 60)
    assert site.told() == once("silent", "backup")[:1]
    site.restart()
    site.later(60)
    site.run(task)
    site.later(60)
    assert site.told() == once("silent", "backup")


def test_a_success_of_an_earlier_run_ends_an_alert_about_a_silent_task(site):
    task = site.idle_task(label="backup", success_every=5 * MINUTE, overlap="allow")
    earlier = site.start(task)
    site.run(task)
    site.later(12 * 60)
    assert site.told() == once("silent", "backup")[:1]
    site.finish(earlier)
    site.later(60)
    assert site.told() == once("silent", "backup")


def test_a_paused_task_is_not_silent_and_the_time_restarts_with_it(site):
    task = site.idle_task(success_every=10 * MINUTE)
    site.later(35)
    task.pause()
    site.later(11 * 60)
    assert site.open_kinds() == []
    task.resume()
    site.later(9 * 60)
    assert site.open_kinds() == []
    site.later(2 * 60)
    assert site.open_kinds() == ["silent"]


def test_a_heartbeat_that_has_just_started_hides_no_silence_from_another(site):
    site.run(site.idle_task(label="backup", success_every=10 * MINUTE))
    site.later(9.5 * 60)
    site.restart(1)
    site.later(119)
    assert site.told() == once("silent", "backup")[:1]


def test_an_edit_of_success_every_applies_at_once(site):
    task = site.idle_task(success_every=DAY)
    site.later(6 * 60)
    Task.objects.filter(pk=task.pk).update(success_every=5 * MINUTE)
    site.later(35)
    assert site.open_kinds() == ["silent"]
    task.refresh_from_db()
    task.success_every = None
    task.save()
    site.later(35)
    assert site.open_kinds() == []


def test_a_failing_task_is_not_reported_again_as_silent(site):
    task = site.idle_task(success_every=5 * MINUTE)
    site.fail(task)
    site.later(11 * 60)
    assert site.open_kinds() == ["failing"]


def test_missed_occurrences_are_told_and_over_with_the_next_success(site):
    task = Task.run_iterations(jobs.noop, label="report", schedule="* * * * *", iterations=10_000)
    site.later(70)
    site.asleep(10 * MINUTE)
    site.later(60)
    assert "missed" in site.open_kinds()
    missed = Alert.objects.get(kind="missed")
    assert missed.label == "report"
    assert "occurrences were missed" in missed.why
    for run in claim(site.worker, ["default"], 10, site.now):
        if run.task_id == task.pk:
            site.finish(run)
    site.later(40)
    assert "missed" not in site.open_kinds()


def test_a_short_outage_is_not_a_reason_for_an_alert(site):
    Task.run_iterations(jobs.noop, schedule="* * * * * */10", iterations=10_000)
    site.later(15)
    site.asleep(50 * SECOND)
    site.later(5)
    assert not Alert.objects.filter(kind="missed").exists()


def test_an_alert_about_a_lost_run_closes_with_the_next_success(site):
    task = site.idle_task(label="import", on_lost="fail")
    run = site.start(task)
    Process.objects.filter(pk=site.worker.pk).update(end_reason="killed by signal 9")
    site.worker = site.join()
    site.later(60)
    assert site.told() == once("lost", "import")[:1]
    assert Alert.objects.get().run_id == run.pk
    site.run(task)
    site.later(60)
    assert site.told() == once("lost", "import")


def test_an_alert_about_a_broken_task_closes_when_it_is_fixed(site):
    task = site.idle_task(label="clean")
    Task._base_manager.filter(pk=task.pk).update(schedule="nonsense")
    Task._base_manager.filter(pk=task.pk).update(next_run=site.now)
    site.later(60)
    assert site.told() == once("broken", "clean")[:1]
    task.refresh_from_db()
    task.schedule = "0 0 1 1 *"
    task.save()
    site.later(60)
    assert site.told() == once("broken", "clean")


def test_a_task_whose_function_is_gone_is_broken_not_failing(site):
    task = site.idle_task(label="clean", alert_after=5)
    site.run(task, RunState.FAILED, reason="ImportError: no module", target_is_broken=True)
    site.later(45)
    assert site.open_kinds() == ["broken"]
    site.run(task)
    site.later(40)
    assert site.open_kinds() == []


def test_an_alert_about_a_queue_without_a_worker_closes_with_a_worker(site):
    site.idle_task(queue="gpu").run_now()
    site.later(55)
    assert site.open_kinds() == []
    site.later(60)
    assert site.told() == once("no worker", "gpu")[:1]
    site.join(queues=("gpu",))
    site.later(60)
    assert site.told() == once("no worker", "gpu")


def test_a_queue_whose_oldest_run_waits_too_long_has_an_alert(site, settings):
    settings.SISY_QUEUE_ALERT_SECONDS = 120
    task = site.idle_task()
    task.run_now()
    site.later(110)
    assert site.open_kinds() == []
    site.later(60)
    assert site.told() == once("queue delayed", "default")[:1]
    claim(site.worker, ["default"], 1, site.now)
    site.later(60)
    assert site.told() == once("queue delayed", "default")


def test_runs_that_wait_for_their_own_task_and_paused_queues_are_no_problem(site, settings):
    from sisy.models import Queue

    settings.SISY_QUEUE_ALERT_SECONDS = 60
    task = site.idle_task(overlap="buffer_all")
    site.start(task)
    task.run_now()
    site.idle_task(queue="later").run_now()
    Queue.objects.pause("later", by="ann")
    site.later(180)
    assert site.open_kinds() == []


def test_a_pause_does_not_count_as_waiting_once_the_queue_is_resumed(site):
    from sisy.models import Queue

    site.idle_task().run_now()
    Queue.objects.pause("default", by="ann")
    site.later(8 * 60)
    Queue.objects.resume("default")
    site.later(60)
    assert site.open_kinds() == []
    site.later(5 * 60)
    assert site.open_kinds() == ["queued"]


def test_an_alert_about_a_queue_that_is_paused_says_why_it_is_over(site):
    from sisy.models import Queue

    site.idle_task(queue="gpu").run_now()
    site.later(120)
    Queue.objects.pause("gpu", by="ann", until=site.now + 5 * MINUTE)
    site.later(60)
    assert site.told() == once("no worker", "gpu")
    assert Alert.objects.get().close_reason == "The queue is paused."
    site.later(6 * 60)
    assert site.open_kinds() == ["no_worker"]


def test_another_heartbeat_reports_the_death_of_a_heartbeat(site):
    dead = site.heartbeats.pop()
    host = Process.objects.filter(role=Role.HEARTBEAT).first().host
    site.later(80)
    assert site.told() == once("no heartbeat", host)[:1]
    assert "1 other heartbeat is running." in Alert.objects.get().why
    dead._lease._process = None
    from sisy.heartbeat import Heartbeat

    site.heartbeats.append(Heartbeat())
    site.later(60)
    assert site.told() == once("no heartbeat", host)


def test_a_heartbeat_that_was_restarted_after_a_crash_is_no_reason_for_an_alert(site):
    from sisy.heartbeat import Heartbeat

    site.heartbeats[0] = Heartbeat()
    site.later(90)
    assert site.open_kinds() == []


def test_a_deleted_task_has_no_alert_any_more(site):
    task = site.idle_task()
    site.fail(task)
    site.later(40)
    task.delete()
    site.later(40)
    assert site.open_kinds() == []


@pytest.mark.parametrize("by", [LEASE, 3 * HOUR, 40 * DAY])
def test_nothing_is_late_silent_or_dead_after_a_suspension(site, by, settings):
    settings.SISY_QUEUE_ALERT_SECONDS = 60
    late = site.idle_task(start_within=30 * SECOND)
    silent = site.idle_task(success_every=5 * MINUTE)
    site.run(silent)
    site.later(40)
    late.run_now()
    site.asleep(by)
    site.later(20)
    # What has waited gets its turn, as soon as the host is awake.
    for run in claim(site.worker, ["default"], 10, site.now):
        site.finish(run)
    site.run(silent)
    site.later(120)
    assert Alert.objects.exclude(kind="missed").count() == 0


def test_a_heartbeat_that_just_started_does_not_judge_what_is_late(site):
    task = site.idle_task(start_within=5 * SECOND, expected_duration=5 * SECOND)
    task.run_now()
    site.restart()
    site.later(9)
    assert site.open_kinds() == []
    site.later(timedelta(minutes=1).total_seconds())
    assert site.open_kinds() == ["late"]


def test_the_alert_about_missed_occurrences_says_when_no_heartbeat_ran(site):
    Task.run_iterations(jobs.noop, label="report", schedule="* * * * *", iterations=10_000)
    site.later(70)
    for heartbeat in site.heartbeats:
        heartbeat._lease.end()
    stopped = site.now
    site.asleep(10 * MINUTE)
    started = site.now
    site.restart()
    site.later(60)
    why = Alert.objects.get(kind="missed").why
    words = f"No heartbeat was running from {stopped:%Y-%m-%d %H:%M:%S} to {started:%H:%M:%S} UTC."
    assert words in why
    assert "No heartbeat planned" not in why
    [told] = OutboxMessage.objects.filter(payload__notices__0__kind="missed")
    assert words in text_of(told).plain


def test_the_alert_about_one_missed_occurrence_advises_a_retry(site):
    Task.run_iterations(
        jobs.noop, label="report", schedule="0 * * * *", iterations=9, missed="skip"
    )
    site.asleep(90 * MINUTE)
    site.later(60)
    alert = Alert.objects.get(kind="missed")
    assert alert.fix == f"To run it now, use 'manage.py sisy_runs retry {alert.run_id}'."
    assert alert.why.startswith("1 occurrence was missed: ")
