"""Threads that do something at the same moment, and the records over which they meet."""

import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import chain

from django.db import connection, connections

from sisy.execution import Outcome
from sisy.models import RunState
from sisy.store.isolation import past_deadlocks
from sisy.worker.record import record
from tests.support.moments import DAY as DAY
from tests.support.moments import HOUR as HOUR
from tests.support.moments import MINUTE as MINUTE
from tests.support.moments import NOON as NOON
from tests.support.moments import SECOND as SECOND
from tests.support.records import scheduled as scheduled
from tests.support.records import worker as worker

WAIT_TIMEOUT = 60  # seconds, which only a thread that hangs uses up

# MariaDB shows the same as before to whoever asks less than 0.1 s after anybody has asked.
BLOCKED = {
    "postgresql": """
        SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """,
    "mysql": """
        SELECT 1 FROM information_schema.innodb_trx AS trx
        JOIN information_schema.processlist AS process ON process.id = trx.trx_mysql_thread_id
        WHERE process.db = database() AND trx.trx_state = 'LOCK WAIT'
    """,
}

# Where a step is stopped, by the SQL that it is about to send.
BEFORE_IT_LOCKS = r"^BEGIN|FOR (NO KEY )?UPDATE"
BEFORE_IT_WRITES_RUNS = r'^(WITH \w+ AS \(\s*)?UPDATE ["`]?sisy_run\b'
BEFORE_IT_WRITES_TASKS = r'^UPDATE ["`]?sisy_task\b'
BEFORE_IT_DELETES_TASKS = r'^DELETE FROM ["`]?sisy_task\b'
BEFORE_IT_LOCKS_TASKS = r'FROM ["`]?sisy_task\b.*FOR (NO KEY )?UPDATE'


def at_once(*steps):
    """Call each step in a thread of its own, all from the same moment; return what they return."""
    start = threading.Barrier(len(steps))

    def take(step):
        connection.ensure_connection()
        start.wait(WAIT_TIMEOUT)
        return past_deadlocks(step)  # as roles do: InnoDB reads the whole of a table of a few rows

    with _threads(len(steps)) as begin:
        taken = [begin(take, step) for step in steps]
        return [step.result(WAIT_TIMEOUT) for step in taken]


def all_of(lists):
    return list(chain.from_iterable(lists))


def in_the_middle(step, meanwhile, before):
    """Stop ``step`` where it first sends SQL that matches ``before``, and begin ``meanwhile``.

    The step goes on once ``meanwhile`` has ended or waits for what the step has locked. SQLite
    does not tell of the latter: a step in a transaction goes on at once. Return what both return.
    """
    hold = Hold(before)
    with _threads(2) as begin:
        try:
            stopped = begin(hold.on, step)
            stopped.add_done_callback(lambda _: hold.reached.set())
            assert hold.reached.wait(WAIT_TIMEOUT)
            other = begin(meanwhile)
            while not other.done() and not hold.holds_others_up():
                wait([other], random.uniform(0.1, 0.4))  # see BLOCKED
        finally:
            hold.let_go.set()
        return stopped.result(WAIT_TIMEOUT), other.result(WAIT_TIMEOUT)


class Hold:
    """Stops a step at the first of its statements that match a pattern, until it is let go."""

    def __init__(self, pattern):
        self._pattern = re.compile(pattern, re.DOTALL)
        self._in_transaction = False
        self.reached, self.let_go = threading.Event(), threading.Event()

    def on(self, step):
        with connection.execute_wrapper(self._stop):
            return step()

    def _stop(self, execute, sql, *context):
        if self._pattern.search(sql) and not self.reached.is_set():
            self._in_transaction = connection.in_atomic_block
            self.reached.set()
            assert self.let_go.wait(WAIT_TIMEOUT)
        return execute(sql, *context)

    def holds_others_up(self):
        if connection.vendor not in BLOCKED:
            return self._in_transaction
        with connection.cursor() as cursor:
            cursor.execute(BLOCKED[connection.vendor])
            return cursor.fetchone() is not None


@contextmanager
def _threads(count):
    """Give a function that begins a step; a step that hangs hangs no more than its thread."""
    threads = ThreadPoolExecutor(count)
    try:
        yield partial(threads.submit, _with_own_connection)
    finally:
        threads.shutdown(wait=False)


def _with_own_connection(step, *args):
    try:
        return step(*args)
    finally:
        connections.close_all()


def finish(runs, now, state=RunState.SUCCEEDED, **columns):
    outcome = Outcome(state=state, started_at=now, finished_at=now, **columns)
    record("default", [(run, outcome) for run in runs], now)
