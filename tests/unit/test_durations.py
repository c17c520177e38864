"""A duration has one format, on pages, in commands, in errors and in the log."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from sisy.reports import formatting
from sisy.runtime.durations import duration_text, largest_unit, rounded_text

SOURCE = Path(__file__).parents[2] / "src" / "sisy"

TEXTS = [
    ({"seconds": 0}, "0 s"),
    ({"milliseconds": 12}, "12 ms"),
    ({"milliseconds": 1250}, "1.25 s"),
    ({"seconds": 45}, "45 s"),
    ({"seconds": 59.999}, "1 min"),
    ({"minutes": 5}, "5 min"),
    ({"minutes": 2, "seconds": 10}, "2 min 10 s"),
    ({"hours": 1}, "1 h"),
    ({"hours": 1, "seconds": 5}, "1 h 5 s"),
    ({"hours": 1, "minutes": 30, "seconds": 12}, "1 h 30 min"),
    ({"days": 1}, "1 day"),
    ({"days": 2, "hours": 3}, "2 days 3 h"),
    ({"minutes": -3}, "-3 min"),
]


@pytest.mark.parametrize(("span", "text"), TEXTS)
def test_a_duration_is_shown_in_its_two_largest_units(span, text):
    assert duration_text(timedelta(**span)) == text
    assert formatting.span(timedelta(**span)) == text


def test_a_distance_from_now_is_shown_in_its_largest_unit():
    assert largest_unit(timedelta(hours=3, minutes=59)) == "3 h"
    assert largest_unit(timedelta(days=1, hours=5)) == "1 day"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "400 ms"), (0.6, "1 s"), (40.86, "41 s"), (59.7, "1 min"), (3600.4, "1 h")],
)
def test_a_sentence_names_no_fractions_of_seconds(seconds, text):
    assert rounded_text(timedelta(seconds=seconds)) == text


def test_scripts_do_not_format_durations_themselves():
    script = (SOURCE / "static/sisy/dashboard.js").read_text()
    assert not re.search(r"RelativeTimeFormat|(second|minute|hour)s? ago", script)
