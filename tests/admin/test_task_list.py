"""What does the list of tasks show?"""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from sisy.heartbeat import tick
from sisy.models import Process, Queue, Role, Run, Task, task_with_callable
from tests.admin.pages import TASKS, messages_of, rows_of, text_of, titles_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import NOON

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def saved(label, schedule="*/5 * * * *", **fields):
    task = task_with_callable("tests.app.jobs.noop", label=label, schedule=schedule, **fields)
    task.save()
    return task


def start(role, *queues):
    Process.join(role, using="default", now=NOON, lease=timedelta(seconds=30), queues=queues)


def test_a_row_says_when_it_runs_in_words_and_when_next():
    saved("sweep", "0 9 * * fri", timezone="Europe/Berlin")
    [row] = rows_of(browser_of_superuser().get(TASKS))
    assert row == (
        "sweep 0 9 * * fri At 09:00, only on Friday (Europe/Berlin) active "
        "2026-05-08 07:00:00 in 2 days -"
    )


def test_a_row_says_how_the_latest_run_ended():
    task = saved("sweep", "* * * * *")
    tick("default", NOON + timedelta(minutes=1))
    Run.objects.update(state="failed", reason="ValueError: no", started_at=NOON)
    page = browser_of_superuser().get(TASKS)
    assert rows_of(page) == [
        "sweep * * * * * Every minute active 12:02:00 in 2 minutes failed 12:00:00 now"
    ]
    assert "ValueError: no" in titles_of(page)
    assert f"/admin/sisy/run/{task.runs.get().pk}/change/" in page.content.decode()


def test_moments_are_in_the_time_zone_of_the_reader(settings):
    settings.TIME_ZONE = "Asia/Kathmandu"
    saved("sweep", "30 12 * * *", timezone="UTC")
    [row] = rows_of(browser_of_superuser().get(TASKS))
    assert "18:15:00 in 30 minutes" in row


def corrupt(task, column, value):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE sisy_task SET {column} = %s WHERE id = %s", [value, task.pk])
        cursor.execute("UPDATE sisy_task SET next_run = NULL WHERE id = %s", [task.pk])


def test_rows_that_cannot_be_read_are_shown_among_the_others_with_their_reason():
    corrupt(saved("bad schedule"), "schedule", "61 * * * *")
    corrupt(saved("bad zone"), "timezone", "Europe/Atlantis")
    gone = saved("gone", "* * * * *")
    Task.objects.filter(pk=gone.pk).update(target_error="tests.gone leads nowhere")
    saved("sound")
    tick("default", NOON)
    page = browser_of_superuser().get(TASKS)
    states = [row.rpartition(" ")[0].partition(" active")[0] for row in rows_of(page)]
    assert states[0].startswith("bad schedule 61 * * * * broken")
    assert states[1].startswith("bad zone */5 * * * * (Europe/Atlantis) broken")
    assert states[2].startswith("gone * * * * * Every minute target broken")
    assert states[3].startswith("sound */5 * * * * Every 5 minutes")
    titles = titles_of(page)
    assert "minute: 61 in '61' is not within 0 to 59." in titles
    assert any(title.startswith("There is no time zone 'Europe/Atlantis'.") for title in titles)
    assert "tests.gone leads nowhere" in titles


def test_those_that_need_a_person_can_be_filtered():
    broken = saved("broken")
    Task.objects.filter(pk=broken.pk).update(state="broken")
    Task.objects.filter(pk=saved("gone").pk).update(target_error="gone")
    saved("sound")
    browser = browser_of_superuser()

    def labels(query):
        return [row.split()[0] for row in rows_of(browser.get(TASKS, query))]

    assert labels({"health": "trouble"}) == ["broken", "gone"]
    assert labels({"health": "well"}) == ["sound"]
    assert labels({"state": "broken"}) == ["broken"]
    assert labels({"q": "soun"}) == ["sound"]
    assert labels({"q": "app.jobs"}) == ["broken", "gone", "sound"]


def test_it_says_so_if_nobody_is_there_to_plan_or_to_carry_out():
    saved("sweep", queue="mail")
    browser = browser_of_superuser()
    assert messages_of(browser.get(TASKS)) == [
        "No heartbeat is up: nothing is planned. Start 'manage.py sisy', or 'sisy_heartbeat'.",
        "No worker serves the queue 'mail': its runs wait. "
        "Start 'manage.py sisy_worker --queues mail'.",
    ]
    start(Role.HEARTBEAT)
    start(Role.WORKER, "default", "mail")
    assert messages_of(browser.get(TASKS)) == []


def test_it_says_so_if_a_queue_is_paused():
    start(Role.HEARTBEAT)
    Queue.objects.pause("mail", "Too hot.", by="Sam")
    Queue.objects.pause("reports")
    browser = browser_of_superuser()
    assert messages_of(browser.get(TASKS)) == [
        "The queue 'mail' has been paused by Sam since 2026-05-05 12:00:00 UTC (Too hot): "
        "0 runs wait in it.",
        "The queue 'reports' has been paused since 2026-05-05 12:00:00 UTC: 0 runs wait in it.",
    ]
    Queue.objects.resume("mail")
    assert len(messages_of(browser.get(TASKS))) == 1


def test_fifty_tasks_cost_no_more_queries_than_one():
    saved("one")
    browser = browser_of_superuser()
    with CaptureQueriesContext(connection) as few:
        browser.get(TASKS)
    for number in range(49):
        saved(f"task {number}")
    with CaptureQueriesContext(connection) as many:
        browser.get(TASKS)
    assert len(many) == len(few)


def test_the_words_are_in_the_language_of_the_reader():
    saved("sweep", "0 9 * * fri")
    with translation.override("de"):
        page = browser_of_superuser().get(TASKS)
    assert "Um 09:00, nur am Freitag" in text_of(page)


def test_who_may_only_look_gets_no_actions():
    saved("sweep")
    page = browser_of("view_task").get(TASKS)
    assert page.context["action_form"] is None
    assert "Add task" not in text_of(page)


def test_a_state_of_another_version_is_shown_as_it_is():
    task = saved("sweep", "* * * * *")
    tick("default", NOON + timedelta(minutes=1))
    Run.objects.update(state="dreaming")
    Task.objects.filter(pk=task.pk).update(state="asleep")
    browser = browser_of_superuser()
    assert "asleep" in rows_of(browser.get(TASKS))[0]
    assert "dreaming" in rows_of(browser.get(TASKS))[0]
    assert browser.get(f"{TASKS}{task.pk}/change/").status_code == 200
