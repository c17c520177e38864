"""The target of a task as the database stores it."""

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ObjectDoesNotExist

from sisy.callables.keys import fetch, primary_key
from sisy.callables.lookup import DjangoTask, Found, Function, Kind, find
from sisy.callables.rejections import explaining
from sisy.exceptions import CallableError, ObjectMissing


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The target of a task, as the database stores it.

    Attributes:
        path: ``package.module.function`` or ``package.module.Class.method``.
        pk: for a method of a model instance, the primary key, as its field serializes it.
    """

    path: str
    pk: str | None = None

    def resolve(self) -> Function | DjangoTask:
        """Return the callable, or the task itself for a task of ``django.tasks``.

        Fetches the object of an instance method from the database.

        Raises:
            TargetMissing: the module or the name does not exist.
            ObjectMissing: the object was deleted.
            CallableError: a worker cannot call what the path names now.
        """
        found = find(self.path)
        kind = self._checked(found)
        if kind != Kind.INSTANCEMETHOD:
            return found.value  # type: ignore[no-any-return]
        model = found.model()
        try:
            instance = fetch(model, self.pk)
        except ObjectDoesNotExist:
            raise ObjectMissing(
                f"{self.path} is a method of the {model._meta.label} with primary key "
                f"{self.pk!r}, which no longer exists. Delete the task, or set another function "
                "(target_path)."
            ) from None
        return getattr(instance, found.name)  # type: ignore[no-any-return]

    def check(self) -> Found:
        """Check the target without a database query, and return what the path names.

        Raises:
            TargetMissing: the module or the name does not exist.
            CallableError: a worker cannot call what the path names.
        """
        found = find(self.path)
        self._checked(found)
        return found

    def info(self) -> dict[str, Any]:
        """Return the parts of the target as a dict.

        Raises:
            TargetMissing: the module or the name does not exist.
        """
        found = find(self.path)
        module, qualname = found.module.__name__, self.path[len(found.module.__name__) + 1 :]
        class_name = qualname.rpartition(".")[0]
        return {
            "func_type": str(self._checked(found)),
            "module_name": module,
            "class_name": class_name or None,
            "class_path": f"{module}.{class_name}" if class_name else None,
            "model_pk": self.pk,
            "func_name": found.name,
            "func_path": self.path,
        }

    def _checked(self, found: Found) -> Kind:
        kind = found.kind()
        if kind == Kind.INSTANCEMETHOD:
            if self.pk is None:
                raise CallableError(
                    f"{self.path} is an instance method. Pass the method of a saved object, or "
                    "set pk_override to the object's primary key."
                )
            with explaining(self.path):
                primary_key(found.model(), self.pk)
        elif self.pk is not None:
            raise CallableError(
                f"{self.path} is a {kind}, not an instance method, so it takes no pk_override. "
                "Remove pk_override."
            )
        found.check_parameters()
        return kind


def kind_at(path: str) -> Kind:
    """Return the kind of callable that a path names.

    Raises:
        TargetMissing: the module or the name does not exist.
        CallableError: a worker cannot call what the path names.
    """
    found = find(path)
    found.check_parameters()
    return found.kind()
