"""What does a schedule say?"""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings

from sisy.reports import schedule_text
from sisy.reports.schedule_text import in_words
from sisy.schedules import Schedule, ScheduleError
from tests.unit.test_schedules import expressions

SENTENCES = [
    ("*/5 * * * *", "Every 5 minutes"),
    ("* * * * * */10", "Every 10 seconds"),
    ("30 2 * * * 15", "At 02:30:15"),
    ("0 8 * * mon#1", "At 08:00, on the first Monday of the month"),
    ("0 8 * * L5", "At 08:00, on the last Friday of the month"),
    ("0 8 15w * *", "At 08:00, on the weekday nearest day 15 of the month"),
    ("0 8 LW * *", "At 08:00, on the last weekday of the month"),
    ("30 2 l * *", "At 02:30, on the last day of the month"),
    ("0 0 * * 7", "At 00:00, only on Sunday"),
    ("0 0 13 * fri", "At 00:00, on day 13 of the month, or on Friday"),
    ("@weekly", "At 00:00, only on Sunday"),
    ("1 * * * *", "At 1 minute past the hour"),
    ("11 * * * *", "At 11 minutes past the hour"),
]


@pytest.mark.parametrize(("expression", "sentence"), SENTENCES)
def test_a_schedule_is_put_into_words(expression, sentence):
    assert in_words(Schedule(expression)) == sentence


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 * * mon#1,mon#3",
        "0 0 15 * mon#2",
        "0 0 1,l * *",
        "0 0 1w,15w * *",
        "0 0 * * L1,L5",
        "5,* * * * *",
    ],
)
def test_schedules_that_words_would_misstate_have_none(expression):
    assert in_words(Schedule(expression)) == ""


def test_h_is_described_by_the_values_it_resolves_to():
    nightly = Schedule("h h(0-5) * * *", key="nightly")
    due = nightly.next_after(datetime(2026, 5, 5, tzinfo=UTC))
    assert in_words(nightly) == f"At {due:%H:%M}"
    assert in_words(Schedule("h/15 * * * *", key="x")) == (
        "Every 15 minutes, starting at 3 minutes past the hour"
    )


def test_the_sentence_is_in_the_language_of_the_reader_with_its_names():
    schedule = Schedule("0 9 * * fri")
    assert in_words(schedule, "de", {"Friday": "Freitag"}) == "Um 09:00, nur am Freitag"


@pytest.mark.parametrize(
    ("language", "catalogue"),
    [
        ("pt-br", "pt_PT"),
        ("es-mx", "es_MX"),
        ("zh-hant", "zh_TW"),
        ("zh-hans", "zh_CN"),
        ("en-gb", "en_US"),
        ("tlh", "en_US"),
    ],
)
def test_each_language_has_the_nearest_catalogue(language, catalogue):
    assert schedule_text._locale(language) == catalogue


def test_without_cron_descriptor_there_are_no_words(monkeypatch):
    monkeypatch.setattr(schedule_text, "cron_descriptor", None)
    assert in_words(Schedule("*/5 * * * *")) == ""


@settings(max_examples=200, deadline=None, derandomize=True)
@given(expressions)
def test_words_for_any_schedule_raise_nothing(expression):
    try:
        schedule = Schedule(expression)
    except ScheduleError:
        return
    assert isinstance(in_words(schedule), str)
