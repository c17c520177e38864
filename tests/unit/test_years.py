"""Does a schedule follow Debian's cron all year round?

By default on the days around each change of the clock, on one more of each month, and over New
Year; every minute of the years is walked by ``make test-years``.
"""

import os
import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from sisy.schedules import Schedule
from tests.support.moments import DAY, HOUR
from tests.unit.enumerator import at
from tests.unit.test_schedules import EXPRESSIONS, ZONES_AND_CHANGES, assert_agrees

ZONES_AND_YEARS = [
    pytest.param(zone, year, id=f"{zone} {year}")
    for zone, *changes in ZONES_AND_CHANGES
    for year in sorted({at(change).year for change in changes})
]
ALL_YEAR = ["14,40 0-2 * * *", "*/20 */2 * * *"]


def changes_of(zone: str, year: int) -> list[datetime]:
    """Return the hours in which the clock of a zone changes, without asking how it is written."""
    tz = ZoneInfo(zone)
    hours = [datetime(year, 1, 1, tzinfo=UTC) + n * HOUR for n in range(366 * 24)]
    offsets = [hour.astimezone(tz).utcoffset() for hour in hours]
    pairs = zip(hours[1:], offsets, offsets[1:], strict=False)
    return [hour for hour, before, after in pairs if before != after]


def sampled(zone: str, year: int, expression: str) -> list[tuple[datetime, datetime]]:
    """Return the ranges of a year that are walked: always the same ones."""
    choose = random.Random(f"{zone} {year} {expression}")
    days = [datetime(year, month, choose.randint(1, 28), tzinfo=UTC) for month in range(1, 13)]
    new_year = datetime(year + 1, 1, 1, tzinfo=UTC)
    around = [*changes_of(zone, year), new_year]
    return [
        *((day, day + DAY) for day in days),
        *((moment - DAY / 2, moment + DAY / 2) for moment in around),
    ]


@pytest.mark.parametrize(("zone", "year"), ZONES_AND_YEARS)
@pytest.mark.parametrize("expression", ALL_YEAR)
def test_sampled_days_of_a_year_follow_debian_cron(zone, year, expression):
    schedule = Schedule(expression, zone)
    due = [assert_agrees(schedule, *span) for span in sampled(zone, year, expression)]
    assert all(due)


@pytest.mark.parametrize(
    ("zone", "year", "changes"),
    [
        ("America/New_York", 2026, ["2026-03-08T07:00", "2026-11-01T06:00"]),
        ("Pacific/Apia", 2011, ["2011-04-02T14:00", "2011-09-24T14:00", "2011-12-30T10:00"]),
        ("Asia/Kathmandu", 2026, []),
    ],
)
def test_the_sample_has_each_change_of_the_clock(zone, year, changes):
    assert changes_of(zone, year) == [at(change) for change in changes]


@pytest.mark.skipif("SISY_TEST_YEARS" not in os.environ, reason="takes minutes: make test-years")
@pytest.mark.parametrize(("zone", "year"), ZONES_AND_YEARS)
@pytest.mark.parametrize("expression", [*ALL_YEAR, *EXPRESSIONS])
def test_a_whole_year_follows_debian_cron(zone, year, expression):
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    assert_agrees(Schedule(expression, zone), start, end)
