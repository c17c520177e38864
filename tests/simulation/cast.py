"""The tasks of a simulated site: every zone of the design, and every policy."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sisy.models import Missed, OnLost, Overlap
from tests.simulation.expected import changes_of_year
from tests.simulation.history import Times
from tests.simulation.user import User

YEAR = 2011
"""In it most of the zones below set their clocks, and Samoa leaves out a whole day."""

ZONES = {
    "America/New_York": "30 2 * * sun",
    "Europe/London": "30 1 * * sun",
    "Europe/Dublin": "15 1 * * sun",
    "Australia/Lord_Howe": "15 2 * * sun",
    "Antarctica/Troll": "30 1,2 * * sun",
    "America/Santiago": "30 0,23 * * sat,sun",
    "Asia/Beirut": "30 0 * * sun",
    "Asia/Amman": "30 0 * * fri",
    "Africa/Casablanca": "30 0,2 * * sun",
    "Pacific/Apia": "30 3 * * fri,sun",
    "Asia/Kathmandu": "45 5 * * mon",
}
"""Each with fixed times at which its clock is set, on days on which that happens."""

OVERLAPS = tuple(Overlap)

SCHEDULES = (
    "0 */12 * * sat",
    "30 2 * * *",
    "*/15 4 * * 1",
    "5 0 * * tue",
    "0 3 * * *",
    "0 9 1,15 * *",
    "*/7 1 1 * *",
    "0 22 * * sun",
)
"""What the user chooses from."""

CROWDED = (
    "*/5 * * * *",
    "*/10 * * * *",
    "3-59/7 * * * *",
    "*/2 * * * * 0,30",
    "*/5 * * * * 0,2,4,6",
    "*/5 * * * * 1,3,5,7",
)
"""What the user of a crowded site chooses from; some are due between each other's moments."""

CROWDED_FIXED = (
    "0-59/5 0-23 * * *",
    "0-59/10 0-23 * * *",
    "3-59/7 0-23 * * *",
    "0-59/2 0-23 * * * 0,30",
    "0-59/5 0-23 * * * 0,2,4,6",
    "0-59/5 0-23 * * * 1,3,5,7",
)
"""The same where the clock is set: fixed times wait until it has caught up."""

DENSE = ("* * * * * */2", "* * * * * 1-59/2", "* * * * * */3", "* * * * * *")
"""What the user of a site chooses from whose tasks are always within seconds of being due."""

DENSE_FIXED = tuple(schedule.replace("* *", "0-59 0-23", 1) for schedule in DENSE)

EVERY_FEW_SECONDS = "* * * * * */{}"
EVERY_FEW_SECONDS_FIXED = EVERY_FEW_SECONDS.replace("* *", "0-59 0-23", 1)
"""Schedules of tasks that run a few times, and end."""

HOURS = timedelta(hours=1)


def wants(draw) -> dict[str, Any]:
    """Draw policies, and how the function does."""
    fails = draw.choice((0, 0, 0.3))
    return {
        "missed": draw.choice(list(Missed)),
        "missed_window": draw.choice((None, None, 2 * HOURS)),
        "overlap": draw.choice(OVERLAPS),
        "on_lost": draw.choice(list(OnLost)),
        "max_attempts": draw.choice((1, 3)),
        "fails": fails,
        "takes": draw.choice(((0.05, 3.0), (0.05, 3.0), (20.0, 120.0), (300.0, 1500.0))),
    }


def enter(user: User, draw, start: datetime, end: datetime) -> None:
    """Make the tasks that the user leaves alone."""
    for number, (zone, schedule) in enumerate(ZONES.items()):
        times = Times(schedule=schedule, timezone=zone)
        missed = list(Missed)[number % 3]
        user.makes(f"fixed in {zone}", times, **{**wants(draw), "missed": missed})
        for change in changes_of_year(zone, start.year):
            if start <= change - 4 * HOURS and change + 4 * HOURS <= end:
                _around(user, draw, zone, change)
    monthly = Times(schedule="*/10 3 1 * *", timezone="UTC")
    for overlap in OVERLAPS:
        policies = {**wants(draw), "overlap": overlap, "takes": (200.0, 800.0)}
        user.makes(f"monthly with {overlap}", monthly, **policies)


def crowd(user: User, draw, schedules: Sequence[str]) -> None:
    """Make a few tasks that keep all workers busy, and that the user works on all the time."""
    for number, overlap in enumerate((*OVERLAPS, *OVERLAPS)[:6]):
        times = Times(schedule=draw.choice(schedules), timezone="UTC")
        takes = draw.choice(((1.0, 20.0), (60.0, 300.0), (100.0, 400.0)))
        policies = {**wants(draw), "overlap": overlap, "takes": takes}
        user.makes(f"crowded-{number}", times, is_edited=True, **policies)


def fill(user: User, draw, schedules: Sequence[str]) -> None:
    """Make a few tasks of which each is due, and edited, within seconds."""
    for number, overlap in enumerate((Overlap.ALLOW, *OVERLAPS)):
        times = Times(schedule=draw.choice(schedules), timezone="UTC")
        policies = {
            **wants(draw),
            "overlap": overlap,
            "takes": draw.choice(((0.05, 0.5), (0.5, 3))),
        }
        user.makes(f"dense-{number}", times, is_edited=True, **policies)


def _around(user: User, draw, zone: str, change: datetime) -> None:
    """Let much fall due around a change of a clock."""
    window = {"start": change - 3 * HOURS, "end": change + 3 * HOURS}
    for name, schedule in (("starred", "*/30 * * * *"), ("fixed", "10,40 0-4,22,23 * * *")):
        times = Times(schedule=schedule, timezone=zone, **window)
        label = f"{name} in {zone} at {change.astimezone(UTC):%F %H:%M}"
        user.makes(label, times, **wants(draw))
