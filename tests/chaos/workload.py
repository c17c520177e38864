"""The tasks under test: mixed schedules, policies, durations and ends."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sisy.models import Missed, OnLost, Overlap, Task, task_with_callable
from tests.chaos import jobs

QUEUES = ("default", "mail", "slow")
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe")

EVERY = {
    1: ("* * * * * *",),
    2: ("* * * * * */2", "* * * * * 1-59/2"),
    3: ("* * * * * */3", "* * * * * 2-59/3"),
    5: ("* * * * * */5", "* * * * * 3,8,13,18,23,28,33,38,43,48,53,58"),
    10: ("* * * * * */10", "*/1 * * * * 7,17,27,37,47,57"),
    15: ("* * * * * */15", "* * * * * 4,19,34,49"),
    30: ("* * * * * */30", "* * * * * 11,41"),
    60: ("* * * * *", "* * * * * 20", "0-59 * * * mon-sun 45"),
}
"""Schedules by their period in seconds."""

SHARES = {
    "postgres": {1: 30, 2: 30, 3: 30, 5: 40, 10: 50, 15: 40, 30: 40, 60: 40},
    "mariadb": {1: 15, 2: 20, 3: 25, 5: 40, 10: 60, 15: 50, 30: 45, 60: 45},
    "sqlite": {1: 3, 2: 4, 3: 6, 5: 15, 10: 40, 15: 60, 30: 80, 60: 92},
}
"""How many tasks have which period: 76, 51 and 19 occurrences a second."""

MOST_TASKS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A task before it is saved.

    Attributes:
        part: who may change it: ``own`` nobody; ``edited`` and ``deleted`` the user.
        period: of its schedule, in seconds.
        fields: of the task.
        ends_after: seconds from the start to ``end_running``.
    """

    key: str
    part: str
    period: int
    function: Any
    fields: dict[str, Any] = field(default_factory=dict)
    ends_after: int | None = None

    def task(self, start: datetime) -> Task:
        fields = dict(self.fields)
        if self.ends_after is not None:
            fields["end_running"] = start + timedelta(seconds=self.ends_after)
        return task_with_callable(self.function, label=self.key, start_running=start, **fields)


def drafts(seed: int, database: str, seconds: float, most: int = MOST_TASKS) -> list[Draft]:
    """Return 300 tasks, or fewer; the same for the same arguments."""
    draw = random.Random(f"workload {seed}")
    periods = [period for period, count in SHARES[database].items() for _ in range(count)]
    if most < len(periods):
        periods = sorted(draw.sample(periods, most))
    return [_draft(draw, f"task-{n:03}", n, period, seconds) for n, period in enumerate(periods)]


def _draft(draw: random.Random, key: str, n: int, period: int, seconds: float) -> Draft:
    # Policies go round independently of each other, so that small numbers hold many mixtures.
    overlap = list(Overlap)[n % len(Overlap)]
    part = ("own", "own", "own", "edited", "edited", "deleted")[draw.randrange(6)]
    is_long = _share_of_long_runs(draw, overlap)
    fields: dict[str, Any] = {
        "schedule": draw.choice(EVERY[period]),
        "timezone": draw.choice(ZONES),
        "overlap": overlap,
        "missed": draw.choice(list(Missed)),
        "on_lost": draw.choice([OnLost.RERUN, OnLost.RERUN, OnLost.FAIL]),
        "queue": draw.choice(QUEUES),
        "priority": draw.choice([0, 0, 0, 10, -10]),
        "userdata": {
            "key": key,
            "short": draw.choice([0.0, 0.002, 0.02, 0.1]),
            "long": min(8.0, period * draw.choice([1.3, 1.7, 2.5])),
            "is_long": is_long,
            "fails": draw.choice([0, 0, 0, 0.2]),
        },
    }
    function = draw.choice([jobs.work, jobs.watchful_work, jobs.async_work])
    if draw.random() < 0.3:
        fields["max_attempts"] = draw.choice([2, 3])
        fields["retry_delay"] = timedelta(seconds=draw.choice([1, 2]))
    if draw.random() < 0.15:
        fields["spread"] = timedelta(seconds=draw.choice([1, 2, 4]))
    if draw.random() < 0.15:
        fields["missed_window"] = timedelta(seconds=draw.choice([8, 20]))
    if is_long and function is not jobs.work and draw.random() < 0.4:
        fields["timeout"] = timedelta(seconds=draw.choice([0.5, 1, 2]))
    ends_after = None
    if part == "own":
        _end_or_not(draw, fields)
        if "iterations" not in fields and draw.random() < 0.3:
            # Never before its first occurrence: such a task is refused. On a busy machine it may
            # be saved some seconds after its start.
            ends_after = max(2 * period, round(seconds * draw.choice([0.3, 0.6, 0.9])))
    return Draft(
        key=key,
        part=part,
        period=period,
        function=function,
        fields=fields,
        ends_after=ends_after,
    )


def _share_of_long_runs(draw: random.Random, overlap: str) -> float:
    """Return how many runs last longer than the period; of those that queue up, not too many."""
    if draw.random() < 0.7:
        return 0.0
    return 0.2 if overlap == Overlap.BUFFER_ALL else draw.choice([0.2, 0.6])


def _end_or_not(draw: random.Random, fields: dict[str, Any]) -> None:
    match draw.randrange(4):
        case 0:
            fields["iterations"] = draw.choice([1, 3, 10, 25])
        case 1:
            fields["wait_for_schedule"] = False
        case _:
            pass
