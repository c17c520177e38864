"""The icons of the dashboard: characters, so that they follow the size and colour of the text.

`dashboard.css` has those that a style sheet adds, by the same names.
"""

from sisy.models import RunState, TaskState
from sisy.reports.alerts import Kind

ICONS: dict[str, str] = {
    TaskState.ACTIVE: "●",
    TaskState.PAUSED: "‖",
    TaskState.BROKEN: "✕",
    TaskState.RETIRED: "■",
    RunState.QUEUED: "…",
    RunState.RUNNING: "▶",
    RunState.SUCCEEDED: "✓",
    RunState.FAILED: "✕",
    RunState.TIMED_OUT: "◔",
    RunState.LOST: "⚡",
    RunState.CANCELLED: "⊘",
    RunState.MISSED: "◌",
    RunState.SKIPPED: "↷",
    "problem": "!",
    "flapping": "⇅",
    "overdue": "◷",
    "warning": "⚠",
    "over": "▲",
    "note": "✎",
    "new": "★",
    "differs": "⇄",
    "earlier": "←",
    "later": "→",
    "below": "›",  # noqa: RUF001 - it is meant
    "opens": "▾",
    "closes": "▴",
}
"""The icon of each state, so that states differ not only by colour, and of other things."""

ALERT_ICONS: dict[str, str] = {
    Kind.WORKER_PROBLEM: ICONS[RunState.FAILED],
    Kind.QUEUE_PAUSED: ICONS[TaskState.PAUSED],
    Kind.BROKEN: ICONS[TaskState.BROKEN],
    Kind.FAILING: ICONS[RunState.FAILED],
    Kind.FAILED: ICONS[RunState.FAILED],
    Kind.LOST: ICONS[RunState.LOST],
    Kind.LATE: ICONS["overdue"],
    Kind.QUEUED: ICONS["overdue"],
    Kind.MISSED: ICONS[RunState.MISSED],
}
"""By the kind of an alert: the icon of the state it is about. Others have that of problems."""
