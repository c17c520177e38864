"""Tasks that many people edit all the time, while two heartbeats tick each second."""

import itertools
from functools import partial

import pytest

from sisy.heartbeat import tick
from sisy.models import Run, Task, TaskState
from tests.concurrency.threads import at_once
from tests.support.moments import DAY, HOUR, NOON, SECOND
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("now")]

SECONDS = 15
EVERY_SECOND = [NOON + n * SECOND for n in range(1, SECONDS + 1)]


def people_and_heartbeats(now, people):
    """Let it be second after second; in each, everybody edits once or twice while two tick."""
    for moment in EVERY_SECOND:
        now.moment = moment - SECOND / 2
        at_once(*[partial(tick, "default", moment)] * 2, *people)
        tick("default", moment)  # for the tasks that somebody had locked whenever the two looked


def person(copies, edit):
    """Return somebody who has read the tasks before everybody else wrote, and edits them."""
    count = itertools.count(1)

    def edits():
        for _ in range(2):
            n = next(count)
            for copy in copies:
                edit(copy, n)

    return edits


def saver(tasks, name, value):
    def save(copy, n):
        setattr(copy, name, value(n))
        copy.save()

    return person([stored(task) for task in tasks], save)


def dues(task):
    return list(task.runs.order_by("due_at").values_list("due_at", flat=True))


def test_concurrent_edits_all_survive_and_no_occurrence_is_lost(now):
    tasks = [scheduled("* * * * * *") for _ in range(4)]
    values = {
        "label": "label {}".format,
        "queue": "queue-{}".format,
        "userdata": lambda n: {"n": n},
        "priority": int,
        "timezone": lambda n: ["UTC", "Asia/Kathmandu"][n % 2],
        "start_running": lambda n: NOON - n * HOUR,
        "end_running": lambda n: NOON + n * DAY,
    }
    people_and_heartbeats(now, [saver(tasks, name, values[name]) for name in values])
    for task in tasks:
        kept = stored(task)
        assert {name: getattr(kept, name) for name in values} == {
            name: value(2 * SECONDS) for name, value in values.items()
        }
        assert dues(task) == EVERY_SECOND
        assert kept.planned_until == kept.last_run == EVERY_SECOND[-1]
        assert (kept.runs_planned, kept.next_run) == (SECONDS, EVERY_SECOND[-1] + SECOND)


def test_new_schedules_pauses_and_updates_move_nothing_back(now, caplog):
    tasks = [scheduled("* * * * * *") for _ in range(4)]
    seen, moved_back = {task.pk: (NOON, NOON, 0) for task in tasks}, []

    def watcher():
        for _ in range(20):
            marks = Task.objects.values_list("pk", "planned_until", "last_run", "runs_planned")
            for pk, mark, last_run, planned in marks:
                found = (mark or NOON, last_run or NOON, planned)
                if any(new < old for new, old in zip(found, seen[pk], strict=True)):
                    moved_back.append((seen[pk], found))
                seen[pk] = found

    people = [
        saver(tasks, "schedule", lambda n: f"* * * * * */{1 + n % 2}"),
        person(tasks, lambda task, n: Task.objects.filter(pk=task.pk).update(timezone="UTC")),
        person(tasks, lambda task, n: task.pause() and task.resume()),
    ]
    people_and_heartbeats(now, [*people, watcher])
    now.moment = EVERY_SECOND[-1] + SECOND / 2
    tick("default", now.moment)
    assert moved_back == []
    for task in tasks:
        kept = stored(task)
        assert (kept.state, kept.schedule) == (TaskState.ACTIVE, "* * * * * */1")
        assert kept.next_run == EVERY_SECOND[-1] + SECOND
        assert kept.planned_until == kept.last_run == max(dues(task))
        assert kept.runs_planned == len(dues(task)) <= SECONDS
    assert Run.objects.count() > SECONDS / 2
    assert "failed" not in caplog.text
