"""Assertions about tasks and runs, whose failures show what was found instead."""

from typing import Any

from django.db import router
from django.db.models import QuerySet
from django.utils.translation import ngettext

from sisy.callables import Callee, target_of
from sisy.exceptions import did_you_mean
from sisy.models import Run, RunState, Task
from sisy.runtime.escaping import escaped

MAX_RUNS_SHOWN = 10


def assert_scheduled(callable: Callee, **fields: Any) -> Task:  # noqa: A002 - as `task_with_callable`
    """Assert that exactly one task calls ``callable`` and has these fields; return it.

    Args:
        callable: a function or method, or the dotted path of one.
        fields: values of fields of `Task`, such as ``schedule="@hourly"``.

    Raises:
        AssertionError: none does, or several do; the message shows the tasks that call it.
    """
    calling = _of(Task.objects.using(router.db_for_write(Task)), callable)
    found: list[Task] = [
        task for task in calling if all(getattr(task, k) == v for k, v in fields.items())
    ]
    if len(found) == 1:
        return found[0]
    wanted = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    having = f" with {wanted}" if wanted else ""
    path = _path(callable)
    if not calling:
        raise AssertionError(f"No task calls {path}.")
    there = _listed([_shown(task, fields) for task in calling])
    raise AssertionError(
        f"Expected exactly 1 task that calls {path}{having}, found {len(found)}. {there}"
    )


def assert_ran(
    callable: Callee,  # noqa: A002 - as `task_with_callable`
    times: int | None = None,
    *,
    state: RunState | str = RunState.SUCCEEDED,
) -> list[Run]:
    """Assert that ``callable`` ran, and return its runs, oldest first.

    Args:
        callable: a function or method, or the dotted path of one.
        times: the exact number of runs; by default, at least one. 0 asserts that it did not run.
        state: the state of these runs.

    Raises:
        AssertionError: the number differs; the message shows the latest runs, and the traceback of
            the last error.
        ValueError: the state does not exist.
    """
    if state not in RunState.values:
        hint, valid = did_you_mean(str(state), RunState.values), ", ".join(RunState.values)
        raise ValueError(f"{state!r} is not a state of a run.{hint} Valid states: {valid}.")
    runs = list(_of(Run.objects.using(router.db_for_write(Run)), callable).order_by("pk"))
    found = [run for run in runs if run.state == state]
    if len(found) == times or (times is None and found):
        return found
    wanted = "at least one run"
    if times is not None:
        wanted = ngettext("%d run", "%d runs", times) % times
    there = _listed([f"{run}: {run.state} {run.reason}" for run in runs])
    raise AssertionError(
        f"Expected {wanted} of {_path(callable)} in the state '{state}', found {len(found)}. "
        f"{there or 'It has no runs.'}{_last_error(runs)}"
    )


def _last_error(runs: list[Run]) -> str:
    """Return the traceback of the last attempt that raised, if any did."""
    errors = [run.error or _error_of_attempts(run) for run in reversed(runs)]
    last = next(filter(None, errors), "")
    return f"\n\nThe last error was:\n\n{last}" if last else ""


def _error_of_attempts(run: Run) -> str:
    last = run.attempts.exclude(error="").order_by("-number").first()
    return last.error if last is not None else ""


def _path(callee: Callee) -> str:
    return callee if isinstance(callee, str) else target_of(callee).path


def _of(rows: QuerySet[Any], callee: Callee) -> QuerySet[Any]:
    if isinstance(callee, str):
        return rows.filter(target_path=callee)
    target = target_of(callee)
    return rows.filter(target_path=target.path, target_pk=target.pk)


def _shown(task: Task, fields: dict[str, Any]) -> str:
    values = ", ".join(f"{name}={getattr(task, name)!r}" for name in ("schedule", *fields))
    return f"{task.label}: {values}"


def _listed(lines: list[str]) -> str:
    if not lines:
        return ""
    more = [f"… and {len(lines) - MAX_RUNS_SHOWN} more"] if len(lines) > MAX_RUNS_SHOWN else []
    return "Found:\n  " + "\n  ".join([*more, *map(escaped, lines[-MAX_RUNS_SHOWN:])])
