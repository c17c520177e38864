"""The moments at which tests end a process: Sisy's checkpoints, and one in a function."""

IN_THE_FUNCTION = "start: in the middle of the function"  # of the test's own
STARTED_AHEAD = ["start ahead: committed", "start ahead: not called yet"]
PLANNED_AHEAD = ["plan ahead: planned_until advanced", "plan ahead: committed"]
RETIRED_AFTER_ITS_RUN = "retire: ended task not deleted"

POINTS = [
    "plan: tasks locked",
    "plan: runs inserted",
    "plan: planned_until advanced",
    "plan: committed",
    *PLANNED_AHEAD,
    "ring: sent",
    "claim: runs locked",
    "claim: runs started",
    "claim: committed",
    *STARTED_AHEAD,
    "start: function not called",
    IN_THE_FUNCTION,
    "finish: nothing recorded",
    "finish: outcomes written",
    "finish: committed",
    "retry: attempt kept",
    "retry: run queued",
    "rescue: runs locked",
    "rescue: runs settled",
    "rescue: committed",
    "retire: task not deleted",
    "retire: task deleted",
    RETIRED_AFTER_ITS_RUN,
    "follow: ledger written",
    "follow: entries deleted",
]

# How those are named at which a process is in no transaction.
UNLOCKED = (
    "committed",
    "sent",
    "not called yet",
    "not called",
    IN_THE_FUNCTION,
    "nothing recorded",
)

# Between the ledger and the small tables. PostgreSQL writes both in one statement.
BETWEEN_STATEMENTS = [
    "insert: ledger written",
    "start: ledger written",
    "start: queued entries deleted",
    "finish: ledger written",
    "finish: running entries deleted",
]
