"""Write a schedule as the plain crontab that other software understands.

Its five fields contain numbers, ranges, lists and ``*``. They mean the same to Sisy, to Debian's
cron and to CronSim, with which Sentry reads them, even when clocks change by whole hours.
"""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from sisy.exceptions import ScheduleError
from sisy.schedules.expression import fields_of, parse
from sisy.schedules.names import VALUES

STARRED = re.compile(r"\*(/\d+)?")


@lru_cache(maxsize=4096)
def as_crontab(expression: str, key: str = "") -> str:
    """Return a schedule as five plain fields.

    Args:
        key: the text from which ``H`` is computed, which becomes a number.

    Raises:
        ScheduleError: five plain fields cannot mean the same, or the schedule is invalid. The
            message says why, as a clause.
    """
    fields = parse(expression, key)
    texts = dict(fields_of(expression))
    if fields.seconds != (0,):
        raise ScheduleError("it has seconds")
    rule = fields.day_rule
    if rule.has_last_day or rule.nearest:
        raise ScheduleError("its day-of-month is the last day or the nearest weekday")
    if rule.nth:
        raise ScheduleError("its day-of-week has a position in the month")
    return " ".join(
        (
            _clock_field("minute", texts, fields.minutes),
            _clock_field("hour", texts, fields.hours),
            # Never ``*/2``: beside a day of the week, other software reads it as no restriction.
            "*" if rule.days is None else _listed(rule.days),
            _listed(rule.months, VALUES["month"]),
            "*" if rule.weekdays is None else _listed(rule.weekdays),
        )
    )


def _clock_field(name: str, texts: dict[str, str], values: Sequence[int]) -> str:
    # A minute or an hour that begins with ``*`` decides what happens when clocks change.
    text = texts[name]
    if STARRED.fullmatch(text):
        return text
    if text.startswith("*"):
        raise ScheduleError(f"its {name} is a list that begins with '*'")
    return _listed(values)


def _listed(values: Collection[int], every: Collection[int] = ()) -> str:
    """Return values as a list of numbers and ranges; ``*`` if they are ``every`` value."""
    if set(values) == set(every):
        return "*"
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ",".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs
    )
