"""What a round of judging and a scrape read does not depend on what PostgreSQL expects.

Where statistics say that most rows match a condition, and hardly any does, PostgreSQL reads a
table from its beginning until it finds a match, unless it must return the first one of an index.
"""

from contextlib import contextmanager

import pytest
from django.db import connection

from sisy.alerting.judge import Judge
from sisy.engines.dispatch import _take
from sisy.models import Process, Role, Task, task_with_callable
from sisy.monitoring.snapshot import Snapshot
from sisy.store import retired
from tests.app import jobs
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.pages import reading_pages
from tests.support.records import scheduled

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("noon"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="it says what it reads"),
]

ROWS = 20_000
MOST_PAGES = 60  # of a statement; each of the tables has several hundreds
TABLES = ("sisy_task", "sisy_alert", "sisy_troubled_run", "sisy_queued_run", "sisy_running_run")

# Many rows match when they are counted, and none does afterwards. VACUUM does not count anew.
TASKS = """
    INSERT INTO sisy_task (label, {columns})
    SELECT 'task ' || n, {columns} FROM sisy_task, generate_series(1, %(rows)s) AS n
"""
MATCHING_TASKS = """
    UPDATE sisy_task SET state = CASE WHEN id %% 2 = 0 THEN 'broken' ELSE 'active' END,
        start_within = interval '1 hour', expected_duration = interval '1 hour',
        stalled_after = interval '1 hour', success_every = interval '1 hour', silent_at = NULL
"""
OTHER_TASKS = """
    UPDATE sisy_task SET state = 'paused', next_run = %(later)s, start_within = NULL,
        expected_duration = NULL, stalled_after = NULL, success_every = NULL
"""
ALERTS = """
    INSERT INTO sisy_alert
        (open_key, kind, subject, task_id, queue, label, why, fix, evidence, since, opened_at,
        reopened, close_reason, closed_by, acknowledged_by, muted_by, is_notified,
        notify_at, thread)
    SELECT CASE WHEN n %% 20 = 0 THEN 'broken:task:' || n END, 'broken', 'task:' || n, n,
        '', '', '', '', 0, %(now)s, %(now)s, 0, '', '', '', '', true, NULL, ''
    FROM generate_series(-%(rows)s, -1) AS n
"""
TROUBLED = """
    INSERT INTO sisy_troubled_run (run_id, task_id, state, finished_at, is_judged)
    SELECT -n, -n, (ARRAY['failed', 'lost', 'missed', 'timed_out'])[1 + n %% 4], %(now)s, false
    FROM generate_series(1, %(rows)s) AS n
"""
# All of one task, so that PostgreSQL expects as many of each task.
QUEUED = """
    INSERT INTO sisy_queued_run
        (task_id, run_id, engine, queue, priority, ready_at, is_delayed, is_ahead)
    SELECT -1, -n, (ARRAY['', 'forgetful'])[1 + n %% 2], 'mail', 0, %(now)s, false, false
    FROM generate_series(1, %(rows)s) AS n
"""
# As many as slots at most.
RUNNING = """
    INSERT INTO sisy_running_run (task_id, run_id)
    SELECT -1, -n FROM generate_series(1, %(rows)s / 10) AS n
"""
FEW_LEFT = """
    DELETE FROM sisy_running_run WHERE run_id > -%(rows)s / 10;
    UPDATE sisy_queued_run SET engine = 'other';
    UPDATE sisy_troubled_run SET is_judged = true;
    UPDATE sisy_alert SET open_key = NULL, closed_at = %(now)s;
"""


@contextmanager
def misleading_statistics():
    """Fill the tables, let PostgreSQL count their rows, and then change all of them."""
    left_out = {"id", "label", "start_within", "expected_duration", "stalled_after"}
    columns = {field.column for field in Task._meta.concrete_fields} - left_out
    values = {"rows": ROWS, "now": NOON, "later": NOON + DAY}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        try:
            cursor.execute(TASKS.format(columns=", ".join(sorted(columns))), values)
            for fill in (MATCHING_TASKS, ALERTS, TROUBLED, QUEUED, RUNNING):
                cursor.execute(fill, values)
            cursor.execute(f"ANALYZE {', '.join(TABLES)}")
            for change in (OTHER_TASKS, *FEW_LEFT.strip().split("\n")):
                cursor.execute(change, values)
            cursor.execute(f"VACUUM {', '.join(TABLES)}")
            yield
        finally:
            for table in TABLES:
                cursor.execute(f"ALTER TABLE {table} RESET (autovacuum_enabled)")


def excess(pages):
    """Return the statements that read too many pages, and how many these are."""
    return [(number, " ".join(sql.split())) for number, sql in pages if number > MOST_PAGES]


def test_paused_tasks_that_have_been_silent_are_not_read_in_each_round():
    for success_every in (None, HOUR):
        Task.objects.bulk_create(
            task_with_callable(jobs.noop, schedule="0 0 1 1 *", success_every=success_every)
            for _ in range(3000)
        )
    silent = Task._base_manager.exclude(success_every=None)
    silent.update(state="paused", next_run=None, silent_at=NOON - HOUR)
    with connection.cursor() as cursor:
        # The other tables as well, whose indexes have entries of tests that were undone.
        cursor.execute(f"VACUUM ANALYZE {', '.join(TABLES)}")
    judge = Judge("default")
    judge.go_on(NOON, may_judge=True)
    judge.next_at = None
    with reading_pages() as pages:
        judge.go_on(NOON + MINUTE, may_judge=True)
    assert pages
    assert excess(pages) == []


def test_rare_problems_are_found_by_index_though_most_rows_had_them(settings):
    settings.SISY_ALERTS = []
    scheduled("0 0 1 1 *")
    Process.join(Role.WORKER, using="default", now=NOON, lease=HOUR, queues=["mail"], slots=1)
    with misleading_statistics():
        kept = scheduled("0 0 1 1 *", fn=jobs.noop, label="kept")
        Task.objects.filter(pk=kept.pk).update(state="broken")
        judge = Judge("default")
        judge.go_on(NOON, may_judge=True)
        for minute in range(1, 4):
            judge.next_at = None
            with reading_pages() as pages:
                judge.go_on(NOON + minute * MINUTE, may_judge=True)
            assert excess(pages) == []
            assert pages
        with reading_pages() as pages:
            Snapshot.at("default", NOON)
            _take("default", NOON)
            retired.ended_among("default", [kept.pk])
        assert excess(pages) == []
        assert len(pages) >= 4
