"""Finish runs whose function has ended."""

from operator import attrgetter

from sisy import signals
from sisy.lifecycle.transition import send
from sisy.records.run import R
from sisy.store.outcomes import COLUMNS, Ended, write_outcomes

_values_of = attrgetter(*COLUMNS)


def finish(using: str, ended: Ended[R]) -> set[int]:
    """Store the final outcomes of runs in the caller's transaction.

    Returns:
        The keys of the runs that still belonged to their worker. The others stay as they are.
    """
    held = write_outcomes(using, ended)
    finished = [one for one in ended if one[0].id in held]
    for run, outcome in finished:
        # As `Transition.note` does, but faster: none of these columns is more than its value.
        vars(run).update(zip(COLUMNS, _values_of(outcome), strict=True))
    raised = {run.id: outcome.raised for run, outcome in finished}
    send(signals.run_finished, [run for run, _ in finished], using, exceptions=raised)
    return held
