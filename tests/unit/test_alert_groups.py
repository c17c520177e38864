"""Alerts grouped by their cause: one outage is one problem."""

from dataclasses import replace

import pytest

from sisy.models import Alert as AlertRecord
from sisy.reports.alerts import Alert, Kind, Severity
from sisy.reports.alerts.grouping import grouped
from sisy.reports.alerts.verdict import in_words
from tests.support.moments import HOUR, MINUTE, NOON

NOT_PLANNED = "No heartbeat planned the task in time."


def alert(kind, why="", severity=Severity.ERROR, **columns):
    return Alert(kind=kind, severity=severity, why=why, **columns)


def recorded(kind=Kind.FAILING, why="The latest run failed: KeyError.", **columns):
    record = AlertRecord(kind=kind, subject="task:5", since=NOON, **columns)
    return alert(kind, why, what="import", task=5, run=7, record=record, since=NOON)


def whats(groups):
    return [(group.what, group.why) for group in groups]


def test_occurrences_that_an_outage_missed_are_one_problem():
    alerts = [
        alert(
            Kind.MISSED,
            f"{n} occurrences were missed: {NOT_PLANNED}",
            cause=NOT_PLANNED,
            what=f"task {n}",
            task=n,
            since=NOON - n * MINUTE,
        )
        for n in range(1, 8)
    ]
    [group] = grouped(alerts)
    assert (group.what, group.why) == ("7 tasks", NOT_PLANNED)
    assert group.since == NOON - 7 * MINUTE
    assert group.affects == "task 1, task 2, task 3 and 4 more"
    assert in_words([group], NOON) == "1 problem"


def test_tasks_with_different_errors_are_different_problems():
    alerts = [
        alert(Kind.FAILING, f"The latest run failed: {error}.", cause=error, what=error, task=n)
        for n, error in enumerate(("KeyError", "OSError", "KeyError"))
    ]
    assert whats(grouped(alerts)) == [
        ("2 tasks", "KeyError."),
        ("OSError", "The latest run failed: OSError."),
    ]


def test_late_tasks_belong_to_the_heartbeat_that_is_missing():
    late = [alert(Kind.LATE, "No heartbeat planned it.", what=f"t{n}", task=n) for n in range(2)]
    none = alert(Kind.NO_HEARTBEAT, "No heartbeat is running.", Severity.CRITICAL)
    [group] = grouped([*late, none])
    assert (group.lead, group.affects) == (none, "t0, t1")
    assert whats(grouped(late)) == [("2 tasks", "No heartbeat planned it.")]


def test_one_dead_heartbeat_of_several_does_not_explain_late_tasks():
    dead = recorded(Kind.NO_HEARTBEAT, "The heartbeat of shop-1 died.")
    assert len(grouped([dead, alert(Kind.LATE, "Late.", task=1)])) == 2


@pytest.mark.parametrize(("queue", "number"), [("mail", 1), ("slow", 2)])
def test_runs_belong_to_the_queue_that_has_no_worker(queue, number):
    cause = alert(Kind.NO_WORKER, "No worker.", Severity.CRITICAL, queues=("mail",))
    queued = alert(Kind.QUEUED, "3 runs are queued.", queues=(queue,))
    assert len(grouped([cause, queued])) == number


def test_an_open_cause_can_be_handled_although_its_consequence_was_closed():
    queue = {"queues": ("mail",)}
    cause = replace(recorded(Kind.NO_WORKER, "No worker."), task=None, **queue)
    closed = AlertRecord(kind=Kind.QUEUED, subject="queue:mail", closed_by="Sam")
    queued = alert(Kind.QUEUED, "3 runs are queued.", Severity.INFO, closed=closed, **queue)
    [group] = grouped([cause, queued])
    assert (group.closed, group.records) == ([], [cause.record])


def test_alerts_that_people_closed_say_who_did_and_need_nothing():
    closed = [
        recorded(closed_by=user, closed_at=NOON - number * MINUTE)
        for number, user in enumerate(["Sam", "Ann", "Sam"])
    ]
    groups = grouped(
        [
            recorded(),
            *(
                replace(each, record=None, closed=each.record, severity=Severity.INFO)
                for each in closed
            ),
        ]
    )
    assert [(group.closed_by, group.closed_at) for group in groups] == [
        ("", None),
        ("Ann, Sam", NOON),
    ]
    assert [bool(group.fix) for group in groups] == [True, False]


