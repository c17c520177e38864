"""Finish runs whose function has ended."""

from sisy import signals
from sisy.lifecycle.transition import Transition, send
from sisy.records.run import R
from sisy.store.outcomes import COLUMNS, Ended, write_outcomes


def finish(using: str, ended: Ended[R]) -> set[int]:
    """Store the final outcomes of runs in the caller's transaction.

    Returns:
        The keys of the runs that still belonged to their worker. The others stay as they are.
    """
    held = write_outcomes(using, ended)
    finished = [one for one in ended if one[0].pk in held]
    for run, outcome in finished:
        Transition({name: getattr(outcome, name) for name in COLUMNS}).note([run])
    raised = {run.pk: outcome.raised for run, outcome in finished}
    send(signals.run_finished, [run for run, _ in finished], using, exceptions=raised)
    return held
