"""The records, and how people make tasks."""

from sisy.models.choices import Missed, OnLost, Origin, Overlap, Role, RunState, TaskState
from sisy.models.creation import task_with_callable, taskinfo_with_label
from sisy.models.process import Process
from sisy.models.run import Run
from sisy.models.task import Task

__all__ = [
    "Missed",
    "OnLost",
    "Origin",
    "Overlap",
    "Process",
    "Role",
    "Run",
    "RunState",
    "Task",
    "TaskState",
    "task_with_callable",
    "taskinfo_with_label",
]
