"""How does a person have the occurrences of a past range made good?"""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry

from sisy.lifecycle.miss import missed_row
from sisy.models import Run, Task, task_with_callable
from tests.admin.pages import messages_of, text_of
from tests.admin.people import browser_of, browser_of_superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

DAY = {"start": "2026-05-04T00:00", "end": "2026-05-05T00:00:00"}


def saved(schedule="0 */6 * * *", **fields):
    task = task_with_callable("tests.app.jobs.noop", label="sweep", schedule=schedule, **fields)
    task.save()
    return task


def page_of(task):
    return f"/sisy/tasks/{task.pk}/"


def address_of(task):
    return f"{page_of(task)}backfill/"


def preview(task, **query):
    return text_of(browser_of_superuser().get(address_of(task), {**DAY, **query}))


def succeeded(task, hour):
    due = datetime(2026, 5, 4, hour, tzinfo=UTC)
    run = task.new_run(now=due, due_at=due, state="succeeded")
    run.save()
    return run


def test_the_page_of_a_task_links_to_the_backfill():
    task = saved()
    page = browser_of_superuser().get(page_of(task)).content.decode()
    assert f'href="{address_of(task)}"' in page
    assert address_of(task) not in browser_of("view_task").get(page_of(task)).content.decode()


def test_nothing_is_previewed_before_a_range_is_submitted():
    page = browser_of_superuser().get(address_of(saved()))
    assert "would be run" not in text_of(page)
    assert 'value="2026-05-04T00:00:00"' in page.content.decode()
    assert not Run.objects.exists()


def test_the_form_begins_with_what_was_missed_last():
    task = saved("*/10 * * * *")
    first = datetime(2026, 5, 5, 1, 50, tzinfo=UTC)
    missed_row(task, first, first + timedelta(hours=3), 19, "Nothing was up.", first).save()
    page = browser_of_superuser().get(address_of(task)).content.decode()
    assert 'value="2026-05-05T01:50:00"' in page
    assert 'value="2026-05-05T04:51:00"' in page


def test_a_preview_lists_occurrences_in_both_time_zones_and_runs_nothing():
    shown = preview(saved(timezone="Asia/Kathmandu"))
    assert (
        "4 occurrences will run. Asia/Kathmandu UTC "
        "1 Mon 2026-05-04 06:00:00 +0545 2026-05-04 00:15:00 "
        "2 Mon 2026-05-04 12:00:00 +0545 2026-05-04 06:15:00 "
        "3 Mon 2026-05-04 18:00:00 +0545 2026-05-04 12:15:00 "
        "4 Tue 2026-05-05 00:00:00 +0545 2026-05-04 18:15:00"
    ) in shown
    assert not Run.objects.exists()


def test_of_many_occurrences_the_first_and_the_last_are_shown():
    shown = preview(saved("*/5 * * * *"))
    assert "288 occurrences will run." in shown
    assert "5 Mon 2026-05-04 00:20:00 UTC … 284 Mon" in shown
    assert "288 Mon 2026-05-04 23:55:00 UTC" in shown


def test_succeeded_occurrences_are_counted_and_not_repeated_by_default():
    task = saved()
    succeeded(task, 6)
    shown = preview(task)
    assert (
        "3 occurrences will run. "
        "1 other occurrence is left out, because it has succeeded, is queued or running, or is "
        "not planned yet."
    ) in shown
    assert "2026-05-04 06:00:00" not in shown
    assert "4 occurrences will run. UTC" in preview(task, again="on")


def test_a_range_without_occurrences_of_the_current_schedule_is_explained():
    task = saved()
    Task.objects.filter(pk=task.pk).update(schedule="0 0 1 1 *")
    shown = preview(task)
    assert "The current schedule, '0 0 1 1 *', has no occurrence in this range." in shown
    assert "0 occurrences" not in shown


