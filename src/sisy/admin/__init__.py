"""Tasks, runs, queues and messages in Django's admin."""

from sisy.admin.messages import OutboxMessageAdmin
from sisy.admin.queues import QueueAdmin
from sisy.admin.runs import RunAdmin
from sisy.admin.tasks import TaskAdmin

__all__ = ["OutboxMessageAdmin", "QueueAdmin", "RunAdmin", "TaskAdmin"]
