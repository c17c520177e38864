"""The rule by which something fails intermittently, and by which that is over."""

from datetime import timedelta

import pytest

from sisy.alerting.flapping import flaps, in_words, shows_too_little
from sisy.models import RunState
from sisy.store.judging import Ended
from tests.support.moments import DAY, MINUTE, NOON

STATES = {"F": RunState.FAILED, "L": RunState.LOST, "S": RunState.SUCCEEDED}


def runs(letters, apart=MINUTE, since=timedelta(0)):
    """Return runs with these outcomes, of which the last one ended ``since`` before noon."""
    moments = [NOON - since - n * apart for n in range(len(letters))]
    return [
        Ended(len(letters) - n, STATES[letter], moment)
        for n, (letter, moment) in enumerate(zip(reversed(letters), moments, strict=True))
    ]


@pytest.mark.parametrize(
    ("letters", "is_flapping"),
    [
        ("SSSSF", False),
        ("FFFFFF", False),
        ("FSSF", False),
        ("FSFSF", True),
        ("FSFSFS", True),
        ("FFSFFSF", True),
        ("F" + 10 * "S" + "F" + 6 * "S" + "F", True),
        ("F" + 10 * "S" + "F" + 10 * "S" + "F", False),
        ("FSFSF" + 9 * "S", True),
        ("FSFSF" + 10 * "S", False),
    ],
)
def test_three_series_of_failures_among_twenty_runs_are_flapping(letters, is_flapping):
    assert flaps(runs(letters), NOON, 1) is is_flapping


def test_many_runs_in_a_minute_are_not_enough_for_a_recovery():
    letters = "FSFSF" + 12 * "S"
    assert flaps(runs(letters, apart=MINUTE / 12), NOON, 1)
    assert not flaps(runs(letters, apart=MINUTE / 12, since=9 * MINUTE), NOON, 1)


@pytest.mark.parametrize(
    ("letters", "shows_too_little_of_it"),
    [
        (40 * "S", True),
        (39 * "S", False),  # there are no more runs
        ("SF" + 38 * "S", True),
        (15 * "S" + "FSFSF" + 20 * "S", False),
        (14 * "S" + "FSFSF" + 21 * "S", True),
    ],
)
def test_what_runs_each_second_needs_more_runs_to_be_judged(letters, shows_too_little_of_it):
    each_second = runs(letters, apart=MINUTE / 60)
    assert shows_too_little(each_second, NOON) is shows_too_little_of_it
    assert not shows_too_little(runs(letters, since=10 * MINUTE), NOON)


def test_failures_of_another_day_do_not_count():
    assert flaps(runs("FSFSF", apart=5 * 60 * MINUTE), NOON, 1)
    assert not flaps(runs("FSFSF", apart=7 * 60 * MINUTE), NOON, 1)
    assert not flaps(runs("FSFSF", since=DAY), NOON, 1)


@pytest.mark.parametrize(("limit", "is_flapping"), [(1, True), (2, True), (3, False)])
def test_a_series_counts_if_it_is_as_long_as_alert_after(limit, is_flapping):
    assert flaps(runs("FFSFFSFFS"), NOON, limit) is is_flapping


def test_a_lost_run_counts_whatever_alert_after_is():
    assert flaps(runs("LSLSL"), NOON, 5)


def test_an_open_alert_stays_open_while_it_fails_less_often_than_before():
    letters = "F" + 9 * "S" + "F" + 9 * "S"
    assert not flaps(runs(letters), NOON, 1)
    assert flaps(runs(letters), NOON, 1, opened_by=1)
    assert not flaps(runs(letters), NOON, 1, opened_by=2)


def test_the_words_count_the_failures_among_as_many_runs_each_time():
    assert in_words(runs("FSFSF")) == "It fails intermittently. 3 of the last 5 runs failed"
    for letters in (30 * "SF", 30 * "FS", 20 * "SFFS"):
        words = "It fails intermittently. 20 of the last 40 runs failed"
        assert in_words(runs(letters)) == words
    words = "It fails intermittently. 3 of the last 30 runs failed"
    assert in_words(runs("FSFSF" + 25 * "S")) == words
