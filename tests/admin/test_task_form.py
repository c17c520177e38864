"""How is a task made and changed in the admin?"""

from datetime import UTC, datetime, timedelta

import pytest

from sisy.models import Task, task_with_callable
from tests.admin.pages import TASKS, errors_of, form_of, page_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.app.models import Counter
from tests.support.moments import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

ADD = f"{TASKS}add/"


def saved(label="sweep", **fields):
    task = task_with_callable("tests.app.jobs.noop", label=label, **fields)
    task.save()
    return task


def post(browser, address, **changes):
    """Fill in the form at an address and send it."""
    return browser.post(address, {**form_of(browser.get(address)), **changes})


def add(browser, **changes):
    return post(browser, ADD, **{"label": "new", "target_path": "tests.app.jobs.noop", **changes})


def test_a_new_task_is_active_from_now_on():
    response = add(browser_of_superuser(), schedule="0 9 * * *", timezone="Europe/Berlin")
    assert response.status_code == 302
    task = Task.objects.get(label="new")
    assert (task.state, task.next_run) == ("active", datetime(2026, 5, 6, 7, tzinfo=UTC))


def test_a_method_of_an_object_is_chosen_by_its_path_and_primary_key():
    counter = Counter.objects.create()
    path = "tests.app.models.Counter.tick"
    assert add(browser_of_superuser(), target_path=path, target_pk=counter.pk).status_code == 302
    assert Task.objects.get().target.resolve().__self__ == counter


def test_dates_are_read_and_shown_in_the_time_zone_of_the_reader(settings):
    settings.TIME_ZONE = "Asia/Kathmandu"
    browser = browser_of_superuser()
    add(browser, start_running_0="2026-06-01", start_running_1="10:00:00")
    task = Task.objects.get()
    assert task.start_running == datetime(2026, 6, 1, 4, 15, tzinfo=UTC)
    page = browser.get(page_of(task)).content.decode()
    assert 'value="2026-06-01"' in page
    assert 'value="10:00:00"' in page


def test_without_time_zones_dates_are_read_and_shown_as_local_time(settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Kathmandu"
    browser = browser_of_superuser()
    add(browser, start_running_0="2026-06-01", start_running_1="10:00:00")
    task = Task.objects.get()
    assert task.start_running == datetime(2026, 6, 1, 4, 15, tzinfo=UTC)
    assert 'value="10:00:00"' in browser.get(page_of(task)).content.decode()


REFUSALS = [
    (
        {"schedule": "61 * * * *"},
        {"schedule": ["minute: 61 is out of range. Use 0 to 59."]},
    ),
    (
        {"schedule": "* * * *"},
        {
            "schedule": [
                "The schedule '* * * *' has 4 fields, not five (minute hour day-of-month month "
                "day-of-week) or six (seconds last)."
            ]
        },
    ),
    (
        {"timezone": "Europe/Berln"},
        {"timezone": ["Unknown time zone 'Europe/Berln'. Did you mean 'Europe/Berlin'?"]},
    ),
    (
        {"target_path": "tests.app.jobs.nop"},
        {
            "target_path": [
                "tests.app.jobs.nop does not exist: the module tests.app.jobs has no 'nop'. "
                "Did you mean 'noop'?"
            ]
        },
    ),
    (
        {"target_pk": "7"},
        {
            "target_path": [
                "tests.app.jobs.noop is a function, not an instance method, so it takes no "
                "pk_override. Remove pk_override."
            ]
        },
    ),
    ({"label": ""}, {"label": ["This field is required."]}),
    ({"_extra_data": "[1]"}, {"_extra_data": ["userdata must be a dict, not list."]}),
    ({"_extra_data": "{1"}, {"_extra_data": ["Enter a valid JSON."]}),
    (
        {"priority": "101"},
        {"priority": ["priority must be a whole number from -100 to 100, not 101."]},
    ),
    (
        {"end_running_0": "2026-05-05", "end_running_1": "12:00:00"},
        {
            "end_running": [
                "'* * * * *' has no future occurrence before end_running "
                "(2026-05-05T12:00:00+00:00). Widen the window, or change the schedule."
            ]
        },
    ),
]


@pytest.mark.parametrize(("changes", "errors"), REFUSALS)
def test_invalid_values_are_rejected_at_their_field_and_nothing_is_saved(changes, errors):
    response = add(browser_of_superuser(), **changes)
    assert errors_of(response) == errors
    assert not Task.objects.exists()


def test_an_empty_field_of_user_data_is_empty_user_data():
    add(browser_of_superuser(), _extra_data="")
    assert Task.objects.get().userdata == {}


def test_a_change_plans_again_and_leaves_the_other_columns_alone():
    task = saved(schedule="0 9 * * *", userdata={"n": 1}, max_attempts=3)
    before = Task.objects.values().get()
    assert post(browser_of_superuser(), page_of(task), schedule="0 10 * * *").status_code == 302
    after = Task.objects.values().get()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"schedule", "next_run", "timing_fingerprint"}
    assert after["next_run"] == datetime(2026, 5, 6, 10, tzinfo=UTC)


