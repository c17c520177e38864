"""Sisy as a backend of ``django.tasks``, or of its backport for Django 5.2."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from asgiref.sync import sync_to_async
from django.core import checks
from django.db import router

from sisy.django_tasks.compat import (
    AnyResult,
    AnyTask,
    BaseTaskBackend,
    InvalidTask,
    TaskResultDoesNotExist,
    normalize_json,
    signals,
)


class SisyBackend(BaseTaskBackend):
    """Enqueues tasks of ``django.tasks`` as runs, which Sisy's workers execute.

    ``QUEUES`` are names of Sisy's queues. ``OPTIONS`` are policies for all tasks that are enqueued
    on the alias, with the names of fields of `sisy.models.Task`: ``max_attempts``,
    ``retry_delay``, ``retry_backoff``, ``retry_max_delay``, ``on_lost``, ``timeout``,
    ``stalled_after``, ``alert_after``, ``start_within`` and ``expected_duration``.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def enqueue(self, task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> AnyResult:
        """Submit a run, and return its result.

        Workers see the run when the caller's transaction is committed. With ``SISY_EAGER``, the
        result is that of a finished task.

        Raises:
            InvalidTask: a worker could not find the task by its path, or an option is not valid.
            TransactionManagementError: a transaction is open on a database other than the one
                that stores tasks.
            TypeError: an argument cannot be encoded as JSON.
            ValueError: the database cannot store an argument.
        """
        from sisy.django_tasks.results import result_of
        from sisy.django_tasks.submit import submit
        from sisy.lifecycle.submit import execute_if_eager
        from sisy.models import Run

        self.validate_task(task)
        for problem in self._wrong_options:
            raise InvalidTask(problem)
        run = submit(task, _json(args), _json(kwargs), self.options)
        result = result_of(run, task)
        signals.task_enqueued.send(type(self), task_result=result)
        was_executed = execute_if_eager([run], router.db_for_write(Run, instance=run))
        return result_of(run, task) if was_executed else result

    def get_result(self, result_id: str) -> AnyResult:
        """Return the result of an enqueued run.

        Raises:
            TaskResultDoesNotExist: the run does not exist, or was pruned.
        """
        from django.db import router

        from sisy.django_tasks.payload import is_enqueued
        from sisy.django_tasks.results import key_in, result_of
        from sisy.models import Run

        key = key_in(result_id)
        runs = Run.objects.using(router.db_for_write(Run))  # replicas may not know it yet
        run = None if key is None else runs.select_related("process").filter(pk=key).first()
        if run is None or not is_enqueued(run.payload):
            raise TaskResultDoesNotExist(result_id)
        return result_of(run)

    async def aget_result(self, result_id: str) -> AnyResult:
        """Return the result of an enqueued run; see `get_result`."""
        return await sync_to_async(self.get_result)(result_id)

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Check ``QUEUES`` and ``OPTIONS``."""
        from sisy.django_tasks.submit import problems

        return [
            checks.Error(f"TASKS[{self.alias!r}]: {problem}", id="sisy.E007")
            for problem in problems(self.queues, self.options)
        ]

    @cached_property
    def _wrong_options(self) -> list[str]:
        """The errors in the options, checked once for all runs."""
        from sisy.django_tasks.submit import problems

        return list(problems((), self.options))


def _json(arguments: Any) -> Any:
    """Return arguments as JSON values."""
    return normalize_json(arguments)