def test_queues_without_a_worker_are_one_problem_if_no_worker_is_running():
    none = alert(Kind.NO_WORKER, "No worker is running.", Severity.CRITICAL)
    idle = [
        alert(Kind.NO_WORKER, "No worker.", Severity.CRITICAL, queues=(queue,), since=NOON)
        for queue in ("mail", "slow")
    ]
    queued = alert(Kind.QUEUED, "3 runs are queued.", queues=("slow",))
    [group] = grouped([idle[0], queued, none, idle[1]])
    assert (group.lead, group.affects, group.since) == (none, "queue mail, queue slow", NOON)
    assert in_words([group], NOON) == "1 problem"
    assert len(grouped([idle[0], queued, idle[1]])) == 2


def test_the_order_of_alerts_stays():
    alerts = [alert(Kind.BROKEN, f"No zone {c}: {c}", what=c, task=ord(c)) for c in "bca"]
    assert [group.what for group in grouped(alerts)] == ["b", "c", "a"]


def test_the_key_of_a_group_stays_when_only_its_numbers_change():
    first, later = (
        alert(Kind.MISSED, f"{n} occurrences were missed: {NOT_PLANNED}", what="a", task=1)
        for n in (2, 3)
    )
    assert grouped([first])[0].key == grouped([later])[0].key


def test_problems_are_counted_with_those_that_people_know():
    groups = grouped(
        [
            recorded(acknowledged_at=NOON, acknowledged_by="Sam"),
            recorded(why="The latest run failed: OSError.", muted_until=NOON + HOUR),
            alert(Kind.FAILED, "And 3 more tasks.", number=3),
            alert(Kind.QUEUE_PAUSED, "Paused.", Severity.INFO, queues=("mail",)),
        ]
    )
    assert in_words(groups, NOON) == "5 problems, 3 to handle (1 acknowledged, 1 muted)"
    assert in_words(groups, NOON + HOUR) == "5 problems, 4 to handle (1 acknowledged)"
    assert [group.is_handled(NOON) for group in groups] == [True, True, False, True]


def test_a_group_is_handled_once_all_of_its_open_alerts_are():
    known = recorded(acknowledged_at=NOON, acknowledged_by="Sam")
    over, other = replace(known, record=None), recorded()
    assert grouped([known, over])[0].is_handled(NOON)
    assert not grouped([known, other, over])[0].is_handled(NOON)
    assert not grouped([over])[0].is_handled(NOON)


def test_a_group_says_how_many_of_its_alerts_were_acknowledged():
    known, other = recorded(acknowledged_at=NOON, acknowledged_by="Sam"), recorded()
    assert grouped([known])[0].acknowledged == "acknowledged by Sam"
    assert grouped([known, other])[0].acknowledged == "1 of 2 acknowledged by Sam"
    assert grouped([other])[0].acknowledged == ""


def test_a_paused_queue_alone_is_not_a_problem():
    paused = grouped([alert(Kind.QUEUE_PAUSED, "Paused.", Severity.INFO, queues=("mail",))])
    assert in_words(paused, NOON) == ""


def test_only_a_single_failed_run_can_be_retried_from_the_list():
    one = recorded()
    [group] = grouped([one])
    [several] = grouped([one, recorded()])
    assert (group.is_retryable, several.is_retryable) == (True, False)
    assert not grouped([alert(Kind.MISSED, task=1, run=3)])[0].is_retryable


@pytest.mark.parametrize(
    ("kind", "number", "advice"),
    [
        (Kind.FAILED, 1, "Open the run to read its error. Retry it when"),
        (Kind.FAILED, 2, "Open the runs to read their errors. Retry them when"),
        (Kind.BROKEN, 2, "Open the tasks, correct them"),
        (Kind.MISSED, 1, "Backfill the task if the occurrences"),
        (Kind.MISSED, 2, "Backfill the tasks if the occurrences"),
    ],
)
def test_the_advice_is_about_one_or_several(kind, number, advice):
    since, until = NOON - HOUR, NOON if kind == Kind.MISSED else None
    alerts = [
        alert(
            kind,
            "Failed: KeyError.",
            cause="KeyError",
            what=f"{n}",
            task=n,
            run=n,
            since=since,
            until=until,
        )
        for n in range(number)
    ]
    [group] = grouped(alerts)
    assert group.fix.startswith(advice)


def test_a_single_missed_occurrence_is_retried_and_not_backfilled():
    [group] = grouped([alert(Kind.MISSED, NOT_PLANNED, task=5, run=7, since=NOON, until=NOON)])
    assert group.fix == "Retry the run if the occurrence still needs to run."
    assert group.is_retryable
    [group] = grouped(
        [alert(Kind.MISSED, NOT_PLANNED, task=5, run=7, since=NOON, until=NOON + HOUR)]
    )
    assert not group.is_retryable