def test_a_healthy_task_shows_no_reason():
    assert "Reason: - Next run: 12:01:00" in text_of(browser_of_superuser().get(page_of(saved())))


def test_a_broken_task_can_be_fixed():
    task = saved()
    Task.objects.filter(pk=task.pk).update(schedule="61 * * * *", target_path="tests.gone.now")
    browser = browser_of_superuser()
    shown = text_of(browser.get(page_of(task)))
    assert "minute: 61 is out of range. Use 0 to 59." in shown
    response = post(browser, page_of(task), schedule="* * * * *")
    assert list(errors_of(response)) == ["target_path"]
    mended = {"schedule": "* * * * *", "target_path": "tests.app.jobs.noop"}
    assert post(browser, page_of(task), **mended).status_code == 302
    task.refresh_from_db()
    assert (task.state, task.next_run) == ("active", NOON + timedelta(minutes=1))


def test_a_task_that_runs_once_can_only_be_looked_at():
    task = Task.run_once("tests.app.jobs.noop", delay_until=NOON + timedelta(days=1))
    page = browser_of_superuser().get(page_of(task))
    assert page.context["has_change_permission"] is False
    assert "once" in text_of(browser_of_superuser().get(TASKS))


def choices(browser):
    field = browser.get(ADD).context["adminform"].form.fields["target_path"]
    return [value for value, _ in field.choices if value]


def test_only_known_callables_can_be_chosen(settings):
    settings.SISY_CALLABLES = ["tests.app.models.Counter.sweep", "tests.app.jobs.gone"]
    saved()
    browser = browser_of("add_task", "view_task")
    assert choices(browser) == ["tests.app.jobs.noop", "tests.app.models.Counter.sweep"]
    response = add(browser, target_path="os.system")
    assert errors_of(response)["target_path"] == [
        "Select a valid choice. os.system is not one of the available choices."
    ]
    assert add(browser, target_path="tests.app.models.Counter.sweep").status_code == 302


def test_with_permission_for_any_callable_its_path_is_typed():
    browser = browser_of("add_task", "view_task", "use_any_callable")
    page = browser.get(ADD)
    assert not hasattr(page.context["adminform"].form.fields["target_path"], "choices")
    assert add(browser, target_path="tests.app.jobs.fails").status_code == 302


def test_a_missing_target_remains_a_choice_of_its_task():
    task = saved()
    Task.objects.filter(pk=task.pk).update(target_path="tests.gone.now")
    page = browser_of("change_task", "view_task").get(page_of(task))
    field = page.context["adminform"].form.fields["target_path"]
    assert ("tests.gone.now", "tests.gone.now") in field.choices


