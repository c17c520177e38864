"""Plans of many tasks at one moment: alike only where all that decides is alike."""

import pytest

from sisy.heartbeat.occurrences import Planner, plan
from sisy.models import Missed, Task
from tests.support.moments import HOUR, NOON


def task(**columns):
    given = {"label": "a", "schedule": "*/10 * * * *", "timezone": "UTC", "next_run": NOON}
    return Task(**{**given, **columns})


DIFFERENCES = [
    {"schedule": "*/20 * * * *"},
    {"timezone": "Asia/Kathmandu"},
    {"label": "b", "schedule": "h * * * *"},
    {"label": "c", "schedule": "H * * * *"},
    {"start_running": NOON + HOUR},
    {"end_running": NOON + HOUR},
    {"next_run": NOON + HOUR},
    {"missed": Missed.ALL},
    {"missed": Missed.SKIP},
    {"missed": Missed.ALL, "missed_window": HOUR},
    {"iterations": 2, "missed": Missed.ALL},
    {"iterations": 2, "runs_planned": 1, "missed": Missed.ALL},
]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=str)
def test_a_task_is_planned_as_if_it_were_the_only_one(difference):
    now = NOON + 2 * HOUR
    planner = Planner(now, 100)
    for other in [{}, *DIFFERENCES]:
        planner.plan(task(**other))
    assert planner.plan(task(**difference)) == plan(task(**difference), now, 100)
    assert planner.plan(task()) == plan(task(), now, 100)
