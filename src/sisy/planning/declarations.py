"""Collect the tasks that a project declares in code, while its modules are imported.

This module uses no database and imports no model, so that any module may declare tasks.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict, TypeVar, Unpack

from sisy.exceptions import DeclarationError, did_you_mean

F = TypeVar("F")


class Policies(TypedDict, total=False):
    """The optional fields of a task. Omitted fields get their defaults."""

    note: str
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
    stalled_after: timedelta | None
    spread: timedelta
    alert_after: int | None
    start_within: timedelta | None
    expected_duration: timedelta | None
    success_every: timedelta | None
    ping: str
    history_runs: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A task as code declares it.

    Attributes:
        name: identifies the task, even if everything else changes.
        path: the dotted path of the callable.
        module: the module that declares the task; the callable may be in another one.
        fields: the keyword arguments for `task_with_callable`.
    """

    name: str
    path: str
    module: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A declaration, the callable that it decorates, and the globals of its module."""

    declaration: Declaration
    target: object
    namespace: Mapping[str, Any]

    @property
    def is_current(self) -> bool:
        """Return whether its module is still loaded. False once the module's import has failed."""
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
    """Declare that the decorated function runs on a schedule. Returns the function unchanged.

    ``manage.py migrate`` and ``sisy_sync`` create a task for each declaration in an app's
    ``schedules.py`` or ``tasks.py``, and update it when the declaration changes. Fields that were
    changed by hand keep their values. A task that is no longer declared is paused.

    Args:
        expression: five cron fields, or six with seconds last.
        name: identifies the task when the declaration changes; by default the path of the
            function. If you schedule a function more than once, give each schedule a name.
        label: the name to display; by default the name.
        timezone: the time zone of the schedule; by default Django's ``TIME_ZONE``.
        userdata: data for the function, as JSON; empty by default.
        pk_override: for a method of model instances, the primary key of the object.
        start_running: an aware moment; the task does not run before it.
        end_running: an aware moment; the task does not run at it or after it.
        iterations: the number of runs; no limit by default.
        queue: the queue of the task's runs; ``default`` by default.
        policies: any other field of a task, such as ``overlap``.

    Raises:
        DeclarationError: the decorated object has no name, or the name is already used.
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
    """Return the declarations of all modules imported so far, sorted by name."""
    return [_declared[name].declaration for name in sorted(_declared)]


def forget_failed() -> None:
    """Forget the declarations of modules whose import has failed since."""
    for name, entry in list(_declared.items()):
        if not entry.is_current:
            del _declared[name]


@contextmanager
def collected_anew() -> Iterator[None]:
    """Start without declarations, as in a process that has imported nothing, and restore them."""
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
    # A module whose import failed, or that is reloaded, declares its tasks again.
    if other is not None and other.is_current:
        was_reloaded = other.declaration.path == path and other.target != entry.target
        if not was_reloaded:
            where = other.declaration.path
            conflict = f"The name {name!r} of {path} is already used by {where}."
            if where == path:
                conflict = f"{path} has two schedules named {name!r}."
            raise DeclarationError(
                f"{conflict} Give each additional schedule a name of its own, as in "
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
    """Return the function of a class or static method, or of a ``django.tasks`` task."""
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
    """Check that all names are fields of a task.

    Raises:
        TypeError: a name is unknown. The message suggests the nearest one.
    """
    known = Policies.__annotations__
    for name in policies:
        if name not in known:
            hint = did_you_mean(name, known)
            raise TypeError(
                f"Unknown task field {name!r}.{hint} Valid fields: {', '.join(sorted(known))}."
            )
