"""The named points at which a process of Sisy's may be ended, in the order of a run's life."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def anything(result: Any) -> bool:
    """Whether a step had anything to do: its end is no point of interest otherwise."""
    return bool(getattr(result, "runs", result))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A moment just before or just after a function of the product is called.

    Attributes:
        function: its path; one that no longer exists fails the test of its point.
        is_before: before the call, or after it.
        counts: whether a call that returned this is the one; asked after the call.
    """

    function: str
    is_before: bool = False
    counts: Callable[[Any], bool] = anything


def before(function: str) -> Point:
    return Point(function=function, is_before=True)


def after(function: str, counts: Callable[[Any], bool] = anything) -> Point:
    return Point(function=function, counts=counts)


def ever(result: Any) -> bool:
    return True


POINTS = {
    "plan: tasks locked, nothing inserted": after("sisy.heartbeat.planning._lock_due"),
    "plan: runs inserted, marks not advanced": before("sisy.heartbeat.planning._advance"),
    "plan: marks advanced, not committed": after("sisy.heartbeat.planning._advance", ever),
    "plan: committed, nobody told": after("sisy.heartbeat.planning._plan_chunk"),
    "ring: sent": after("sisy.doorbell.ring", ever),
    "claim: runs locked": after("sisy.worker.claiming._lock"),
    "claim: runs started, not committed": after("sisy.worker.claiming.start", ever),
    "claim: committed, not heard of": after("sisy.worker.claimer.claim"),
    "start: function not yet called": before("sisy.execution.calling.message_for"),
    "start: in the middle of the function": after("tests.app.models.Execution.save", ever),
    "finish: function ended, nothing recorded": before("sisy.worker.recorder.record"),
    "finish: outcome written, not committed": after("sisy.worker.recording.write_ends", ever),
    "finish: committed, task not tidied up": before("sisy.worker.recording._follow_up"),
    "retry: attempt kept, run not waiting": after("sisy.models.Attempt.save", ever),
    "retry: waiting, not committed": after("sisy.worker.recording._retry", ever),
    "rescue: runs locked": before("sisy.heartbeat.rescue.settle_lost"),
    "rescue: settled, not committed": after("sisy.heartbeat.rescue.settle_lost", ever),
    "rescue: committed, nobody told": after("sisy.heartbeat.rescue._rescue", ever),
    "retire: last run over, task not deleted": before("sisy.worker.recording._delete_ended"),
    "retire: task deleted": after("sisy.worker.recording._delete_ended", ever),
}
