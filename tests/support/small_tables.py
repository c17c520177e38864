"""Whether the tables of queued and of running runs agree with the ledger.

The three are written together. So they agree at any moment, as one transaction sees them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db import models

COMPARED = {
    "QueuedRun": ("queued", ("task", "engine", "queue", "ready_at")),
    "RunningRun": ("running", ("task", "process")),
}
"""Of each small table: the state of its runs, and what an entry and its run have in common."""

Record = Mapping[str, Any]


def small_tables() -> dict[str, type[models.Model]]:
    """Return those that there are; others are not compared."""
    there = {model.__name__: model for model in apps.get_app_config("sisy").get_models()}
    return {name: there[name] for name in COMPARED if name in there}


def disagreements(using: str = "default") -> list[str]:
    """Return how the small tables differ from the ledger, a sentence for each difference.

    Call it when nobody writes, or in a transaction that sees one moment.
    """
    ledger, found = apps.get_model("sisy", "Run")._default_manager, list[str]()
    for name, model in small_tables().items():
        state, columns = COMPARED[name]
        runs = ledger.using(using).filter(state=state).values("pk", *columns)
        entries = model._default_manager.using(using).values("run", *columns)
        found += differences(state, list(runs), list(entries))
    return found


def differences(state: str, runs: Sequence[Record], entries: Sequence[Record]) -> Iterator[str]:
    """Compare all runs of a state with the entries of its small table."""
    of_run: dict[int, list[Record]] = defaultdict(list)
    for entry in entries:
        of_run[entry["run"]].append(entry)
    for run in runs:
        own = of_run.pop(run["pk"], [])
        if len(own) != 1:
            yield f"run {run['pk']} is {state}, and has {len(own)} entries as {state}"
        for entry in own:
            for name, value in entry.items():
                if name != "run" and value != run[name]:
                    yield (
                        f"run {run['pk']} is {state} with {name} {run[name]!r}, "
                        f"and its entry says {value!r}"
                    )
    for pk, own in of_run.items():
        yield f"run {pk} is not {state}, and has {len(own)} entries as {state}"
