"""The parts of an error that users without the permission for details may read.

The text of an error may hold anything that its function knew: an address, a password, somebody's
name. Without the permission ``sisy.view_run_details``, people read its class only. Everything that
shows a reason to people asks here for it, and says whether they may read it in full.
"""

import re
from typing import TYPE_CHECKING

from django.utils.translation import gettext

from sisy.models import RunState

if TYPE_CHECKING:
    from sisy.models import Attempt, Run, Task

PERMISSION = "view_run_details"

OPEN_STATES = (RunState.CANCELLED, RunState.LOST, RunState.MISSED, RunState.SKIPPED)
"""The states whose reason Sisy or a person wrote; in the others it may quote an error."""

CLASS = re.compile(r"[A-Za-z_]\w*(?=: |$)")


def reason_of(row: "Run | Attempt", *, in_full: bool) -> str:
    """Return why a run or an attempt ended as it did, or why it is queued again."""
    if in_full or not row.reason or row.state in OPEN_STATES:
        return row.reason
    name = row.error_class.rpartition(".")[2]
    if row.state == RunState.SUCCEEDED:
        return gettext("The return value was not stored.")
    if row.state in (RunState.QUEUED, RunState.RUNNING):
        if name:
            return gettext("The previous attempt raised %s.") % name
        return row.reason.partition(": ")[0]  # what follows a colon may quote an error
    return name


def target_error_of(task: "Task", *, in_full: bool) -> str:
    """Return why what a task calls is broken; empty if it is not."""
    if in_full or not task.target_error:
        return task.target_error
    found = CLASS.match(task.target_error)
    return found[0] if found else gettext("target broken")


def trouble_of(task: "Task", *, in_full: bool) -> str:
    """Return why a task is in its state, or what is wrong with what it calls."""
    return task.state_reason or target_error_of(task, in_full=in_full)
