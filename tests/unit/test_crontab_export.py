"""Schedules as plain crontabs, as Sentry reads them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from sisy.exceptions import ScheduleError
from sisy.schedules import Schedule
from sisy.schedules.crontab_export import as_crontab

PLAIN = [
    ("* * * * *", "* * * * *"),
    ("*/5 0,3,6,9 * * *", "*/5 0,3,6,9 * * *"),
    ("30 2 * * mon-fri", "30 2 * * 1-5"),
    ("0 9 * jan,mar sun", "0 9 * 1,3 0"),
    ("0 9 * * 7", "0 9 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("0 23-3/2 * * *", "0 1,3,23 * * *"),
    ("3/20 8-18/2 1,15 * *", "3,23,43 8,10,12,14,16,18 1,15 * *"),
    # Sisy runs on odd days and on Mondays; with ``*/2``, others would run on odd Mondays.
    ("0 0 */2 * mon", "0 0 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31 * 1"),
    ("0 0 13 * fri", "0 0 13 * 5"),
    ("15 4 * * * 0", "15 4 * * *"),
]
NOT_PLAIN = [
    ("* * * * * *", "it has seconds"),
    ("* * * * * */10", "it has seconds"),
    ("0 9 * * * 30", "it has seconds"),
    ("0 0 l * *", "its day-of-month is the last day or the nearest weekday"),
    ("0 0 15w * *", "its day-of-month is the last day or the nearest weekday"),
    ("0 0 lw * *", "its day-of-month is the last day or the nearest weekday"),
    ("0 0 * * mon#2", "its day-of-week has a position in the month"),
    ("0 0 * * l5", "its day-of-week has a position in the month"),
    ("*/20,7 * * * *", "its minute is a list that begins with '*'"),
]
# Without Australia/Lord_Howe, whose clocks change by half an hour: CronSim leaves out moments that
# Debian's cron repeats.
ZONES = ("UTC", "America/New_York", "Europe/Dublin", "Asia/Beirut")


@pytest.mark.parametrize(("expression", "crontab"), PLAIN)
def test_a_plain_schedule_is_written_as_a_crontab(expression, crontab):
    assert as_crontab(expression) == crontab


@pytest.mark.parametrize(("expression", "why"), NOT_PLAIN)
def test_a_schedule_that_a_crontab_cannot_mean_is_rejected_with_a_reason(expression, why):
    Schedule(expression)
    with pytest.raises(ScheduleError) as caught:
        as_crontab(expression)
    assert str(caught.value) == why


def test_h_becomes_the_number_of_the_task():
    minute, *rest = as_crontab("h 4 * * *", "report").split()
    assert rest == ["4", "*", "*", "*"]
    (due,) = Schedule("h 4 * * *", key="report").upcoming(datetime(2026, 1, 1, tzinfo=UTC), 1)
    assert due.minute == int(minute)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", [expression for expression, _ in PLAIN])
def test_sentrys_parser_finds_the_same_moments_also_when_clocks_change(expression, zone):
    crontab = as_crontab(expression)
    for start in (datetime(2026, 3, 7), datetime(2026, 4, 4), datetime(2026, 10, 30)):
        begin = start.replace(tzinfo=ZoneInfo(zone))
        until = begin.astimezone(UTC) + timedelta(days=4)
        theirs = []
        for due in CronSim(crontab, begin):
            if due.astimezone(UTC) > until:
                break
            theirs.append(due.astimezone(UTC))
        assert list(Schedule(expression, zone).between(begin, until)) == theirs
