"""Tasks and runs for people, in Django's admin."""

from sisy.admin.runs import RunAdmin
from sisy.admin.tasks import TaskAdmin

__all__ = ["RunAdmin", "TaskAdmin"]
