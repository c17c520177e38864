"""The verbs of a task: run, pause, resume, cancel, backfill and count."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack, cast

from django.db import models, router
from django.db.models import Sum

from sisy import clock
from sisy.callables import Callee
from sisy.lifecycle.backfill import backfill
from sisy.lifecycle.submit import submit, submit_once
from sisy.models.run import Run
from sisy.models.run_queries import RunQuerySet
from sisy.planning import activation
from sisy.planning.backfill import to_backfill
from sisy.planning.declarations import Policies, refuse_unknown
from sisy.records.choices import Origin, Overlap, TaskState
from sisy.records.twins import class_twin, twin
from sisy.records.validators import future_moment, json_dict, moment_in

if TYPE_CHECKING:
    from sisy.models.task import Task


class TaskVerbs(models.Model):
    """The verbs of a task. Only `pause` and `resume` change when it is planned."""

    class Meta:
        abstract = True

    @classmethod
    def run_once(
        cls,
        fn: Callee,
        userdata: dict[str, Any] | None = None,
        delay_until: datetime | None = None,
        *,
        label: str | None = None,
        queue: str | None = None,
        **policies: Unpack[Policies],
    ) -> "Task":
        """Save and submit a task that runs once, without a schedule, and is then deleted.

        The run leaves with the caller's transaction, or not at all if that is rolled back. Where
        tasks have a database of their own, it leaves once the caller's transactions, on whichever
        databases, are committed; until then, the task that is returned is not saved.

        Args:
            fn: what to call, or its dotted path.
            userdata: what JSON can hold; empty by default.
            delay_until: an aware moment before which it does not run; by default, now.
            label: as people see it; by default, the path.
            queue: which workers run it; ``default`` by default.
            policies: any policy of a task, such as ``timeout`` or ``max_attempts``. Those that
                are about a schedule, such as ``missed`` and ``spread``, have no effect here.

        Raises:
            CallableError: ``fn`` cannot be called by a worker.
            TypeError: a task has no such policy.
            ValueError: ``delay_until`` is naive or past, or a value cannot be stored.
        """
        refuse_unknown(policies)
        task = cls.for_once(fn, _extra_data=userdata, label=label, queue=queue, **policies)
        return submit_once(task, [task.userdata], delay_until)

    arun_once = class_twin(run_once)

    @classmethod
    def bulk_run_once(
        cls,
        fn: Callee,
        userdata: Iterable[dict[str, Any]],
        delay_until: datetime | None = None,
        *,
        label: str | None = None,
        queue: str | None = None,
        **policies: Unpack[Policies],
    ) -> "Task":
        """Save and submit one task that runs once for each of ``userdata``, and is then deleted.

        The runs may go on side by side, unless ``overlap`` says otherwise. Each finds its own
        data in ``message["task"].userdata``. The task that is returned stands for all of them:
        ``counts()`` says how far they are, and ``cancel_runs()`` calls them off. They leave with
        the caller's transaction.

        Args:
            fn: what to call, or its dotted path.
            userdata: for each run, a dict of what JSON can hold; at least one.
            delay_until: an aware moment before which none runs; by default, now.
            label: as people see it; by default, the path.
            queue: which workers run it; ``default`` by default.
            policies: as for `run_once`.

        Raises:
            CallableError: ``fn`` cannot be called by a worker.
            TypeError: a task has no such policy.
            ValueError: as `run_once` does, or there are no data; nothing is submitted then.
        """
        refuse_unknown(policies)
        payloads = [json_dict(one, f"userdata[{n}]") for n, one in enumerate(userdata)]
        if not payloads:
            raise ValueError("userdata is empty. Pass one dict for each run.")
        task = cls.for_once(fn, label=label, queue=queue, **policies)
        return submit_once(task, payloads, delay_until)

    abulk_run_once = class_twin(bulk_run_once)

    @classmethod
    def run_iterations(
        cls,
        fn: Callee,
        iterations: int = 10,
        label: str | None = None,
        schedule: str = "* * * * * *",
        userdata: dict[str, Any] | None = None,
        run_immediately: bool = False,
        delay_until: datetime | None = None,
        *,
        timezone: str | None = None,
        queue: str | None = None,
        **policies: Unpack[Policies],
    ) -> "Task":
        """Save a task that runs ``iterations`` times on its schedule and is then deleted.

        Args:
            fn: what to call, or its dotted path.
            iterations: how many runs, 1 or more, successful or not.
            label: by default, the path of ``fn``.
            schedule: by default, every second.
            userdata: what JSON can hold; empty by default.
            run_immediately: whether the first run waits for no schedule.
            delay_until: an aware moment before which nothing runs.
            timezone: in which the schedule is read; by default Django's ``TIME_ZONE``.
            queue: which workers run it; ``default`` by default.
            policies: any policy of a task, such as ``timeout``.

        Raises:
            TypeError: a task has no such policy.
            ScheduleError: the schedule cannot be used.
            CallableError: ``fn`` cannot be called by a worker.
            ValueError: ``delay_until`` is naive or past, or another value cannot be used.
        """
        refuse_unknown(policies)
        if delay_until is not None:
            now = clock.now(router.db_for_write(cls))
            delay_until = future_moment(delay_until, "delay_until", now)
        task = cast("type[Task]", cls).calling(
            fn,
            iterations=iterations,
            label=label,
            schedule=schedule,
            userdata=userdata,
            start_running=delay_until,
            timezone=timezone,
            queue=queue,
            **{"wait_for_schedule": not run_immediately, **policies},
        )
        task.save()
        return task

    arun_iterations = class_twin(run_iterations)

    @classmethod
    def for_once(cls, fn: Callee, **fields: Any) -> "Task":
        """Return an unsaved task without a schedule, for `sisy.lifecycle.submit.store_once`."""
        model = cast("type[Task]", cls)
        given = {name: value for name, value in fields.items() if value is not None}
        task = model.calling(fn, **{"schedule": "", "overlap": Overlap.ALLOW, **given})
        task.state = TaskState.RETIRED
        return task

    def run_now(self) -> Run:
        """Submit a run beside the schedule, which goes on as if nothing had happened.

        Raises:
            ValueError: ``userdata`` is not what JSON can hold, or nested too deeply.
        """
        using = self._home
        now = clock.now(using)
        task = self._task
        # Checked here: an error within the transaction would roll back the caller's as well.
        payload = json_dict(task.userdata)
        return submit([Run.of(task, now=now, origin=Origin.MANUAL, payload=payload)], using)[0]

    arun_now = twin(run_now)

    def backfill(self, start: datetime, end: datetime, *, again: bool = False) -> list[Run]:
        """Submit a run for each occurrence of a range that did not succeed, and return them.

        The schedule goes on as if nothing had happened, and iterations do not count them. Each run
        is told the due moment that it stands for. Unless the task's runs may overlap, they run one
        after the other. Called twice, the second call finds nothing to do.

        Args:
            start: an aware moment; the first occurrence may be due then.
            end: an aware moment, not after now; the last occurrence is due before it.
            again: whether to run those, too, that have succeeded or are queued or running.

        Raises:
            ScheduleError: the task's schedule or time zone cannot be used.
            ValueError: the range is no range in the past, holds more than 10,000 occurrences, or
                reaches back to where the ledger was pruned.
        """
        start, end, using = moment_in(start, "start"), moment_in(end, "end"), self._home
        now = clock.now(using)
        choose = partial(to_backfill, self._task, start, end, using, now, again)
        return backfill(self._task, choose, using, now)

    abackfill = twin(backfill)

    def to_backfill(
        self, start: datetime, end: datetime, *, again: bool = False
    ) -> list[datetime]:
        """Return the due moments that `backfill` would run, without running them.

        Raises:
            ScheduleError, ValueError: as `backfill` does.
        """
        start, end, using = moment_in(start, "start"), moment_in(end, "end"), self._home
        return to_backfill(self._task, start, end, using, clock.now(using), again)

    ato_backfill = twin(to_backfill)

    def pause(self, reason: str = "") -> bool:
        """Stop planning until `resume`; return whether the task was being planned.

        Runs that are queued already still run; paused time is never caught up.
        """
        return activation.pause(self._task, self._home, reason)

    apause = twin(pause)

    def resume(self) -> bool:
        """Plan again, from now on; return whether the task was paused or broken.

        One whose schedule or time zone can no longer be used is broken then; its
        ``state_reason`` says why.
        """
        return activation.resume(self._task, self._home)

    aresume = twin(resume)

    def cancel_queued(self, reason: str = "Cancelled.") -> int:
        """Call off the runs that no worker has taken yet, and return how many they were."""
        using = self._home
        return self._runs(using).queued().cancel(reason, clock.now(using))

    acancel_queued = twin(cancel_queued)

    def cancel_runs(self, reason: str = "Cancelled.", *, by_force: bool = False) -> int:
        """Cancel queued runs, and ask running ones to end; return how many they were.

        See `Run.cancel`.
        """
        using = self._home
        return self._runs(using).cancel(reason, clock.now(using), by_force=by_force)

    acancel_runs = twin(cancel_runs)

    def counts(self) -> dict[str, int]:
        """Return how many occurrences came to which state, pruned ones too."""
        kept = self._runs(self._home).order_by().values_list("state").annotate(Sum("count"))
        return dict(Counter(dict(kept)) + Counter(self._task.pruned))

    acounts = twin(counts)

    def _runs(self, using: str) -> RunQuerySet:
        runs = Run.objects.using(using)
        # Without a key, the filter would match the runs whose task was deleted.
        return runs.none() if self.pk is None else runs.filter(task=self.pk)

    @property
    def _task(self) -> "Task":
        return cast("Task", self)

    @property
    def _home(self) -> str:
        """The alias of the database that stores the task."""
        return router.db_for_write(type(self), instance=self)