def test_the_backfill_runs_what_was_previewed_and_reports_it():
    task = saved()
    succeeded(task, 6)
    page = browser_of("view_task", "backfill_task").post(address_of(task), DAY, follow=True)
    assert page.redirect_chain == [(page_of(task), 302)]
    assert "Submitted 3 runs." in text_of(page)
    runs = Run.objects.filter(origin="backfill").order_by("pk")
    assert [run.occurrence_at.hour for run in runs] == [0, 12, 18]
    assert LogEntry.objects.get().get_change_message() == (
        "Submitted 3 runs: backfill from 2026-05-04 00:00:00+00:00 to 2026-05-05 00:00:00+00:00."
    )


def test_a_second_submission_finds_nothing_to_run():
    task = saved()
    browser = browser_of_superuser()
    browser.post(address_of(task), DAY)
    page = browser.post(address_of(task), DAY, follow=True)
    assert "No runs were submitted." in messages_of(page)
    assert Run.objects.count() == 4
    assert LogEntry.objects.count() == 1


def test_the_confirmation_form_repeats_the_previewed_range():
    page = browser_of_superuser().get(address_of(saved()), {**DAY, "again": "on"})
    for name, value in {**DAY, "again": "on"}.items():
        assert f'<input type="hidden" name="{name}" value="{value}">' in page.content.decode()


def test_dates_are_read_in_the_time_zone_of_the_reader(settings):
    settings.TIME_ZONE = "Asia/Kathmandu"
    shown = preview(saved("0 20 * * *", timezone="UTC"))
    assert "Times are in the time zone Asia/Kathmandu." in shown
    assert "1 occurrence will run. UTC 1 Sun 2026-05-03 20:00:00 UTC" in shown


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"end": "2026-05-06T00:00"}, "start (2026"),
        (
            {"start": "2026-05-05T00:00"},
            "start (2026",
        ),
        ({"start": "1900-01-01T00:00"}, "Backfill in parts: the first"),
        ({"start": "0001-01-01T00:00"}, "start must be within the years 1000 to 9998, not"),
        ({"start": "whenever"}, "Enter a valid date/time."),
        ({"start": ""}, "This field is required."),
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_invalid_range_is_rejected_in_the_form(method, query, sentence):
    send = getattr(browser_of_superuser(), method)
    page = send(address_of(saved()), {**DAY, **query})
    assert sentence in text_of(page)
    assert "would be run" not in text_of(page)
    assert not Run.objects.exists()


def test_the_form_says_why_a_task_cannot_be_planned():
    task = saved()
    Task.objects.filter(pk=task.pk).update(timezone="Europe/Atlantis")
    assert "Unknown time zone 'Europe/Atlantis'." in preview(task)


def test_a_range_with_pruned_history_is_rejected_in_the_form():
    task = saved()
    Task.objects.filter(pk=task.pk).update(pruned={"succeeded": 9})
    assert "was pruned" in preview(task)
    assert "4 occurrences will run." in preview(task, again="on")


def test_a_task_that_runs_once_has_no_backfill():
    task = Task.run_once("tests.app.jobs.noop")
    page = browser_of_superuser().get(page_of(task)).content.decode()
    assert address_of(task) not in page
    assert "runs once and has no schedule" in preview(task)


def test_it_needs_the_permission_to_backfill_tasks():
    task = saved()
    for permissions in (["view_task", "change_task"], ["backfill_task"]):
        browser = browser_of(*permissions)
        assert browser.get(address_of(task), DAY).status_code == 403
        assert browser.post(address_of(task), DAY).status_code == 403
    assert not Run.objects.exists()


def test_a_deleted_task_is_not_backfilled():
    task = saved()
    address = address_of(task)
    task.delete()
    assert browser_of_superuser().get(address).status_code == 404


def test_backfill_works_without_time_zones(settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Kathmandu"
    task = saved("0 20 * * *", timezone="UTC")
    assert "1 Sun 2026-05-03 20:00:00 UTC" in preview(task)
    browser_of_superuser().post(address_of(task), DAY)
    assert Run.objects.get().occurrence_at == datetime(2026, 5, 3, 20, tzinfo=UTC)
    said = LogEntry.objects.get().get_change_message()
    assert "from 2026-05-04 00:00:00+05:45 to 2026-05-05 00:00:00+05:45" in said