def test_users_who_may_only_view_see_no_fields():
    shown = text_of(browser_of("view_task").get(page_of(saved())))
    assert "tests.app.jobs.noop" in shown
    assert "Save" not in shown


OCCURRENCES = f"{TASKS}occurrences/"


def test_the_next_five_occurrences_are_shown_in_the_tasks_time_zone():
    task = saved(schedule="0 9 * * mon-fri", timezone="Europe/Berlin")
    shown = text_of(browser_of_superuser().get(page_of(task)))
    assert (
        "At 09:00, Monday through Friday "
        "Wed 2026-05-06 09:00:00 CEST in 19 h "
        "Thu 2026-05-07 09:00:00 CEST in 1 day "
        "Fri 2026-05-08 09:00:00 CEST in 2 days "
        "Mon 2026-05-11 09:00:00 CEST in 5 days "
        "Tue 2026-05-12 09:00:00 CEST in 6 days "
    ) in shown


def test_a_typed_schedule_is_previewed_with_its_occurrences():
    typed = {
        "label": "x",
        "schedule": "0 0 29 2 *",
        "timezone": "UTC",
        "start_running_0": "2030-01-01",
        "start_running_1": "00:00:00",
        "end_running_0": "2037-01-01",
        "end_running_1": "00:00:00",
    }
    shown = text_of(browser_of("view_task").get(OCCURRENCES, typed))
    assert shown.startswith("At 00:00, on day 29 of the month, only in February Sun 2032-02-29")
    assert shown.count("00:00:00 UTC") == 2


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ({"schedule": "* * * 13 *"}, "month: 13 is out of range. Use 1 to 12."),
        (
            {"timezone": "Mars/Olympus"},
            "Unknown time zone 'Mars/Olympus'. Use a name such as 'Europe/Berlin'.",
        ),
        (
            {"end_running_0": "2026-05-05", "end_running_1": "12:00:00"},
            "No occurrences before the task ends.",
        ),
    ],
)
def test_an_invalid_schedule_is_explained_in_the_preview(typed, answer):
    usual = {"schedule": "* * * * *", "timezone": "UTC"}
    shown = text_of(browser_of("view_task").get(OCCURRENCES, {**usual, **typed}))
    assert shown.startswith(answer)


def test_an_unreadable_date_does_not_hide_the_occurrences():
    typed = {"schedule": "* * * * *", "timezone": "UTC", "end_running_0": "never"}
    assert text_of(browser_of("view_task").get(OCCURRENCES, typed)).startswith("Every minute")


def test_a_date_at_the_edge_of_the_calendar_is_rejected_at_its_field(settings):
    settings.TIME_ZONE = "America/New_York"
    end = {"end_running_0": "9999-12-31", "end_running_1": "23:59:59"}
    assert (
        "Use a year from 1000 to 9998"
        in errors_of(add(browser_of_superuser(), **end))["end_running"][0]
    )
    typed = {"schedule": "* * * * *", "timezone": "UTC", **end}
    assert text_of(browser_of_superuser().get(OCCURRENCES, typed)).startswith("Every minute")


def test_typed_text_is_never_interpreted_as_a_tag():
    typed = {"schedule": "<script>alert(1)</script>", "timezone": "UTC"}
    assert b"<script>" not in browser_of("view_task").get(OCCURRENCES, typed).content


def test_only_users_who_may_view_or_add_tasks_get_a_preview():
    assert browser_of("view_run").get(OCCURRENCES).status_code == 403
    assert browser_of("add_task").get(OCCURRENCES).status_code == 200


def test_a_task_with_another_target_is_no_longer_shown_as_broken():
    task = saved()
    Task.objects.filter(pk=task.pk).update(target_path="tests.gone.now", target_error="gone")
    post(browser_of_superuser(), page_of(task), target_path="tests.app.jobs.noop")
    task.refresh_from_db()
    assert (task.target_path, task.target_error) == ("tests.app.jobs.noop", "")
