"""The tasks that a project declares in code, collected while its modules are imported.

Nothing here asks a database or imports a model, so that any module may declare at its top.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict, TypeVar, Unpack

from sisy.exceptions import DeclarationError
from sisy.suggestions import did_you_mean

F = TypeVar("F")


class Policies(TypedDict, total=False):
    """The optional fields of a task; omitted ones have their defaults."""

    wait_for_schedule: bool
    priority: int
    engine: str
    missed: str
    missed_window: timedelta | None
    overlap: str
    allow_overlap: bool
    max_attempts: int
    retry_delay: timedelta
    retry_backoff: float
    retry_max_delay: timedelta
    on_lost: str
    timeout: timedelta | None
    spread: timedelta
    history_runs: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A task as code declares it.

    Attributes:
        name: by which it is found again, whatever else of it changes.
        path: the dotted path of what it calls.
        module: the one that declares it, which need not be the one of the path.
        fields: what `task_with_callable` takes beside the callable.
    """

    name: str
    path: str
    module: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A declaration, what it decorates, and the names of the module that makes it."""

    declaration: Declaration
    target: object
    namespace: Mapping[str, Any]

    @property
    def is_current(self) -> bool:
        """Whether its module is the one that is loaded; not so once its import has failed."""
        module = sys.modules.get(self.declaration.module)
        return module is not None and vars(module) is self.namespace


_declared: dict[str, _Entry] = {}


def schedule(
    expression: str,
    *,
    name: str | None = None,
    label: str | None = None,
    timezone: str | None = None,
    userdata: dict[str, Any] | None = None,
    pk_override: object = None,
    start_running: datetime | None = None,
    end_running: datetime | None = None,
    iterations: int | None = None,
    queue: str | None = None,
    **policies: Unpack[Policies],
) -> Callable[[F], F]:
    """Declare that the decorated function runs on a schedule; it is returned unchanged.

    ``manage.py migrate`` and ``sisy_sync`` make a task of each declaration that they find in an
    app's ``schedules.py`` or ``tasks.py``, and keep it as the code says. What a person has changed
    in the meantime stays as it is. A task that is no longer declared is paused.

    Args:
        expression: five cron fields, or six with seconds last.
        name: by which the task is found again when the declaration changes; by default the path
            of the function. One that is declared several times needs several names.
        label: as people see it; by default the name.
        timezone: in which the schedule is read; by default Django's ``TIME_ZONE``.
        userdata: what JSON can hold; empty by default.
        pk_override: for a method of model instances, the primary key of the object.
        start_running: an aware moment before which it does not run.
        end_running: an aware moment from which on it does not run.
        iterations: how often it runs; for ever by default.
        queue: which workers run it; ``default`` by default.
        policies: any other field of a task, such as ``overlap``.

    Raises:
        DeclarationError: what is decorated has no name, or the name is taken.
        TypeError: a task has no such field.
    """
    refuse_unknown(policies)
    namespace = sys._getframe(1).f_globals
    given = {
        "label": label,
        "schedule": expression,
        "timezone": timezone,
        "userdata": userdata,
        "pk_override": pk_override,
        "start_running": start_running,
        "end_running": end_running,
        "iterations": iterations,
        "queue": queue,
        **policies,
    }

    def declare(target: F) -> F:
        path = _path_of(target)
        own = path if name is None else name
        _check_name(own, path)
        fields = {"label": own[:255], **{key: v for key, v in given.items() if v is not None}}
        module = namespace.get("__name__", "")
        declaration = Declaration(name=own, path=path, module=module, fields=fields)
        _add(_Entry(declaration, _innermost(target), namespace))
        return target

    return declare


def declarations() -> list[Declaration]:
    """Return what the modules that were imported so far declare, by name."""
    return [_declared[name].declaration for name in sorted(_declared)]


def forget_failed() -> None:
    """Forget what modules declared whose import has failed since."""
    for name, entry in list(_declared.items()):
        if not entry.is_current:
            del _declared[name]


@contextmanager
def collected_anew() -> Iterator[None]:
    """Forget all declarations for a while, as in a process that has imported nothing yet."""
    before = dict(_declared)
    _declared.clear()
    try:
        yield
    finally:
        _declared.clear()
        _declared.update(before)


def _add(entry: _Entry) -> None:
    declaration = entry.declaration
    name, path = declaration.name, declaration.path
    other = _declared.get(name)
    # A module that failed, or that is reloaded, declares again what it has declared before.
    if other is not None and other.is_current:
        was_reloaded = other.declaration.path == path and other.target != entry.target
        if not was_reloaded:
            where = other.declaration.path
            whose = "another schedule of it" if where == path else where
            raise DeclarationError(
                f"The name {name!r} of {path} is already used by {whose}. Give each further "
                "schedule its own name, as in "
                f"@sisy.schedule({declaration.fields['schedule']!r}, name='nightly-report')."
            )
    _declared[name] = entry


def _check_name(name: Any, path: str) -> None:
    if not isinstance(name, str):
        raise DeclarationError(f"The name of {path} must be a string, not {type(name).__name__}.")
    if not 0 < len(name) <= 255:
        raise DeclarationError(
            f"The name of {path} has {len(name)} characters. Use a name of 1 to 255 characters."
        )


def _innermost(target: Any) -> Any:
    """Return the function itself: of a class or static method, or of a task of django.tasks."""
    inner = getattr(target, "__func__", None) or getattr(target, "func", None)
    return target if inner is None else inner


def _path_of(target: object) -> str:
    function = _innermost(target)
    module = getattr(function, "__module__", None)
    qualname = getattr(function, "__qualname__", None)
    if not module or not qualname or isinstance(target, type):
        raise DeclarationError(
            f"Cannot schedule {target!r:.100}. Decorate a function, a class method or a static "
            "method."
        )
    return f"{module}.{qualname}"


def refuse_unknown(policies: Iterable[str]) -> None:
    """Refuse names that no policy has.

    Raises:
        TypeError: with the nearest name that there is.
    """
    known = Policies.__annotations__
    for name in policies:
        if name not in known:
            hint = did_you_mean(name, known)
            raise TypeError(
                f"Unknown task field {name!r}.{hint} Valid fields: {', '.join(sorted(known))}."
            )
