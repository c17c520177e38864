"""At the ends of the calendar every question has an answer, in every zone."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest

from sisy.schedules import Schedule, calendar
from tests.unit.enumerator import at

ZONES = ["UTC", "America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Amman"]
EXPRESSIONS = [
    "* * * * * *",
    "*/20 2 * * *",
    "0 0 1 1 *",
    "59 23 31 12 *",
    "0 0 29 2 mon#5",
    "H H * * *",
]
OFFSETS = [timezone(timedelta(hours=hours)) for hours in (-23, -5, 0, 9, 23)]
MIN, MAX = (edge.replace(tzinfo=UTC) for edge in (datetime.min, datetime.max))  # noqa: DTZ901
EDGES = [
    *(edge.replace(tzinfo=offset) for edge in (MIN, MAX) for offset in OFFSETS),
    calendar.FIRST,
    calendar.LAST,
    *(
        end + step * timedelta(hours=1)
        for end in (calendar.FIRST, calendar.LAST)
        for step in (-20, -1, 1, 20)
    ),
]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_nothing_fails_at_the_ends_of_the_calendar(expression, zone):
    schedule = Schedule(expression, zone, key="x")
    for moment in EDGES:
        later, earlier = schedule.next_after(moment), schedule.last_until(moment)
        assert later is None or max(moment, calendar.FIRST) < later <= calendar.LAST
        assert earlier is None or calendar.FIRST <= earlier <= min(moment, calendar.LAST)
        assert len(schedule.upcoming(moment, 3)) <= 3
        just_before = calendar.just_before(moment)
        assert just_before == calendar.FIRST or just_before < moment


@pytest.mark.parametrize("zone", ZONES)
def test_ranges_over_an_end_of_the_calendar_are_counted_and_listed(zone):
    schedule = Schedule("0 0 1 1 *", zone)
    for after, until in product(EDGES, repeat=2):
        if abs(after.year - until.year) < 10 or after > until:
            count = schedule.count_between(after, until)
            assert count in (0, 1, 2)
            assert len(list(schedule.between(after, until))) == count


@pytest.mark.parametrize("zone", ZONES)
def test_counting_near_an_end_equals_stepping(zone):
    schedule = Schedule("*/20 2 * * *", zone)
    for start in (calendar.FIRST, calendar.LAST - timedelta(days=3)):
        found, due = [], schedule.next_after(start)
        while due is not None and due <= start + timedelta(days=3):
            found.append(due)
            due = schedule.next_after(due)
        assert list(schedule.between(start, start + timedelta(days=3))) == found
        assert schedule.count_between(start, start + timedelta(days=3)) == len(found) > 3
        assert schedule.last_until(start + timedelta(days=3)) == found[-1]


def test_a_moment_outside_of_the_calendar_is_its_nearer_end():
    assert calendar.within(MIN) == calendar.FIRST
    assert calendar.within(MAX.replace(tzinfo=OFFSETS[0])) == calendar.LAST
    assert calendar.just_before(MIN) == calendar.FIRST
    assert calendar.within(at("2026-05-05T12:00")) == at("2026-05-05T12:00")
    assert [calendar.is_within(edge) for edge in (calendar.FIRST, calendar.LAST)] == [True, True]
    assert not any(map(calendar.is_within, EDGES[: 2 * len(OFFSETS)]))
