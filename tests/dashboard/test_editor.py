"""What a schedule means, while somebody types it."""

from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from tests.admin.pages import text_of
from tests.admin.people import browser_of

pytestmark = pytest.mark.django_db

PAGE = "/sisy/schedule/"


@pytest.fixture(autouse=True)
def now(at_time):
    """The day before the clocks are set forward in Berlin."""
    return at_time(datetime(2026, 3, 28, 12, tzinfo=UTC))


def told(**asked):
    address = f"{PAGE}?{urlencode({**asked, 'parts': 'meaning'})}"
    return browser_of("view_task").get(address)


def test_the_editor_shows_a_schedule_in_words_and_its_next_runs():
    text = text_of(told(schedule="0 9 * * mon-fri", timezone="UTC"))
    assert "At 09:00, Monday through Friday" in text
    assert "Mon 2026-03-30 09:00:00 UTC" in text
    assert "once today" not in text
    assert "5 times this week" in text


def test_a_moment_is_written_once_if_the_page_has_the_same_time(settings):
    words = 'UTC</strong> <small><time datetime="2026-03-30T09:00:00+00:00" title="{}">{}</time>'
    title, brief = "2026-03-30 09:00:00 UTC", "2026-03-30 11:00:00"
    asked = {"schedule": "0 9 * * mon-fri", "timezone": "UTC"}
    assert words.format(title, "") in told(**asked).content.decode()
    settings.TIME_ZONE = "Europe/Berlin"
    assert words.format(title, brief) in told(**asked).content.decode()
    asked["timezone"] = "Europe/Rome"
    assert "2026-03-30 09:00:00 CEST</strong> <small><time" in told(**asked).content.decode()
    assert "09:00:00</time>" not in told(**asked).content.decode()


def test_the_sixth_field_is_seconds():
    text = text_of(told(schedule="0 9 * * * 30"))
    assert "second 30" in text
    assert "09:00:30" in text


def test_an_alias_is_shown_by_its_fields():
    assert "minute 0 hour 0 day-of-month * month * day-of-week *" in text_of(
        told(schedule="@daily")
    )


@pytest.mark.parametrize(
    ("expression", "field", "words"),
    [
        ("61 * * * *", "minute", "61 is out of range. Use 0 to 59."),
        ("0 24 * * *", "hour", "24 is out of range. Use 0 to 23."),
        ("0 0 * foo *", "month", "'foo' is not a valid value. Use 1 to 12"),
        ("* * * * * */90", "second", "the step of '*/90' must be a number from 1 to 60."),
    ],
)
def test_errors_are_shown_at_their_field(expression, field, words):
    response = told(schedule=expression)
    assert f"{field} ✕ invalid" in text_of(response)
    assert f"{field}: {words}" in text_of(response)
    assert "No upcoming occurrences." not in text_of(response)
    assert "Next runs" not in text_of(response)


def made_with(**asked):
    client = browser_of("view_task", "add_task")
    address = f"{PAGE}?{urlencode({**asked, 'parts': 'presets,meaning'})}"
    return client.get(address).content.decode()


def test_only_an_accepted_schedule_leads_to_a_task():
    assert "Add a task with this schedule" in made_with(schedule="0 9 * * *")
    assert "schedule=0+9+%2A+%2A+%2A&amp;timezone=UTC" in made_with(schedule="0 9 * * *")
    assert "Add a task with this schedule" not in made_with(schedule="61 9 * * *")
    assert "Add a task with this schedule" not in made_with(
        schedule="0 9 * * *", timezone="Nowhere"
    )


def test_the_typed_preset_is_highlighted():
    """Both are parts, which follow what somebody types."""
    lit = 'title="0 3 * * *" aria-current="true"'
    assert lit in made_with(schedule="0 3 * * *")
    for other in ("0 4 * * *", "0 3 * * ", "61 * * * *"):
        assert "aria-current" not in made_with(schedule=other)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 0 30 2 *", "can never match"),
        ("* * *", "has 3 fields"),
        ("@fortnightly", "one of @hourly, @daily"),
        ("", "has 0 fields"),
        ("x" * 5000, "has"),
    ],
)
def test_an_invalid_schedule_is_rejected(expression, words):
    assert words in text_of(told(schedule=expression))


def test_an_unknown_zone_is_rejected():
    assert "Unknown time zone 'Berlin'" in text_of(told(timezone="Berlin"))


def test_the_editor_explains_the_effect_of_daylight_saving():
    text = text_of(told(schedule="30 2 * * *", timezone="Europe/Berlin"))
    assert "Sun 2026-03-29 03:00:00 CEST" in text
    assert "Before this occurrence, the clocks go forward by 1 h." in text


def test_the_editor_tells_repeated_times_apart(at_time):
    at_time(datetime(2026, 10, 24, 12, tzinfo=UTC))
    text = text_of(told(schedule="30 2 * * *", timezone="Europe/Berlin"))
    assert "Sun 2026-10-25 02:30:00 CEST" in text
    assert "this local time occurs twice. This is the first." in text
    assert "Before this occurrence, the clocks go back by 1 h." in text


def test_the_editor_draws_only_distinguishable_marks():
    page = told(schedule="* * * * * *").content.decode()
    assert 700 < page.count('class="bar open"') <= 802
    assert "86400 times today" in text_of(told(schedule="* * * * * *"))


def test_a_day_of_23_hours_is_drawn_as_long_as_it_is(at_time):
    at_time(datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert "23 times today" in text_of(told(schedule="0 * * * *", timezone="Europe/Berlin"))


def test_hostile_input_is_escaped():
    page = told(schedule="<script>alert(1)</script>", timezone='"><img src=x>')
    assert "<script>alert" not in page.content.decode()
    assert "<img" not in page.content.decode()


def test_users_who_may_add_tasks_get_a_link_to_the_filled_in_form():
    page = browser_of("view_task", "add_task").get(f"{PAGE}?schedule=0+3+*+*+*").content.decode()
    assert "/admin/sisy/task/add/?schedule=0+3+%2A+%2A+%2A&amp;timezone=UTC" in page
    assert "Make a task" not in browser_of("view_task").get(PAGE).content.decode()
