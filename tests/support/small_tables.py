"""Whether the small tables agree with the ledger: those of queued, running and troubled runs.

Each is written together with the ledger. So they agree at any moment that one transaction sees.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connections, models
from django.db.models import BooleanField, ExpressionWrapper, F, Q

from sisy.records.choices import TROUBLE_STATES, RunState

STATES: dict[str, Collection[str]] = {
    "QueuedRun": [RunState.QUEUED],
    "RunningRun": [RunState.RUNNING],
    "TroubledRun": TROUBLE_STATES,
}
"""The states whose runs have an entry in a small table."""

COMPUTED = {
    "is_delayed": ExpressionWrapper(Q(ready_at__gt=F("planned_at")), output_field=BooleanField()),
    "is_ahead": ExpressionWrapper(
        Q(due_at__isnull=False, due_at__gt=F("planned_at"), ready_at=F("due_at")),
        output_field=BooleanField(),
    ),
}
"""The columns that a run has under another name. All others have the same name in both."""

OWN = {"run_id", "is_judged"}
"""The columns that only an entry has."""

Record = Mapping[str, Any]


def disagreements(using: str = "default") -> list[str]:
    """Return how the small tables differ from the ledger, a sentence for each difference.

    Call it while nobody writes, or in a transaction that sees one moment. Tables that do not exist
    are not compared.
    """
    there: dict[str, type[models.Model]] = {
        model.__name__: model for model in apps.get_app_config("sisy").get_models()
    }
    found: list[str] = []
    for name, states in STATES.items():
        if name in there and not _are_alike(using, there[name], there["Run"]):
            every = [field.attname for field in there[name]._meta.concrete_fields]
            columns = [column for column in every if column not in OWN - {"run_id"}]
            entries = there[name]._default_manager.using(using).values(*columns)
            same = {"state", *columns} - {"run_id", *COMPUTED}
            other = {column: COMPUTED[column] for column in columns if column in COMPUTED}
            ledger = there["Run"]._default_manager.using(using).filter(state__in=states)
            runs = ledger.values("pk", *sorted(same), **other)
            found += differences(name, states, list(runs), list(entries))
    return found


def _are_alike(using: str, entry: type[models.Model], run: type[models.Model]) -> bool:
    """Return whether both have the same rows as they are stored; False if they may differ.

    Almost all tests end here, so that this takes a tenth of the time of a comparison.
    """
    connection = connections[using]
    rows = []
    with connection.cursor() as cursor:
        for sql, parameters in _statements(connection.vendor, using, entry, run):
            cursor.execute(sql, parameters)
            rows.append(cursor.fetchall())
    entries, runs = (sorted(found, key=lambda row: row[0]) for found in rows)
    return entries == runs


@cache
def _statements(
    vendor: str, using: str, entry: type[models.Model], run: type[models.Model]
) -> list[tuple[str, tuple[Any, ...]]]:
    """Return what selects the rows of both, with the same columns in the same order."""
    every = {field.attname for field in entry._meta.concrete_fields} - OWN
    same, computed = sorted(every - COMPUTED.keys()), sorted(every & COMPUTED.keys())
    entries = entry._default_manager.using(using).values_list("run_id", *same, *computed)
    ledger = run._default_manager.using(using).filter(state__in=STATES[entry.__name__])
    runs = ledger.values_list("pk", *same, *(COMPUTED[column] for column in computed))
    return [query.query.get_compiler(using).as_sql() for query in (entries, runs)]


def differences(
    name: str, states: Collection[str], runs: Sequence[Record], entries: Sequence[Record]
) -> Iterator[str]:
    """Compare all runs in some states with all entries of their small table."""
    of_run: dict[int, list[Record]] = defaultdict(list)
    for entry in entries:
        of_run[entry["run_id"]].append(entry)
    for run in runs:
        own = of_run.pop(run["pk"], [])
        if len(own) != 1:
            yield f"run {run['pk']} is {run['state']}: {_counted(own)} in {name}"
        for entry in own:
            for column, value in entry.items():
                if column != "run_id" and value != run[column]:
                    yield (
                        f"run {run['pk']} is {run['state']} with {column} {run[column]!r}, "
                        f"but {value!r} in {name}"
                    )
    for pk, own in of_run.items():
        yield f"run {pk} is not {' or '.join(sorted(states))}: {_counted(own)} in {name}"


def _counted(entries: Sequence[Record]) -> str:
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"
