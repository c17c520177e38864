"""Tasks, runs and queues in Django's admin."""

from sisy.admin.queues import QueueAdmin
from sisy.admin.runs import RunAdmin
from sisy.admin.tasks import TaskAdmin

__all__ = ["QueueAdmin", "RunAdmin", "TaskAdmin"]
