"""A schedule is changed on its page, which first shows what the change does."""

import re
from datetime import UTC, datetime

import pytest

from sisy.models import Task, TaskState
from sisy.reports.schedule_change import Effect, changes
from tests.admin.pages import history_of, messages_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.records import scheduled

MINUS = "\N{MINUS SIGN}"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def task():
    return scheduled("0 9,18 * * *", label="sweep", timezone="UTC")


def address_of(task):
    return f"/sisy/tasks/{task.pk}/schedule/"


def preview(task, **wanted):
    return text_of(browser_of_superuser().get(address_of(task), {**wanted, "parts": "changes"}))


def save(task, **wanted):
    return messages_of(browser_of_superuser().post(address_of(task), wanted, follow=True))


def at(hour, day=5):
    return datetime(2026, 5, day, hour, tzinfo=UTC)


def test_each_occurrence_is_new_gone_or_the_same():
    found = changes([at(9), at(18)], [at(9), at(12)])
    assert [(each.due, each.effect) for each in found] == [
        (at(9), Effect.SAME),
        (at(12), Effect.NEW),
        (at(18), Effect.GONE),
    ]


def test_the_page_of_a_task_links_to_its_schedule(task):
    link = f'href="{address_of(task)}"'
    page = f"/sisy/tasks/{task.pk}/"
    assert link in browser_of_superuser().get(page).content.decode()
    assert link not in browser_of("view_task").get(page).content.decode()


def test_the_current_schedule_changes_nothing(task):
    shown = preview(task)
    assert "This is the current schedule." in shown
    assert "= 2026-05-05 18:00:00 unchanged = 2026-05-06 09:00:00 unchanged" in shown
    assert "Save" not in shown


def test_a_preview_shows_what_a_new_schedule_adds_and_removes(task):
    shown = preview(task, schedule="0 12,18 * * *", timezone="UTC")
    assert "At 12:00 and 18:00" in shown
    assert "6 new, 7 removed of the next 20 occurrences" in shown
    assert (
        f"= 2026-05-05 18:00:00 unchanged {MINUS} 2026-05-06 09:00:00 removed "
        "+ 2026-05-06 12:00:00 new" in shown
    )
    assert "Save" in shown
    assert Task.objects.get().schedule == "0 9,18 * * *"


def test_if_most_occurrences_are_removed_the_next_ones_that_remain_are_shown(task):
    Task.objects.filter(pk=task.pk).update(schedule="* * * * *")
    text = preview(task, schedule="0 9 * * *")
    assert "20 removed of the next 20 occurrences" in text
    _, found, later = text.partition("Later occurrences:")
    assert found
    assert re.findall(r"2026-05-\d\d \d\d:00:00", later) == [
        f"2026-05-{day:02} 09:00:00" for day in (6, 7, 8, 9, 10)
    ]
    assert "The next ones" not in preview(task, schedule="*/2 * * * *")


def test_a_new_time_zone_moves_all_occurrences(task):
    shown = preview(task, timezone="Asia/Kathmandu")
    assert "10 new, 10 removed" in shown


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"schedule": "61 * * * *"}, "61 is out of range. Use 0 to 59."),
        ({"schedule": ""}, "schedule"),
        ({"timezone": "Europe/Berlim"}, "Europe/Berlin"),
    ],
)
def test_an_invalid_schedule_is_explained_and_not_saved(task, wanted, error):
    assert error in preview(task, **wanted)
    kept = {"schedule": "0 9,18 * * *", "timezone": "UTC"}
    [said] = save(task, **{**kept, **wanted})
    assert error in said
    assert Task.objects.values("schedule", "timezone").get() == kept


def test_saving_changes_the_schedule_and_logs_who_changed_it(task):
    [said] = save(task, schedule="0 12 * * *", timezone="Asia/Tokyo")
    assert said.startswith("Saved. The new schedule applies from now on. <a href=")
    assert f"/sisy/tasks/{task.pk}/changes/" in said
    assert "Revert…" in said
    task.refresh_from_db()
    assert (task.schedule, task.timezone) == ("0 12 * * *", "Asia/Tokyo")
    assert task.next_run == at(3, day=6)
    assert history_of(task) == [
        "Changed the schedule from '0 9,18 * * *' UTC to '0 12 * * *' Asia/Tokyo."
    ]


def test_saving_the_same_schedule_changes_nothing(task):
    assert save(task, schedule="0 9,18 * * *", timezone="UTC") == [
        "Nothing to change: the task already has this schedule."
    ]
    assert history_of(task) == []


def test_only_those_who_may_change_tasks_change_a_schedule(task):
    browser = browser_of("view_task", "run_task", "pause_task")
    assert browser.get(address_of(task)).status_code == 403
    posted = browser.post(address_of(task), {"schedule": "* * * * *", "timezone": "UTC"})
    assert posted.status_code == 403
    assert Task.objects.get().schedule == "0 9,18 * * *"


def test_a_broken_schedule_is_corrected_on_its_page(task):
    Task._base_manager.update(
        schedule="nonsense", state=TaskState.BROKEN, state_reason="It is not valid."
    )
    assert "+ 2026-05-06 09:00:00 new" in preview(task, schedule="0 9 * * *")
    save(task, schedule="0 9 * * *", timezone="UTC")
    task.refresh_from_db()
    assert (task.state, task.next_run) == (TaskState.ACTIVE, at(9, day=6))


def test_what_was_typed_is_kept_if_it_is_rejected(task):
    form = {"schedule": "0 25 * * *", "timezone": "Europe/Berlin"}
    answer = browser_of_superuser().post(address_of(task), form, follow=True)
    page = answer.content.decode()
    assert 'value="0 25 * * *"' in page
    assert 'value="Europe/Berlin"' in page
