"""Migration operations that create, change and delete tasks, forwards and backwards.

A migration may run years after it was written. By then, the callable of a task that it creates may
no longer exist, because a later migration changes or deletes the task. The operations use the
models as they were at that point of the history.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.db import router, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from sisy.syncing.migrations import MigratedTask, migration_fields

Fields = Mapping[str, Any]
"""The state of a task according to migrations: the keyword arguments of `CreateTask`."""


class TaskOperation(Operation):
    """An operation on the task with one name. It changes no model."""

    reduces_to_sql = False
    verb: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name

    def describe(self) -> str:
        return f"{self.verb} task {self.name}"

    @property
    def migration_name_fragment(self) -> str:
        letters = (letter if letter.isalnum() else "_" for letter in self.name.lower())
        return f"{self.verb.lower()}_task_{''.join(letters)}"

    def after(self, before: Fields | None) -> Fields | None:
        """Return the task's state after this operation; None if it is deleted."""
        raise NotImplementedError

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        using = schema_editor.connection.alias
        if task := self._stored(app_label, using, to_state):
            # On MySQL, Django runs migrations without a transaction.
            with transaction.atomic(using=using):
                self.forwards(task)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        using = schema_editor.connection.alias
        if task := self._stored(app_label, using, to_state):
            with transaction.atomic(using=using):
                self.backwards(task)

    def forwards(self, task: MigratedTask) -> None:
        raise NotImplementedError

    def backwards(self, task: MigratedTask) -> None:
        raise NotImplementedError

    def fields_before(self) -> Fields | None:
        """Return the task's state before this operation; None if it does not exist."""
        fields: Fields | None = None
        for operation in self._earlier():
            if isinstance(operation, TaskOperation) and operation.name == self.name:
                fields = operation.after(fields)
        return fields

    def _earlier(self) -> Iterator[Operation]:
        """Yield the operations before this one, in the order of the migrations."""
        loader = MigrationLoader(None)
        for key, migration in loader.disk_migrations.items():
            if any(operation is self for operation in migration.operations):
                for earlier in loader.graph.forwards_plan(key):
                    for operation in loader.graph.nodes[earlier].operations:
                        if operation is self:
                            return
                        yield operation

    def _stored(self, app_label: str, using: str, state: ProjectState) -> MigratedTask | None:
        if not router.allow_migrate(using, "sisy", model_name="task"):
            return None
        try:
            models = state.apps.get_model("sisy", "Task"), state.apps.get_model("sisy", "Run")
        except LookupError:
            raise ValueError(
                f"{self.describe()}: Sisy's tables do not exist yet. Add "
                f'("sisy", "0001_initial") to the dependencies of this migration in {app_label}.'
            ) from None
        return MigratedTask(self.name, using, *models)


class CreateTask(TaskOperation):
    """Create a task, which is active immediately; backwards, delete it.

    Does nothing if a task with this name exists.

    Args:
        name: identifies the task for later migrations; 1 to 255 characters.
        callable: the dotted path of the callable. It need not exist when the migration runs.
        fields: the other arguments of `task_with_callable`, such as ``schedule`` or, for a method
            of a model instance, ``pk_override``.

    Raises:
        TypeError: a task has no such field.
        ValueError: a value is not valid; raised when the migration runs.
    """

    verb = "Create"

    def __init__(self, name: str, callable: str, **fields: Any) -> None:  # noqa: A002 - as `task_with_callable`
        super().__init__(name)
        self.fields = migration_fields({"callable": callable, **fields})

    def after(self, before: Fields | None) -> Fields | None:
        return self.fields

    def forwards(self, task: MigratedTask) -> None:
        task.create(self.fields)

    def backwards(self, task: MigratedTask) -> None:
        task.delete()


class AlterTask(TaskOperation):
    """Change fields of a task; backwards, restore the values from earlier migrations.

    A new schedule applies to future occurrences only. Changes made by hand are overwritten. If
    the task was deleted, the operation only logs that.

    Args:
        name: the name given to `CreateTask`.
        fields: as for `CreateTask`, and ``callable``; for a method of a model instance, pass both
            ``callable`` and ``pk_override``.

    Raises:
        TypeError, ValueError: as for `CreateTask`.
    """

    verb = "Alter"

    def __init__(self, name: str, **fields: Any) -> None:
        super().__init__(name)
        self.fields = migration_fields(
            {"pk_override": None, **fields} if "callable" in fields else fields
        )

    def after(self, before: Fields | None) -> Fields | None:
        return None if before is None else {**before, **self.fields}

    def forwards(self, task: MigratedTask) -> None:
        task.alter(self.fields)

    def backwards(self, task: MigratedTask) -> None:
        before = self.fields_before()
        if before is None:
            raise IrreversibleError(
                f"{self.describe()}: no earlier migration creates the task, so its earlier values "
                "are unknown."
            )
        task.alter({name: before.get(name) for name in self.fields})


class DeleteTask(TaskOperation):
    """Delete a task and cancel its queued runs; backwards, create it as earlier migrations did.

    Its history stays. Does nothing if the task does not exist.

    Args:
        name: the name given to `CreateTask`.
    """

    verb = "Delete"

    def after(self, before: Fields | None) -> Fields | None:
        return None

    def forwards(self, task: MigratedTask) -> None:
        task.delete()

    def backwards(self, task: MigratedTask) -> None:
        before = self.fields_before()
        if before is None:
            raise IrreversibleError(
                f"{self.describe()}: no earlier migration creates the task, so its values are "
                "unknown."
            )
        task.create(before)
