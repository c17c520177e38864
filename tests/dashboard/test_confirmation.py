"""Actions that change much, or cannot be undone, ask first."""

import pytest

from sisy.models import Process, Queue, Role, Run, Task
from tests.admin.pages import messages_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.dashboard.pressing import press, question_of
from tests.roles.steps import LEASE
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def labels(count=3):
    """Return a task with some queued runs."""
    task = scheduled(label="labels", overlap="allow")
    for hours in range(count):
        task.new_run(now=NOON, due_at=NOON - hours * HOUR).save()
    return task


def worker(*queues):
    return Process.join(Role.WORKER, using="default", now=NOON, lease=LEASE, queues=queues)


def asked(kind, verb, *rows, **fields):
    data = {"pk": [row.pk for row in rows], **fields}
    return browser_of_superuser().post(f"/sisy/{kind}/do/{verb}/", data)


def test_cancelling_the_runs_of_a_task_asks_with_their_number():
    task = labels()
    text = text_of(asked("tasks", "cancel", task))
    assert "Cancel 3 runs?" in text
    assert "3 queued" in text
    assert "due from 2026-05-05 10:00:00 to 2026-05-05 12:00:00" in text
    assert "labels: 3" in text
    assert set(Run.objects.values_list("state", flat=True)) == {"queued"}


def test_the_button_of_the_question_does_what_it_says():
    task, client = labels(), browser_of_superuser()
    form = {"pk": task.pk, "next": "/sisy/runs/"}
    page = press(client, "/sisy/tasks/do/cancel/", form)
    assert messages_of(page) == ["Cancelled 3 queued runs."]
    assert page.request["PATH_INFO"] == "/sisy/runs/"


def test_the_question_leads_back_to_the_page_of_the_form():
    task = labels()
    page = asked("tasks", "cancel", task, next=f"/sisy/tasks/{task.pk}/").content.decode()
    assert f'<a class="sisy-button" href="/sisy/tasks/{task.pk}/">Back</a>' in page
    # The menu of time zones leads to a page that can be opened, too.
    assert f'name="next" value="/sisy/tasks/{task.pk}/"' in page
    assert "/sisy/tasks/do/cancel/" not in page


def test_an_action_that_changes_nothing_does_not_ask():
    task = scheduled()
    assert asked("tasks", "cancel", task).status_code == 302
    assert asked("tasks", "back_to_code", task).status_code == 302


def test_cancelling_a_run_asks_and_says_what_force_does():
    run = scheduled(label="sweep").new_run(now=NOON, due_at=NOON, state="running")
    run.started_at = NOON - MINUTE
    run.save()
    text = text_of(asked("runs", "cancel", run))
    assert "<time" not in text
    assert f"Cancel 1 run? #{run.pk} sweep: running since 11:59:00, 1 min ago" in text
    forced = text_of(asked("runs", "cancel_force", run))
    assert "Force cancel 1 run?" in forced
    assert "Runs in a process pool are killed" in forced
    run.refresh_from_db()
    assert run.cancel_requested_at is None


@pytest.mark.parametrize("verb", ["run", "pause", "resume"])
def test_an_action_on_tasks_asks_only_if_they_are_several(verb):
    first, second = scheduled(label="first"), scheduled(label="second")
    text = text_of(asked("tasks", verb, first, second))
    assert "2 tasks" in text
    assert "first second" in text
    assert (Run.objects.count(), Task.objects.filter(state="active").count()) == (0, 2)
    assert asked("tasks", verb, first).status_code == 302


def test_a_question_keeps_the_reason_and_the_end_of_a_pause():
    tasks = [scheduled(label="first"), scheduled(label="second")]
    fields = question_of(asked("tasks", "pause", *tasks, reason='"moving" & co', hours="8"))
    assert fields["reason"] == ['"moving" & co']
    assert fields["hours"] == ["8"]
    assert fields["pk"] == [str(task.pk) for task in tasks]


def test_several_retries_ask_and_one_does_not():
    task = labels()
    Run.objects.update(state="failed")
    runs = list(Run.objects.order_by("pk"))
    text = text_of(asked("runs", "retry", *runs))
    assert "Retry 3 runs?" in text
    assert "3 failed labels: 3" in text
    assert task.runs.count() == 3
    assert asked("runs", "retry", runs[0]).status_code == 302


def test_a_question_about_runs_in_a_state_of_a_newer_version_names_it():
    labels(2)
    Run.objects.update(state="frozen")
    assert "2 frozen" in text_of(asked("runs", "retry", *Run.objects.all()))


def test_draining_the_only_worker_of_a_queue_names_the_queue():
    only, other = worker("default", "mail"), worker("mail")
    text = text_of(asked("processes", "drain", only))
    assert "No other worker serves the queue 'default'." in text
    assert "'mail'" not in text
    assert "Drain 1 worker" in text
    assert "No other worker serves the queue 'mail'." in text_of(
        asked("processes", "drain", only, other)
    )
    only.refresh_from_db()
    assert only.drain_requested_at is None


def test_a_worker_that_drains_serves_no_queue_in_the_question():
    only, draining = worker("default"), worker("default")
    draining.request_drain(NOON)
    assert "queue 'default'" in text_of(asked("processes", "drain", only))


def test_a_queue_whose_only_worker_drains_is_not_called_served():
    only = worker("default")
    scheduled()
    only.request_drain(NOON)
    page = text_of(browser_of("view_task").get("/sisy/fleet/"))
    assert "default ◔ draining" in page
    assert "free" not in page
    worker("default")
    assert "default ● served" in text_of(browser_of("view_task").get("/sisy/fleet/"))


def test_a_question_needs_the_permission_of_its_action():
    task = labels()
    client = browser_of("view_task", "run_task")
    assert client.post("/sisy/tasks/do/cancel/", {"pk": task.pk}).status_code == 403


def test_a_pause_of_a_queue_needs_no_second_question():
    scheduled(queue="mail")
    browser_of_superuser().post("/sisy/queues/do/pause/", {"name": "mail"})
    assert Queue.objects.get().paused_at == NOON


def test_a_retry_and_a_manual_run_link_to_the_new_run():
    task, client = scheduled(label="sweep"), browser_of_superuser()
    page = client.post("/sisy/tasks/do/run/", {"pk": task.pk}, follow=True).content.decode()
    first = Run.objects.get()
    assert f'Submitted 1 run. <a href="/sisy/runs/{first.pk}/">Open run #{first.pk}</a>' in page
    Run.objects.update(state="failed")
    page = client.post("/sisy/runs/do/retry/", {"pk": first.pk}, follow=True).content.decode()
    again = Run.objects.latest("pk")
    assert f'<a href="/sisy/runs/{again.pk}/">Open run #{again.pk}</a>' in page
