"""The part of an error that users without permission may read, and the secrets that are masked.

The text of an error may contain anything that its function knew, such as an address or a password.
Users without the permission ``sisy.view_run_details`` see only its class.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext

from sisy import conf
from sisy.addresses import HIDDEN, masked_address
from sisy.models import RunState
from sisy.records import nested
from sisy.records.task_fields import SECRET_FIELDS

if TYPE_CHECKING:
    from sisy.models import Attempt, Run, Task

PERMISSION = "view_run_details"

OPEN_STATES = (RunState.CANCELLED, RunState.LOST, RunState.MISSED, RunState.SKIPPED)
"""The states whose reason Sisy or a person wrote; in the others it may quote an error."""

CLASS = re.compile(r"[A-Za-z_]\w*(?=: |$)")


def reason_of(row: "Run | Attempt", *, in_full: bool) -> str:
    """Return why a run or an attempt ended, or why the run is queued again."""
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
    """Return why the function of a task was not found; empty if it was."""
    if in_full or not task.target_error:
        return task.target_error
    found = CLASS.match(task.target_error)
    return found[0] if found else gettext("function missing")


def trouble_of(task: "Task", *, in_full: bool) -> str:
    """Return why a task is in its state, or why its function was not found."""
    return task.state_reason or target_error_of(task, in_full=in_full)


def masked(value: Any) -> Any:
    """Return a copy of a JSON value with its secrets replaced.

    A value is a secret if its key contains one of ``SISY_MASKED``, ignoring case.
    """
    parts = [part.lower() for part in conf.get_settings().masked]

    def instead(name: object) -> str | None:
        lowered = str(name).lower()
        return HIDDEN if any(part in lowered for part in parts) else None

    return nested.copied(value, instead)


def masked_field(name: str, value: Any) -> Any:
    """Return the value of a task's column with its secrets replaced."""
    if name in SECRET_FIELDS:
        return masked_address(value) if value else value
    return masked(value)


VALUE = r"""(?:(?:bearer|basic)\s+)?(?:"[^"\n]*"?|'[^'\n]*'?|[^\s,;&"'<>()\[\]{}]+)"""
IN_ADDRESS = re.compile(r"(://[^\s/:@]{0,200}:)[^\s/@]{1,200}(?=@)")
"""The password in the address of a server."""


def masked_text(text: str) -> str:
    """Return a text, such as the output of a run, with its secrets replaced.

    A secret is what follows a word that contains one of ``SISY_MASKED``, ignoring case, and an
    equals sign or a colon. The password in an address is one, too.
    """
    parts = "|".join(map(re.escape, conf.get_settings().masked))
    text = IN_ADDRESS.sub(rf"\1{HIDDEN}", text)
    return _pattern_of(parts).sub(rf"\1{HIDDEN}", text) if parts else text


@lru_cache(maxsize=8)
def _pattern_of(parts: str) -> re.Pattern[str]:
    # Each repetition is limited, so that the time grows only with the length of the text.
    name = rf"(?:{parts})[\w.-]{{0,60}}[\"']?"
    return re.compile(rf"({name}[ \t]{{0,8}}[=:][ \t]{{0,8}}){VALUE}", re.IGNORECASE)


def as_json(value: Any, *, on_lines: bool = True) -> str:
    """Return a value of any depth as JSON text, with its secrets replaced."""
    return nested.written(masked(value), on_lines=on_lines)
