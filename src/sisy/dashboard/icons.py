"""The icons of the dashboard: characters, so that they follow the size and colour of the text.

`dashboard.css` has those that a style sheet adds, by the same names.
"""

from sisy.models import RunState, TaskState

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
