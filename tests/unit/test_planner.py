"""Plans of many tasks at one moment: alike only where all that decides is alike."""

import pytest

from sisy.models import Missed, Task
from sisy.planning import catch_up
from sisy.planning.catch_up import Planner, Watch
from tests.support.moments import HOUR, MINUTE, NOON


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


def plan(planned, now, **watch):
    return Planner(Watch(now, 100, **watch)).plan(planned)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=str)
def test_a_task_is_planned_as_if_it_were_the_only_one(difference):
    now = NOON + 2 * HOUR
    planner = Planner(Watch(now, 100))
    for other in [{}, *DIFFERENCES]:
        planner.plan(task(**other))
    assert planner.plan(task(**difference)) == plan(task(**difference), now)
    assert planner.plan(task()) == plan(task(), now)


@pytest.fixture
def computed(monkeypatch):
    """Return the plans that were computed, one after the other."""
    found = []
    compute = catch_up._plan

    def computing(due_task, watch):
        found.append(due_task)
        return compute(due_task, watch)

    monkeypatch.setattr(catch_up, "_plan", computing)
    return found


@pytest.mark.parametrize(
    ("schedule", "times"),
    [
        ("@hourly", 1),
        ("@monthly", 1),
        ("@midnight", 1),
        ("0 0 * * thu", 1),
        ("0 0 * * THU-sat", 1),
        ("0 0 * mar *", 1),
        ("h * * * *", 100),
        ("0 H(1-5) * * thu", 100),
        ("h/5 * * * *", 100),
    ],
)
def test_equal_schedules_are_computed_once_unless_they_are_hashed(computed, schedule, times):
    planner = Planner(Watch(NOON, 100))
    for number in range(100):
        planner.plan(task(label=f"task {number}", schedule=schedule))
    assert len(computed) == times


def test_the_number_of_iterations_makes_no_plan_of_its_own(computed):
    planner = Planner(Watch(NOON + HOUR, 100))
    plans = [
        planner.plan(task(iterations=left, missed=Missed.ALL, next_run=NOON)) for left in (1, 2, 9)
    ]
    assert [len(made.due) for made in plans] == [1, 2, 7]
    assert [made.next_run is None for made in plans] == [True, True, False]
    assert len(computed) == 1


@pytest.mark.parametrize("missed", Missed)
def test_an_occurrence_due_while_the_heartbeat_is_busy_is_not_missed(missed):
    now = NOON + 2 * MINUTE
    made = plan(
        task(schedule="* * * * *", missed=missed),
        now,
        at_work_since=NOON - MINUTE,
    )
    assert (made.due, made.gap) == ((NOON, NOON + MINUTE, now), None)


def test_only_occurrences_before_the_heartbeat_started_are_missed():
    now = NOON + 3 * MINUTE
    made = plan(
        task(schedule="* * * * *", missed=Missed.SKIP),
        now,
        at_work_since=NOON + MINUTE + MINUTE / 2,
    )
    assert made.due == (NOON + 2 * MINUTE, now)
    assert made.gap is not None
    assert (made.gap.first, made.gap.last, made.gap.count) == (NOON, NOON + MINUTE, 2)
    assert made.gap.reason.startswith("No heartbeat planned the task in time.")


def test_a_heartbeat_that_is_far_behind_lets_the_policy_decide():
    now = NOON + 2 * MINUTE
    made = plan(task(schedule="* * * * * *"), now, at_work_since=NOON)
    assert made.due == (now,)
    assert made.gap is not None
    assert made.gap.count == 120
