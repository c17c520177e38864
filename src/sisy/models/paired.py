"""Insert a task and its only run into PostgreSQL with one statement, whose text stays the same.

The database itself copies from the task the values that the run shares with it.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models.signals import post_save, pre_save

from sisy.models.columnar import kind_of
from sisy.models.instances import is_heard, refer
from sisy.models.statements import execute
from sisy.models.templates import Constants, insert_into, stored

if TYPE_CHECKING:
    from sisy.models.run import Run
    from sisy.models.task import Task

COPIED = {
    "label": "label",
    "target_pk": "target_pk",
    "payload": "_extra_data",
    "planned_at": "created_at",
    "ready_at": "created_at",
}
"""By the column of a run, the column of its task that mostly holds the very same."""

VARYING_OF_TASK = tuple(dict.fromkeys(COPIED.values()))
VARYING_OF_RUN = (*COPIED, "task_id")


def can_insert_with_task(using: str, task: "Task") -> bool:
    """Whether `insert_with_task` can, and nobody expects to hear of a task that is saved."""
    return connections[using].vendor == "postgresql" and not is_heard(
        type(task), pre_save, post_save
    )


def insert_with_task(using: str, task: "Task", run: "Run") -> None:
    """Insert a task and a run of it, neither of which is saved yet, and give them their keys."""
    connection = connections[using]
    of_task, of_run = task.__dict__, run.__dict__
    given = tuple([name for name in VARYING_OF_TASK if of_task[name] is not None])
    own = tuple([name for name, source in COPIED.items() if of_run[name] is not of_task[source]])
    statement = _statement(
        using,
        type(task),
        type(run),
        Constants.of(type(task), VARYING_OF_TASK).values(task),
        Constants.of(type(run), VARYING_OF_RUN).values(run),
        given,
        own,
    )
    params = stored(task, given, connection) + stored(run, own, connection)
    ((task.pk, run.pk),) = execute(using, statement, params)
    refer(run, "task", task)
    for record in (task, run):
        record._state.adding, record._state.db = False, using


@lru_cache(maxsize=256)
def _statement(
    using: str,
    task_model: type["Task"],
    run_model: type["Run"],
    task_constants: tuple[Any, ...],
    run_constants: tuple[Any, ...],
    given: tuple[str, ...],
    own: tuple[str, ...],
) -> str:
    """Return the statement for records that hold these constants.

    Args:
        given: the varying columns of the task that hold something.
        own: the varying columns of the run that hold something else than its task.
    """
    connection = connections[using]
    quote = connection.ops.quote_name
    of_task = Constants.of(task_model, VARYING_OF_TASK).literals(task_constants, connection)
    of_task |= dict.fromkeys(given, "%s")
    of_run = {"task_id": "inserted.id"}
    of_run |= Constants.of(run_model, VARYING_OF_RUN).literals(run_constants, connection)
    of_run |= {
        name: f"inserted.{quote(source)}"
        for name, source in COPIED.items()
        if source in given and name not in own
    }
    kinds = {
        field.attname: kind_of(field, connection) for field in run_model._meta.concrete_fields
    }
    of_run |= {name: f"%s::{kinds[name]}" for name in own}
    returned = ", ".join(map(quote, ("id", *given)))
    return (
        f"WITH inserted AS ({insert_into(using, task_model, of_task)} "
        f"VALUES ({', '.join(of_task.values())}) RETURNING {returned}) "
        f"{insert_into(using, run_model, of_run)} SELECT {', '.join(of_run.values())} "
        "FROM inserted RETURNING task_id, id"
    )
