"""What does the list of queues show, and how are they paused?"""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.models import Process, Queue, Role, Run, task_with_callable
from tests.admin.pages import QUEUES, RUNS, messages_of, page_of, rows_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import NOON

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def saved(queue, label="sweep"):
    task = task_with_callable("tests.app.jobs.noop", label=label, queue=queue)
    task.save()
    return task


def worker(*queues, now=NOON):
    process = Process.join(
        Role.WORKER, using="default", now=now, lease=timedelta(seconds=30), queues=queues
    )
    return str(process)


def rows(browser=None):
    return rows_of((browser or browser_of("view_queue")).get(QUEUES))


def do(browser, verb, name):
    page = browser.post(f"{QUEUES}do/{verb}/", {"name": name}, follow=True)
    return messages_of(page)


def test_a_row_says_what_waits_since_when_what_goes_on_and_who_serves():
    task = saved("mail")
    for minutes in (5, 3):
        Run.of(task, now=NOON, ready_at=NOON - timedelta(minutes=minutes)).save()
    Run.of(task, now=NOON, state="running").save()
    Run.of(task, now=NOON, state="failed").save()
    name = worker("mail")
    assert rows() == [f"mail open 2 11:55:00 5 minutes ago 1 {name}"]


def test_every_queue_is_listed_that_a_task_a_run_a_worker_or_a_pause_names():
    saved("of-a-task")
    run = Run.of(saved("default"), now=NOON)
    run.queue = "of-a-run"
    run.save()
    worker("of-a-worker")
    Queue.objects.pause("of-a-pause")
    names = [row.split()[0] for row in rows()]
    assert names == ["default", "of-a-pause", "of-a-run", "of-a-task", "of-a-worker"]


def test_a_queue_that_nobody_serves_says_so():
    saved("mail")
    worker("mail", now=NOON - timedelta(hours=1))
    assert rows() == ["mail no worker 0 - 0 -"]


def test_of_many_workers_some_are_named():
    names = [worker("mail") for _ in range(5)]
    [row] = rows()
    assert row == f"mail open 0 - 0 {' '.join(names[:3])} and 2 more"


def test_a_queue_is_paused_and_resumed_and_says_who_did_it_and_since_when():
    saved("mail")
    browser = browser_of_superuser()
    assert rows(browser) == ["mail no worker Pause 0 - 0 -"]
    assert do(browser, "pause", "mail") == ["No worker takes further runs of the queue 'mail'."]
    assert rows(browser) == ["mail paused 12:00:00 now by Sam Resume 0 - 0 -"]
    assert do(browser, "resume", "mail") == ["Workers take the runs of the queue 'mail' again."]
    assert not Queue.objects.paused().exists()
    said = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert said == ["Paused.", "Resumed."]


def test_a_pause_that_stands_keeps_its_reason_and_is_no_second_one():
    Queue.objects.pause("mail", "the server is down")
    do(browser_of_superuser(), "pause", "mail")
    assert Queue.objects.get().pause_reason == "the server is down"
    assert not LogEntry.objects.exists()


def test_numbers_lead_to_the_runs_that_they_count():
    Run.of(saved("mail"), now=NOON).save()
    Run.of(saved("other", "b"), now=NOON).save()
    browser = browser_of_superuser()
    query = {"queue": "mail", "state__exact": "waiting"}
    link = f'href="{RUNS}?queue=mail&amp;state__exact=waiting"'
    assert link in browser.get(QUEUES).content.decode()
    assert [row.split()[0] for row in rows_of(browser.get(RUNS, query))] == ["sweep"]


def test_a_name_that_no_queue_can_have_is_refused_by_its_sentence():
    for name in ("", "no blanks", "x" * 61):
        [said] = do(browser_of_superuser(), "pause", name)
        assert "queue" in said
    assert not Queue.objects.exists()


def test_looking_and_pausing_need_their_permissions():
    saved("mail")
    assert browser_of("view_task", "pause_task").get(QUEUES).status_code == 403
    assert browser_of("view_queue").get(QUEUES).status_code == 200
    assert "Pause" not in rows(browser_of("view_queue"))[0]
    for permission in ("view_queue", "pause_task"):
        browser = browser_of(permission)
        assert browser.post(f"{QUEUES}do/pause/", {"name": "mail"}).status_code == 403
    browser = browser_of("view_queue", "pause_task")
    assert browser.get(f"{QUEUES}do/pause/", {"name": "mail"}).status_code == 403
    assert browser.post(f"{QUEUES}do/delete/", {"name": "mail"}).status_code == 403
    assert not Queue.objects.exists()
    do(browser, "pause", "mail")
    assert Queue.objects.get().paused_by == "Pat"


def test_nobody_adds_changes_or_deletes_rows_by_hand():
    Queue.objects.pause("mail")
    queue, browser = Queue.objects.get(), browser_of_superuser()
    assert browser.get(f"{QUEUES}add/").status_code == 403
    assert browser.post(page_of(queue), {"name": "other"}).status_code == 403
    assert browser.post(f"{QUEUES}{queue.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "Paused: 12:00:00 now" in text_of(browser.get(page_of(queue)))


def test_fifty_queues_cost_no_more_queries_than_one():
    browser = browser_of("view_queue")
    Run.of(saved("one"), now=NOON).save()
    with CaptureQueriesContext(connection) as few:
        browser.get(QUEUES)
    for number in range(49):
        Run.of(saved(f"q{number}"), now=NOON).save()
    with CaptureQueriesContext(connection) as many:
        browser.get(QUEUES)
    assert len(many) == len(few)


def test_no_queues_is_said():
    assert "No task, run or worker names a queue yet." in text_of(
        browser_of_superuser().get(QUEUES)
    )
