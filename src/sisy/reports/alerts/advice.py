"""Advice for problems whose own words have none, and the events that open closed alerts again."""

from django.utils.translation import gettext_lazy, ngettext_lazy

from sisy.records.problems import Kind

FAILURES = {Kind.FAILING, Kind.FAILED, Kind.LOST}

_OF_FAILURES = ngettext_lazy(
    "Open the run to read its error. Retry it when the cause is fixed.",
    "Open the runs to read their errors. Retry them when the cause is fixed.",
)
_ADVICE = {
    Kind.BROKEN: ngettext_lazy(
        "Open the task, correct it, and resume it.",
        "Open the tasks, correct them, and resume them.",
    ),
    Kind.FAILED: _OF_FAILURES,
    Kind.FAILING: _OF_FAILURES,
    Kind.LATE: ngettext_lazy(
        "Check that a heartbeat is running and keeping up.",
        "Check that a heartbeat is running and keeping up.",
    ),
    Kind.MISSED: ngettext_lazy(
        "Backfill the task if the occurrences still need to run.",
        "Backfill the tasks if the occurrences still need to run.",
    ),
    Kind.QUEUED: ngettext_lazy(
        "Start a worker for the queue, or add workers.",
        "Start workers for the queues, or add workers.",
    ),
}

FOR_ONE_OCCURRENCE = gettext_lazy("Retry the run if the occurrence still needs to run.")
"""The advice for a single occurrence that was missed."""

TO_CANCEL = gettext_lazy("If it hangs, cancel it. If it does not stop, force the cancellation.")
"""The advice beside the button that cancels a running run."""

FOR_FLAPPING = gettext_lazy(
    "Open the failed runs, and find what they have in common. A single successful retry does not "
    "close this alert."
)
"""The advice for a task that fails intermittently, beside a link to its failed runs."""

_RECURRENCE = ngettext_lazy(
    "It reopens if the problem recurs.",
    "Each reopens if its problem recurs.",
)
_OF_THE_NEXT_FAILURE = ngettext_lazy(
    "The next failed run reopens it.",
    "The next failed run of a task reopens its alert.",
)
_REOPENING = {
    **dict.fromkeys(FAILURES, _OF_THE_NEXT_FAILURE),
    Kind.MISSED: ngettext_lazy(
        "Further missed occurrences reopen it.",
        "Further missed occurrences of a task reopen its alert.",
    ),
}


def general_advice(kind: Kind, number: int = 1) -> str:
    """Return the advice for one or several problems whose alerts have none; empty for others."""
    advice = _ADVICE.get(kind)
    return str(advice % number) if advice else ""


def reopening(kind: Kind, number: int = 1) -> str:
    """Return the event that opens one or several alerts again after a person has closed them."""
    return str(_REOPENING.get(kind, _RECURRENCE) % number)
