"""What does the list of tasks show?"""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from sisy.heartbeat import tick
from sisy.models import Run, Task, task_with_callable
from tests.admin.pages import RUNS, TASKS, page_of, rows_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import NOON

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def saved(label, schedule="*/5 * * * *", **fields):
    task = task_with_callable("tests.app.jobs.noop", label=label, schedule=schedule, **fields)
    task.save()
    return task


def test_a_row_shows_the_schedule_in_words_and_the_next_run():
    saved("sweep", "0 9 * * fri", timezone="Europe/Berlin")
    [row] = rows_of(browser_of_superuser().get(TASKS))
    assert row == (
        "sweep 0 9 * * fri At 09:00, only on Friday (Europe/Berlin) active "
        "2026-05-08 07:00:00 in 2 days -"
    )


def test_moments_are_in_the_time_zone_of_the_reader(settings):
    settings.TIME_ZONE = "Asia/Kathmandu"
    saved("sweep", "30 12 * * *", timezone="UTC")
    [row] = rows_of(browser_of_superuser().get(TASKS))
    assert "18:15:00 in 30 min" in row


def corrupt(task, column, value):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE sisy_task SET {column} = %s WHERE id = %s", [value, task.pk])
        cursor.execute("UPDATE sisy_task SET next_run = NULL WHERE id = %s", [task.pk])


def test_unreadable_rows_are_listed_with_their_reason():
    corrupt(saved("bad schedule"), "schedule", "61 * * * *")
    corrupt(saved("bad zone"), "timezone", "Europe/Atlantis")
    gone = saved("gone", "* * * * *")
    Task.objects.filter(pk=gone.pk).update(target_error="tests.gone leads nowhere")
    saved("sound")
    tick("default", NOON)
    page = browser_of_superuser().get(TASKS)
    bad_schedule, bad_zone, gone, sound = rows_of(page)
    assert bad_schedule.startswith("bad schedule 61 * * * * broken")
    assert bad_schedule.endswith("minute: 61 is out of range. Use 0 to 59.")
    assert bad_zone.startswith("bad zone */5 * * * * (Europe/Atlantis) broken")
    assert "Unknown time zone 'Europe/Atlantis'." in bad_zone
    assert gone.startswith("gone * * * * * Every minute active")
    assert gone.endswith("tests.gone leads nowhere")
    assert sound.startswith("sound */5 * * * * Every 5 minutes active")


def test_tasks_are_found_by_label_target_and_state():
    broken = saved("broken")
    Task.objects.filter(pk=broken.pk).update(state="broken")
    saved("sound")
    browser = browser_of_superuser()

    def labels(**query):
        return [row.split()[0] for row in rows_of(browser.get(TASKS, query))]

    assert labels(state="broken") == ["broken"]
    assert labels(q="soun") == ["sound"]
    assert labels(q="app.jobs") == ["broken", "sound"]


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


def test_users_who_may_only_view_get_no_actions():
    saved("sweep")
    page = browser_of("view_task").get(TASKS)
    assert page.context["action_form"] is None
    assert "Add task" not in text_of(page)


def test_a_state_of_another_version_is_shown_as_it_is():
    task = saved("sweep", "* * * * *")
    run = task.run_now()
    Run.objects.update(state="dreaming")
    Task.objects.filter(pk=task.pk).update(state="asleep")
    browser = browser_of_superuser()
    assert "asleep" in rows_of(browser.get(TASKS))[0]
    assert "dreaming" in rows_of(browser.get(RUNS))[0]
    assert "asleep" in text_of(browser.get(page_of(task)))
    assert "dreaming" in text_of(browser.get(page_of(run)))
