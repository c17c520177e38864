"""The reasons for which runs end, as the labels of metrics."""

from typing import TYPE_CHECKING

from sisy.models import RunState
from sisy.planning.catch_up import IN_TIME, THEREFORE

if TYPE_CHECKING:
    from sisy.models import Run

OF_MISSED = {f"{IN_TIME} {therefore}": policy.value for policy, therefore in THEREFORE.items()}

OF_STATE: dict[str, str] = {
    RunState.SUCCEEDED: "",
    RunState.TIMED_OUT: "timeout",
    RunState.LOST: "worker_died",
    RunState.SKIPPED: "overlap",
}


def reason_of(run: "Run") -> str:
    """Return why ``run`` ended, in one of few values; empty if it succeeded.

    ==========  ==============================================================================
    outcome     reason
    ==========  ==============================================================================
    failed      the dotted path of the exception's class; ``rejected`` if no function was called
    timed_out   ``timeout``
    cancelled   ``queued`` or ``running``: what the run was
    lost        ``worker_died``
    missed      the policy that left it out: ``latest``, ``all`` or ``skip``; ``changed`` if its
                task was changed or deleted first
    skipped     ``overlap``
    ==========  ==============================================================================
    """
    known = OF_STATE.get(run.state)
    if known is not None:
        return known
    if run.state == RunState.CANCELLED:
        return "queued" if run.started_at is None else "running"
    if run.state == RunState.MISSED:
        return OF_MISSED.get(run.reason, "changed")
    return run.error_class or "rejected"
