"""The audit for changes by raw SQL leaves alone what `QuerySet.update()` has changed.

`update()` notes when it changed a task. The audit does not know that moment: it plans from now on.
A chaos run lost the occurrences of five minutes. One heartbeat could not compute the next moments,
because another one had locked the tasks. That one rolled back, and the audit of the first came.
"""

import pytest
from django.db import connection

from sisy.heartbeat import tick, timing_check
from sisy.models import Run, Task
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = pytest.mark.django_db


def test_an_audit_loses_no_occurrence_of_a_task_that_an_update_has_changed(now):
    task = scheduled("@yearly")
    Task.objects.filter(pk=task.pk).update(schedule="* * * * *")
    now.moment = NOON + 5 * MINUTE
    assert timing_check.audit("default", now.moment, 0, task.pk) == 0
    tick("default", now.moment)
    assert sum(run.count for run in Run.objects.filter(task=task)) == 5


def test_an_audit_in_a_slow_pass_plans_nothing_before_a_change_by_raw_sql(now):
    task = scheduled("@yearly")
    now.moment = NOON + MINUTE + SECOND  # the pass has begun at noon
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sisy_task SET schedule = '* * * * *' WHERE id = %s", [task.pk])
    assert timing_check.audit("default", NOON, 0, task.pk) == 1
    task.refresh_from_db()
    assert task.next_run == NOON + 2 * MINUTE


def test_an_audit_in_a_slow_pass_loses_nothing_that_has_fallen_due_in_it(now):
    task = scheduled("* * * * *")
    now.moment = NOON + MINUTE + SECOND  # the pass has begun at noon
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sisy_task SET schedule = '@yearly' WHERE id = %s", [task.pk])
    assert timing_check.audit("default", NOON, 0, task.pk) == 0
    tick("default", now.moment)
    assert Run.objects.get().due_at == NOON + MINUTE
    task.refresh_from_db()
    assert task.next_run.month == 1
