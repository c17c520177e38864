"""What people do by the dashboard's buttons with tasks, runs and queues, and what it says."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sisy.heartbeat import tick
from sisy.models import Process, Queue, Role, Run, Task
from tests.admin.pages import history_of, messages_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.dashboard.pressing import press
from tests.roles.steps import LEASE
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def do(kind, verb, *rows, **fields):
    """Press a button for rows and return what the next page says."""
    data = {"pk": [row.pk for row in rows], **fields}
    return messages_of(press(browser_of_superuser(), f"/sisy/{kind}/do/{verb}/", data))


def run_of(label="sweep", state="queued", **columns):
    """Return a run of a new task, due just now."""
    run = scheduled(label=label).new_run(now=NOON, due_at=NOON, state=state, **columns)
    run.save()
    return run


def test_run_now_submits_a_run_of_each_task():
    first, second = scheduled(label="first"), scheduled(label="second", userdata={"n": 1})
    run_of(state="succeeded", origin="manual", finished_at=NOON - HOUR)
    [message] = do("tasks", "run", first, second)
    assert message.startswith("Submitted 2 runs. ")
    [address] = re.findall(r'href="(.*?)"', message)
    page = browser_of_superuser().get(address.replace("&amp;", "&")).content.decode()
    assert page.count('id="run-') == 2
    runs = Run.objects.queued().order_by("pk")
    assert [(run.label, run.origin, run.state) for run in runs] == [
        ("first", "manual", "queued"),
        ("second", "manual", "queued"),
    ]
    assert runs[1].payload == {"n": 1}
    assert history_of(first) == [f"Submitted run {runs[0].pk}."]


def test_cancel_cancels_queued_runs_and_says_who_did_it():
    task = scheduled()
    tick("default", NOON + MINUTE)
    assert do("tasks", "cancel", task) == ["Cancelled 1 queued run."]
    run = Run.objects.get()
    assert (run.state, run.reason) == ("cancelled", "Cancelled by Sam.")
    assert history_of(task) == ["Cancelled 1 queued run."]


def test_cancel_asks_a_running_run_to_end_and_says_this_takes_time():
    task, other = scheduled(label="mine"), scheduled(label="other")
    for minute in (1, 2):
        tick("default", NOON + minute * MINUTE)
    going = task.runs.last()
    Run.objects.filter(pk=going.pk).update(state="running")
    assert do("tasks", "cancel", task) == [
        "Cancelled 1 queued run. Requested cancellation of 1 running run. The function is not "
        "async, so it stops at its next current_run().check()."
    ]
    going.refresh_from_db()
    assert (going.state, going.cancel_reason) == ("running", "Cancelled by Sam.")
    assert {run.state for run in other.runs.all()} == {"queued"}


def test_the_task_page_totals_its_outcomes_including_pruned_runs():
    task = scheduled(missed="skip")
    tick("default", NOON + HOUR)
    Task.objects.filter(pk=task.pk).update(pruned={"succeeded": 1200, "dreaming": 1})
    page = text_of(browser_of_superuser().get(f"/sisy/tasks/{task.pk}/?parts=head"))
    assert "Totals … queued 1 ✓ succeeded 1,200 ◌ missed 59" in page


def buttons(run, browser=None):
    page = (browser or browser_of_superuser()).get(f"/sisy/runs/{run.pk}/?parts=head")
    return re.findall(r"/do/(\w+)/", page.content.decode())


def test_the_page_of_a_run_has_the_buttons_that_fit_it():
    assert buttons(run_of()) == ["cancel"]
    assert buttons(run_of(state="failed")) == ["retry"]
    assert buttons(run_of(state="succeeded")) == ["retry"]
    going = run_of(state="running")
    assert buttons(going) == ["cancel", "cancel_force"]
    going.cancel()
    assert buttons(going) == ["cancel_force"]
    going.cancel(by_force=True)
    assert buttons(going) == []


def test_a_row_for_several_occurrences_has_no_retry():
    assert buttons(run_of(state="missed", due_until=NOON + HOUR, count=59)) == []


def test_a_runs_page_shows_only_permitted_buttons():
    going, ended = run_of(state="running"), run_of(state="failed")
    canceller = browser_of("view_task", "cancel_run")
    assert buttons(going, canceller) == ["cancel", "cancel_force"]
    assert buttons(ended, canceller) == []
    runner = browser_of("view_task", "run_task")
    assert buttons(going, runner) == []
    assert buttons(ended, runner) == ["retry"]


def test_an_outdated_button_explains_why_it_does_nothing():
    run = run_of(state="running")
    refusal = f"sweep #{run.pk} is running. Only finished runs can be retried."
    assert do("runs", "retry", run) == [refusal, "No runs were retried."]


def test_a_button_needs_the_token_of_its_page():
    run = run_of()
    browser_of_superuser()
    stranger = Client(enforce_csrf_checks=True)
    stranger.force_login(User.objects.get(username="Sam"))
    assert stranger.post("/sisy/runs/do/cancel/", {"pk": run.pk}).status_code == 403
    run.refresh_from_db()
    assert run.state == "queued"
    assert b"csrfmiddlewaretoken" in stranger.get(f"/sisy/runs/{run.pk}/").content


def test_a_run_that_was_asked_to_end_says_so_until_it_does():
    run = run_of(state="running", started_at=NOON)
    run.cancel("too slow")
    page = browser_of_superuser().get(f"/sisy/runs/{run.pk}/?parts=head")
    assert "running cancel requested" in text_of(page)
    assert 'title="too slow"' in page.content.decode()
    run.cancel("at once", by_force=True)
    page = browser_of_superuser().get(f"/sisy/runs/{run.pk}/?parts=head")
    assert "running force cancel requested" in text_of(page)
    listed = text_of(browser_of_superuser().get("/sisy/runs/?parts=list"))
    assert "running force cancel requested" in listed


def test_a_retry_links_to_the_run_it_repeats_even_without_a_task():
    failed = run_of(state="failed")
    again = failed.retry()
    failed.task.delete()
    page = browser_of_superuser().get(f"/sisy/runs/{failed.pk}/?parts=related")
    assert f'Retried by</dt><dd><a href="/sisy/runs/{again.pk}/"' in page.content.decode()
    page = browser_of_superuser().get(f"/sisy/runs/{again.pk}/?parts=head")
    assert "for 12:00:00" in text_of(page)


def queues():
    page = browser_of("view_task").get("/sisy/fleet/?parts=queues").content.decode()
    return re.findall(r'id="queue-(.*?)"', page)


def test_every_queue_is_listed_that_a_task_a_run_a_worker_or_a_pause_names():
    scheduled(queue="of-a-task")
    run = scheduled().new_run(now=NOON)
    run.queue = "of-a-run"
    run.save()
    Process.join(Role.WORKER, using="default", now=NOON, lease=LEASE, queues=("of-a-worker",))
    Queue.objects.pause("of-a-pause")
    assert queues() == ["default", "of-a-pause", "of-a-run", "of-a-task", "of-a-worker"]


def test_a_queue_that_no_living_worker_serves_says_so():
    scheduled(queue="mail")
    Process.join(Role.WORKER, using="default", now=NOON - HOUR, lease=LEASE, queues=("mail",))
    page = text_of(browser_of("view_task").get("/sisy/fleet/?parts=queues"))
    assert "mail ! no worker 0 - 0 0" in page


def test_tasks_and_queues_are_paused_for_a_while():
    task, end = scheduled(label="tariff", queue="mail"), NOON + 8 * HOUR
    [said] = do("tasks", "pause", task, reason="moving", hours="8")
    assert said == "Paused 1 task. Sisy resumes it at 2026-05-05 20:00:00 UTC."
    task.refresh_from_db()
    assert (task.state, task.paused_until) == ("paused", end)
    assert history_of(task) == ["Paused until 2026-05-05T20:00:00+00:00: moving"]
    do("queues", "pause", name="mail", hours="8")
    assert Queue.objects.get().paused_until == end
    tasks, fleet = (browser_of("view_task").get(f"/sisy/{page}/") for page in ("tasks", "fleet"))
    assert "paused until 20:00:00" in text_of(tasks)
    assert "until 20:00:00 by Sam" in text_of(fleet)


@pytest.mark.parametrize("hours", ["", "0", "-1", "3", "1e9", "forever"])
def test_a_pause_for_an_unknown_time_lasts_until_it_is_resumed(hours):
    task = scheduled()
    do("tasks", "pause", task, hours=hours)
    task.refresh_from_db()
    assert (task.state, task.paused_until) == ("paused", None)


def test_an_empty_list_of_queues_says_so():
    page = text_of(browser_of("view_task").get("/sisy/fleet/?parts=queues"))
    assert "No queues yet." in page


def test_the_history_of_a_queue_names_who_paused_and_resumed_it():
    scheduled(queue="mail")
    do("queues", "pause", name="mail", reason="too hot")
    assert Queue.objects.values_list("paused_by", "pause_reason").get() == ("Sam", "too hot")
    do("queues", "pause", name="mail", reason="another one")
    assert Queue.objects.get().pause_reason == "too hot"
    do("queues", "resume", name="mail")
    assert history_of(Queue.objects.get()) == ["Paused.", "Resumed."]


def test_a_message_names_a_moment_in_the_zone_that_the_reader_chose():
    browser = browser_of_superuser()
    browser.cookies["sisy_zone"], browser.cookies["sisy_my_zone"] = "mine", "Asia/Tokyo"
    form = {"pk": scheduled().pk, "hours": "1"}
    answer = browser.post("/sisy/tasks/do/pause/", form, follow=True)
    [said] = messages_of(answer)
    assert said == "Paused 1 task. Sisy resumes it at 2026-05-05 22:00:00 JST."
