"""The severity of the states of runs: of several that share a mark, the most severe is drawn."""

from collections.abc import Iterable

from sisy.models import Run, RunState

GRAVITY = (
    RunState.FAILED,
    RunState.TIMED_OUT,
    RunState.LOST,
    RunState.MISSED,
    RunState.CANCELLED,
    RunState.SKIPPED,
    RunState.RUNNING,
    RunState.QUEUED,
    RunState.SUCCEEDED,
)
"""The states, the most severe first."""

RANKS: dict[str, int] = {state: rank for rank, state in enumerate(GRAVITY)}


def rank_of(state: str) -> int:
    """Return the place of a state in `GRAVITY`; 0 is the most severe."""
    # A newer version of Sisy may have stored an unknown state.
    return RANKS.get(state, len(RANKS))


def gravest(runs: Iterable[Run]) -> Run:
    """Return the run with the most severe state, the first of several."""
    return min(runs, key=lambda run: rank_of(run.state))
