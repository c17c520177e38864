"""Execute claimed runs and return their outcomes. Nothing here writes to the database."""

from sisy.execution.call import message_for
from sisy.execution.pool import MakePool, Pool
from sisy.execution.process_pool import ProcessPool
from sisy.execution.thread_pool import ThreadPool
from sisy.records.outcome import ERROR_LIMIT, RESULT_LIMIT, NotCalled, Outcome, storable

__all__ = [
    "ERROR_LIMIT",
    "RESULT_LIMIT",
    "MakePool",
    "NotCalled",
    "Outcome",
    "Pool",
    "ProcessPool",
    "ThreadPool",
    "message_for",
    "storable",
]
