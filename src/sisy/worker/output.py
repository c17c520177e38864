"""Store what runs print and report while they are running, in a thread of its own."""

from functools import partial

from sisy import clock
from sisy.messaging import dashboard_events
from sisy.records.run import RunRecord
from sisy.runtime.flusher import Flusher, Reports
from sisy.runtime.journal import Report
from sisy.runtime.log import logger
from sisy.store.database_thread import begin_thread, with_sound_connections
from sisy.store.isolation import isolating
from sisy.store.run_output import write_while_running


def output_flusher(using: str) -> Flusher:
    """Return what stores the output and the progress of runs that are running.

    Args:
        using: the alias of the database.
    """

    def store(reports: Reports) -> None:
        with_sound_connections(_store, using, reports)

    return Flusher(store, begin=begin_thread)


def _store(using: str, reports: Reports) -> None:
    """Store reports, and notify dashboards. A report that the database rejects is dropped."""
    now = clock.last_known(using)

    def store_each(error: Exception) -> list[RunRecord]:
        return [run for one in reports for run in _store_one(using, one)]

    held = isolating(partial(write_while_running, using, reports, now), store_each)
    dashboard_events.announce_output([run.task_id for run in held])


def _store_one(using: str, one: tuple[RunRecord, Report]) -> list[RunRecord]:
    def drop(error: Exception) -> list[RunRecord]:
        logger.error("Could not store the output of run %s", one[0].pk, exc_info=error)
        return []

    return isolating(partial(write_while_running, using, [one], clock.last_known(using)), drop)
