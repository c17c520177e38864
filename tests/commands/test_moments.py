"""Every command accepts the same forms of a moment, and rejects others with exit code 2."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError

from sisy.management import moments
from sisy.models import Queue, Task
from sisy.records.problems import Kind
from tests.commands.calling import said, told
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import open_alert, scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

AHEAD = [
    ("30m", 30 * MINUTE),
    ("2h", 2 * HOUR),
    ("1h 30 min", 90 * MINUTE),
    ("in 2 hours", 2 * HOUR),
    ("+7d", 7 * DAY),
    ("12:30", 30 * MINUTE),
    ("08:30", 20 * HOUR + 30 * MINUTE),
    ("2026-05-05 14:00 UTC", 2 * HOUR),
    ("2026-05-05 16:00:00 Europe/Berlin", 2 * HOUR),
    ("2026-05-05T14:00", 2 * HOUR),
    ("2026-05-05T16:00+02:00", 2 * HOUR),
]


@pytest.mark.parametrize(("text", "after"), AHEAD)
def test_a_pause_and_a_mute_accept_the_same_ends(text, after):
    task = scheduled(label="tea", queue="mail")
    alert = open_alert(task, Kind.FAILING, NOON)
    said(f"sisy_tasks pause tea --until '{text}'")
    said(f"sisy_queues pause mail --until '{text}'")
    said(f"sisy_alerts mute {alert.pk} --until '{text}'")
    task.refresh_from_db()
    alert.refresh_from_db()
    ends = {task.paused_until, Queue.objects.get().paused_until, alert.muted_until}
    assert ends == {NOON + after}


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("now", 0 * HOUR),
        ("90m", 90 * MINUTE),
        ("2 hours ago", 2 * HOUR),
        ("1 day 3 h", 27 * HOUR),
        ("08:30", 210 * MINUTE),
        ("2026-05-04", 36 * HOUR),
    ],
)
def test_a_time_in_the_past_accepts_the_same_forms(text, before):
    assert moments.past(text, "UTC", NOON) == NOON - before


def test_a_backfill_accepts_durations_and_times_of_today():
    scheduled("0 * * * *", label="tea")
    rows = told("sisy_tasks backfill tea 3h now --again --dry-run")
    assert len(rows) == len(told("sisy_tasks backfill tea 09:00 12:00 --again --dry-run")) == 3


def test_a_forecast_may_begin_now():
    scheduled("0 * * * *", label="tea")
    rows = told("sisy_simulate now 3h")["occurrences"]
    assert [row["due"][11:16] for row in rows] == ["12:00", "13:00", "14:00"]
    assert len(told("sisy_simulate '2h ago' now")["occurrences"]) == 2


@pytest.mark.parametrize(
    "line",
    [
        "sisy_tasks pause tea --until {}",
        "sisy_tasks backfill tea {} now",
        "sisy_tasks why tea {}",
        "sisy_queues pause mail --until {}",
        "sisy_alerts mute 1 --until {}",
        "sisy_simulate {} 2h",
        "sisy_runs list --since {}",
    ],
)
@pytest.mark.parametrize("text", ["1x", "in 2h ago", "", "25:00"])
def test_another_text_is_an_invalid_argument_with_the_valid_forms(line, text):
    alert = open_alert(scheduled(label="tea", queue="mail"), Kind.FAILING, NOON)
    with pytest.raises(CommandError) as raised:
        said(line.format(f"'{text}'").replace("mute 1", f"mute {alert.pk}"))
    assert raised.value.returncode == 2
    assert "30m" in str(raised.value) or "is empty" in str(raised.value)


@pytest.mark.parametrize("text", ["2020-01-01", "now", "0m", "1h ago"])
def test_an_end_in_the_past_is_an_invalid_argument(text):
    alert = open_alert(scheduled(label="tea", queue="mail"), Kind.FAILING, NOON)
    for line in ("sisy_tasks pause tea", "sisy_queues pause mail", f"sisy_alerts mute {alert.pk}"):
        with pytest.raises(CommandError, match="--until is in the past: 20") as raised:
            said(f"{line} --until '{text}'")
        assert raised.value.returncode == 2
    assert Task.objects.get().state == "active"


@pytest.mark.parametrize(("text", "where"), [("9999999w", "valid"), ("999999w", "far ahead")])
def test_a_duration_beyond_the_calendar_is_rejected(text, where):
    with pytest.raises(CommandError, match=where):
        moments.future(text, "UTC", NOON)


def test_a_time_that_is_over_today_is_tomorrow_in_the_zone_of_the_task():
    task = scheduled("0 15 * * *", label="tea", timezone="Europe/Berlin")
    said("sisy_tasks pause tea --until 13:00")  # it is 14:00 there
    task.refresh_from_db()
    assert task.paused_until == NOON + timedelta(hours=23)


def test_a_forecast_to_a_time_of_day_may_have_a_midnight_between():
    scheduled("0 * * * *", label="tea")
    rows = told("sisy_simulate 23:00 02:00")["occurrences"]
    assert [row["due"][8:13] for row in rows] == ["05T23", "06T00", "06T01"]
    rows = told("sisy_simulate 2026-05-07T23:00 01:00")["occurrences"]
    assert [row["due"][8:13] for row in rows] == ["07T23", "08T00"]
    assert len(told("sisy_simulate 14:00 16:00")["occurrences"]) == 2


def test_a_forecast_of_two_times_that_are_over_is_for_the_next_day():
    first, last = moments.future_range("02:00", "03:00", "UTC", NOON)
    assert (first, last) == (NOON + 14 * HOUR, NOON + 15 * HOUR)
    # What has begun is shown from its beginning, and a date is meant as it is.
    assert moments.future_range("11:00", "13:00", "UTC", NOON)[0] == NOON - HOUR
    assert moments.future_range("2026-05-05 02:00", "03:00", "UTC", NOON)[0] < NOON


def test_the_next_time_of_day_is_found_on_a_day_of_23_hours():
    day_before = datetime(2026, 3, 28, 12, tzinfo=UTC)  # at 02:00, the clocks are set forward
    _, end = moments.future_range("23:30", "03:30", "Europe/Berlin", day_before)
    assert f"{end:%Y-%m-%d %H:%M %Z}" == "2026-03-29 03:30 CEST"


def test_a_backfill_from_a_time_of_day_may_have_a_midnight_between(noon):
    task = scheduled("0 * * * *", label="tea")
    noon.moment = NOON + DAY
    rows = told(f"sisy_tasks backfill {task.pk} 22:00 02:00 --dry-run --again")
    assert [row["due"][8:13] for row in rows] == ["05T22", "05T23", "06T00", "06T01"]
    assert told("sisy_runs list --since 22:00 --until 02:00")["runs"] == []


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "sisy_simulate 3h 1h",
            "FROM (2026-05-05 15:00:00 UTC) is not before TO (2026-05-05 13:00:00 UTC). Here, a "
            "duration such as '1h' counts from now.",
        ),
        (
            "sisy_tasks backfill tea 1h 3h",
            "FROM (2026-05-05 11:00:00 UTC) is not before TO (2026-05-05 09:00:00 UTC). Here, a "
            "duration such as '3h' counts back from now.",
        ),
        (
            "sisy_tasks backfill tea 2h '2026-05-05 09:00'",
            "FROM (2026-05-05 10:00:00 UTC) is not before TO (2026-05-05 09:00:00 UTC). Here, a "
            "duration such as '2h' counts back from now.",
        ),
        (
            "sisy_simulate now '2026-05-05 09:00'",
            "FROM (2026-05-05 12:00:00 UTC) is not before TO (2026-05-05 09:00:00 UTC).",
        ),
    ],
)
def test_an_empty_range_is_rejected_with_its_moments_in_words(line, error):
    scheduled(label="tea")
    with pytest.raises(CommandError) as raised:
        said(line)
    assert str(raised.value) == error
    assert raised.value.returncode == 2
