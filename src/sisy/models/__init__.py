"""The models, and the functions that create tasks."""

from sisy.models.alert import Alert
from sisy.models.attempt import Attempt
from sisy.models.outbox import OutboxMessage
from sisy.models.process import Process
from sisy.models.queue import Queue
from sisy.models.run import Run
from sisy.models.tally import Tally as Tally
from sisy.models.task import Task, task_with_callable, taskinfo_with_label
from sisy.models.trace_context import TraceContext as TraceContext
from sisy.records.choices import Event, Missed, OnLost, Origin, Overlap, Role, RunState, TaskState
from sisy.records.run_output import RunOutput
from sisy.records.small_tables import QueuedRun, RunningRun, TroubledRun
from sisy.records.task_change import TaskChange as TaskChange

__all__ = [
    "Alert",
    "Attempt",
    "Event",
    "Missed",
    "OnLost",
    "Origin",
    "OutboxMessage",
    "Overlap",
    "Process",
    "Queue",
    "QueuedRun",
    "Role",
    "Run",
    "RunOutput",
    "RunState",
    "RunningRun",
    "Task",
    "TaskState",
    "TroubledRun",
    "task_with_callable",
    "taskinfo_with_label",
]
