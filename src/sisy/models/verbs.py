"""The verbs of a task: run, pause, resume, cancel, backfill and count."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack, cast

from django.db import models, router

from sisy import clock
from sisy.callables import Callee, target_of
from sisy.lifecycle.cancel import cancel_or_request_live
from sisy.lifecycle.submit import submit, submit_once
from sisy.lifecycle.template import Once
from sisy.models.run import Run, RunQuerySet
from sisy.planning import activation
from sisy.planning.backfill import backfill, to_backfill
from sisy.planning.declarations import Policies, refuse_unknown
from sisy.records.choices import Origin, RunState
from sisy.records.small_tables import QueuedRun, planned_ahead
from sisy.records.twins import class_twin, twin
from sisy.records.validators import future_moment, json_dict, json_dicts, moment_in
from sisy.store.reports import counts_of_task

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

        The run is part of the caller's transaction: if that is rolled back, nothing runs. If
        routers give tasks their own database, Sisy submits the run after all open transactions of
        the caller are committed. Until then, the returned task is not saved.

        Args:
            fn: the callable, or its dotted path.
            userdata: data for the function, as JSON; empty by default.
            delay_until: an aware moment; the task does not run before it. By default, now.
            label: the name to display; by default the path.
            queue: the queue of the run; ``default`` by default.
            policies: any policy of a task, such as ``timeout`` or ``max_attempts``. Policies of
                the schedule, such as ``missed`` and ``spread``, have no effect here.

        Raises:
            CallableError: a worker cannot call ``fn``.
            TypeError: a task has no such policy.
            ValueError: ``delay_until`` is naive or in the past, or a value is not valid.
        """
        refuse_unknown(policies)
        once = cls.for_once(fn, label=label, userdata=userdata, queue=queue, **policies)
        return submit_once(once, [once.task.userdata], delay_until)

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

        The runs may overlap, unless ``overlap`` forbids it; ``overlap="buffer_all"`` runs them one
        after the other. Each gets its own data in ``message["task"].userdata``. The returned task
        represents all of them: ``counts()`` shows the progress, and ``cancel_runs()`` cancels
        them. They are part of the caller's transaction.

        Args:
            fn: the callable, or its dotted path.
            userdata: data for each run, as JSON: a dict for each, at least one.
            delay_until: an aware moment; no run starts before it. By default, now.
            label: the name to display; by default the path.
            queue: the queue of the runs; ``default`` by default.
            policies: as for `run_once`.

        Raises:
            CallableError: a worker cannot call ``fn``.
            TypeError: a task has no such policy.
            ValueError: as for `run_once`, or ``userdata`` is empty. Nothing is submitted then.
        """
        refuse_unknown(policies)
        payloads = json_dicts(userdata)
        if not payloads:
            raise ValueError("userdata is empty. Pass one dict for each run.")
        once = cls.for_once(fn, label=label, queue=queue, **policies)
        return submit_once(once, payloads, delay_until)

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
            fn: the callable, or its dotted path.
            iterations: the number of runs, 1 or more, successful or not.
            label: the name to display; by default the path.
            schedule: by default, every second.
            userdata: data for the function, as JSON; empty by default.
            run_immediately: start the first run without waiting for the schedule.
            delay_until: an aware moment; the task does not run before it.
            timezone: the time zone of the schedule; by default Django's ``TIME_ZONE``.
            queue: the queue of the task's runs; ``default`` by default.
            policies: any policy of a task, such as ``timeout``.

        Raises:
            TypeError: a task has no such policy.
            ScheduleError: the schedule is not valid.
            CallableError: a worker cannot call ``fn``.
            ValueError: ``delay_until`` is naive or in the past, or another value is not valid.
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
    def for_once(
        cls,
        fn: Callee,
        *,
        label: str | None = None,
        userdata: dict[str, Any] | None = None,
        origin: Origin = Origin.ONCE,
        **options: Any,
    ) -> "Once[Task]":
        """Return an unsaved task without a schedule, for `sisy.lifecycle.submit.store_once`."""
        model = cast("type[Task]", cls)
        own = {"label": label, "_extra_data": userdata}
        return Once.of(model, target_of(fn), origin, options, **own)

    def run_now(self) -> Run:
        """Submit a run now, in addition to the schedule.

        Raises:
            ValueError: the task is not saved, or ``userdata`` is not valid JSON.
        """
        using = self._home
        now = clock.now(using)
        task = self._task
        # Checked here: an error within the transaction would roll back the caller's as well.
        payload = json_dict(task.userdata)
        run = task.new_run(now=now, origin=Origin.MANUAL, payload=payload)
        return cast("Run", submit([run], using)[0])

    arun_now = twin(run_now)

    def backfill(self, start: datetime, end: datetime, *, again: bool = False) -> list[Run]:
        """Submit a run for each occurrence of a range that did not succeed, and return the runs.

        The schedule does not change, and the runs do not count as iterations. Each run gets the
        due moment of its occurrence. Unless runs of the task may overlap, they run one after the
        other. A second call for the same range runs only occurrences that have not succeeded and
        are not queued or running. Occurrences that are not planned yet are left to a heartbeat.

        Args:
            start: an aware moment; the first occurrence may be due then.
            end: an aware moment, not after now; the last occurrence is due before it.
            again: also run occurrences that are left out otherwise.

        Raises:
            ScheduleError: the task's schedule or time zone is not valid.
            ValueError: the range is not in the past, has more than 10,000 occurrences, or begins
                before the oldest run that pruning has left in the ledger.
        """
        start, end, using = moment_in(start, "start"), moment_in(end, "end"), self._home
        return cast("list[Run]", backfill(self._task, start, end, using, clock.now(using), again))

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

    def pause(self, reason: str = "", until: datetime | None = None) -> bool:
        """Stop planning until `resume`; return whether the task was being planned.

        Runs that are due and queued still execute. Occurrences that fall due during the pause
        never run.

        Args:
            until: when a heartbeat resumes it; an occurrence at that moment runs. Default: never.

        Raises:
            ValueError: ``until`` is naive where the project uses time zones, or has passed.
        """
        return activation.pause(self._task, self._home, reason, until)

    apause = twin(pause)

    def resume(self) -> bool:
        """Plan again, from now on; return whether the task was paused or broken.

        If the schedule or the time zone is no longer valid, the task becomes ``broken``, and
        ``state_reason`` says why.
        """
        return activation.resume(self._task, self._home)

    aresume = twin(resume)

    def cancel_queued(self, reason: str = "Cancelled.") -> int:
        """Cancel the task's queued runs, and return their number."""
        now = clock.now(self._home)
        entries = QueuedRun.objects.filter(task_id=self.pk).exclude(planned_ahead(now))
        queued = Run.objects.using(self._home).listed(entries)
        return self._cancel(queued.filter(state=RunState.QUEUED), reason, now)

    acancel_queued = twin(cancel_queued)

    def cancel_runs(self, reason: str = "Cancelled.", *, by_force: bool = False) -> int:
        """Cancel queued runs and ask running ones to stop, as `Run.cancel` does. Count both."""
        now = clock.now(self._home)
        live = Run.objects.using(self._home).live_of([self.pk], now)
        return self._cancel(live, reason, now, by_force=by_force)

    acancel_runs = twin(cancel_runs)

    def counts(self) -> dict[str, int]:
        """Return the number of occurrences by state, including pruned ones."""
        using = self._home
        kept = {} if self.pk is None else counts_of_task(using, self.pk, clock.now(using))
        return dict(Counter(kept) + Counter(self._task.pruned))

    acounts = twin(counts)

    def _cancel(
        self, live: RunQuerySet, reason: str, now: datetime, *, by_force: bool = False
    ) -> int:
        if self.pk is None:
            return 0
        cancelled, asked = cancel_or_request_live(live, reason, now, by_force=by_force)
        return len(cancelled) + len(asked)

    @property
    def _task(self) -> "Task":
        return cast("Task", self)

    @property
    def _home(self) -> str:
        """The alias of the database that stores the task."""
        return router.db_for_write(type(self), instance=self)
