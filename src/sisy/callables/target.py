"""The target of a task as the database stores it.

Most targets are functions of a module, and most look-ups repeat an earlier one: a project submits
the same functions again and again, and a worker calls them. So `Known` keeps the valid ones by
path. Each use checks that the path still names the same function with the same code. After a
reload, or if a test replaces the function, it is looked up again.
"""

import sys
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

from django.core.exceptions import ObjectDoesNotExist

from sisy.callables.keys import fetch, primary_key
from sisy.callables.lookup import DjangoTask, Found, Function, Kind, find, is_task_of_django
from sisy.callables.rejections import explaining
from sisy.exceptions import CallableError, ObjectMissing

MAX_KNOWN = 1024


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
        if self.pk is None and (known := Known.at(self.path)):
            return known.value  # type: ignore[no-any-return]
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

    def check(self) -> Function | DjangoTask:
        """Check the target without a database query, and return what the path names.

        Raises:
            TargetMissing: the module or the name does not exist.
            CallableError: a worker cannot call what the path names.
        """
        if self.pk is None and (known := Known.at(self.path)):
            return known.value  # type: ignore[no-any-return]
        found = find(self.path)
        self._checked(found)
        return found.value  # type: ignore[no-any-return]

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
        if kind in (Kind.FUNCTION, Kind.TASK):
            Known.remember(found)
        return kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A function of a module, or a task of ``django.tasks``, that was found to be a valid target.

    Attributes:
        code: the code of the function, whose parameters were checked; None for a task.
        namespace: the names of the module.
    """

    target: Target
    value: Any
    code: CodeType | None
    module: ModuleType
    module_name: str
    namespace: dict[str, Any]
    name: str

    @staticmethod
    def at(path: str) -> "Known | None":
        """Return the valid target that ``path`` names; None if it must be looked up."""
        known = _known.get(path)
        return known if known is not None and known.is_current() else None

    def is_current(self) -> bool:
        """Return whether the path still names this value, with the same code."""
        return (
            sys.modules.get(self.module_name) is self.module
            and self.namespace.get(self.name) is self.value
            and getattr(self.value, "__code__", None) is self.code
        )

    @staticmethod
    def remember(found: Found) -> None:
        """Keep a valid target, if `is_current` can tell later whether it is still the same."""
        if type(found.owner) is not ModuleType:
            return
        known = Known(
            target=Target(path=found.path),
            value=found.value,
            code=getattr(found.value, "__code__", None),
            module=found.owner,
            module_name=found.path.removesuffix(f".{found.name}"),
            namespace=vars(found.owner),
            name=found.name,
        )
        # A path may name a function of the main script, but `target_of` rejects the function.
        if known.is_current() and known.module_name != "__main__":
            if len(_known) >= MAX_KNOWN:
                _known.clear()
            _known[found.path] = known


_known: dict[str, Known] = {}


def task_at(path: str) -> DjangoTask:
    """Return the task of ``django.tasks`` that a path names.

    Raises:
        TargetMissing: the module or the name does not exist.
        CallableError: the path names something else.
    """
    known = Known.at(path)
    if known is not None and is_task_of_django(known.value):
        return known.value
    return find(path).task()  # type: ignore[no-any-return]


def kind_at(path: str) -> Kind:
    """Return the kind of callable that a path names.

    Raises:
        TargetMissing: the module or the name does not exist.
        CallableError: a worker cannot call what the path names.
    """
    found = find(path)
    found.check_parameters()
    return found.kind()
