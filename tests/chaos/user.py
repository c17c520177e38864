"""A user who does not care that things break: edits, pauses, runs now, cancels, deletes."""

import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from sisy import clock
from sisy.models import Run, Task
from tests.chaos import jobs, moments
from tests.chaos.evidence import Request, Span
from tests.chaos.journal import Change, Journal
from tests.chaos.workload import EVERY, Draft

AGAIN = 0.2  # seconds
BRIEF = {"short": 0.01, "long": 2.0, "is_long": 0.1, "fails": 0.0}


class User:
    """Does something every now and then until told to stop, and keeps a journal of it.

    What is interrupted by the database is done again until it is certain that it is done; only
    what must not be done twice is not, and is then noted as uncertain.
    """

    def __init__(self, seed: int, drafts: list[Draft], journal: Journal, pause: float) -> None:
        self.requests: list[Request] = []
        self.cancels: set[str] = set()
        self.deleted: set[str] = set()
        self.done = 0
        self._random = random.Random(f"user {seed}")
        self._drafts = {draft.key: draft for draft in drafts}
        self._journal = journal
        self._pause = pause
        self._paused: dict[str, float] = {}
        self._schedules = {draft.key: draft.fields["schedule"] for draft in drafts}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self.error: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)

    def _go_on(self) -> None:
        try:
            while not self._stopping.wait(self._random.uniform(0.5, 1.5) * self._pause):
                self._act()
                self.done += 1
        except BaseException as error:
            self.error = error
            raise
        finally:
            connections.close_all()

    def _act(self) -> None:
        for key, until in list(self._paused.items()):
            if until < moments.now():
                del self._paused[key]
                self._change(key, self._schedules[key], lambda task: task.resume())
        act = self._random.choices(
            [
                self._run_now,
                self._run_once,
                self._edit,
                self._update,
                self._pause_one,
                self._cancel,
                self._delete,
            ],
            [4, 4, 3, 2, 2, 2, 0.5],
        )[0]
        act()

    def _of(self, part: str) -> str | None:
        keys = [
            key
            for key, draft in self._drafts.items()
            if draft.part == part and key not in self.deleted and key not in self._paused
        ]
        return self._random.choice(keys) if keys else None

    def _run_now(self) -> None:
        key = self._random.choice(sorted(self._drafts))
        began = moments.now()
        run = self._once(lambda: self._submitted(key))
        if run != "refused":
            self.requests.append(Request(key=key, run=run, asked=(began, moments.now())))

    def _submitted(self, key: str) -> int | str:
        task = Task.objects.filter(label=key).first()
        if task is None:
            return "refused"
        return task.run_now().pk

    def _run_once(self) -> None:
        key = f"once-{len(self.requests):05}"
        delay = self._random.choice([None, None, 1.0, 3.5, 7.0])
        function = self._random.choice([jobs.work, jobs.async_work, jobs.watchful_work])
        wanted: list[float] = []
        began = moments.now()
        run = self._once(partial(self._submitted_once, function, key, delay, wanted))
        request = Request(
            key=key,
            run=run,
            asked=(began, moments.now()),
            not_before=wanted[0] if wanted else None,
        )
        self.requests.append(request)

    def _submitted_once(
        self, function: Any, key: str, delay: float | None, wanted: list[float]
    ) -> int | None:
        until = None
        if delay is not None:
            until = clock.now("default") + timedelta(seconds=delay)
            wanted.append(until.timestamp())
        Task.run_once(function, userdata={"key": key, **BRIEF}, delay_until=until)
        return Run.objects.filter(payload__key=key).values_list("pk", flat=True).first()

    def _edit(self) -> None:
        key = self._of("edited")
        if key is not None:
            schedule = self._other_schedule(key)

            def edit(task: Task) -> None:
                task.schedule = schedule
                task.priority = self._random.choice([0, 5])
                task.save()

            self._change(key, schedule, edit)

    def _update(self) -> None:
        """Change the schedule by a statement that no ``save()`` sees."""
        key = self._of("edited")
        if key is not None:
            schedule = self._other_schedule(key)
            self._change(
                key,
                schedule,
                lambda task: Task.objects.filter(pk=task.pk).update(schedule=schedule),
            )

    def _other_schedule(self, key: str) -> str:
        now = self._schedules[key]
        period = self._drafts[key].period
        near = [text for each in EVERY for text in EVERY[each] if period <= each <= 4 * period]
        return self._random.choice([text for text in near if text != now] or [now])

    def _pause_one(self) -> None:
        key = self._of("edited")
        if key is not None:
            self._change(key, None, lambda task: task.pause("chaos"))
            self._paused[key] = moments.now() + self._random.uniform(2, 10)

    def _cancel(self) -> None:
        key = self._random.choice(sorted(self._drafts))
        reason = f"cancelled by the user of the chaos, {len(self.cancels)}"
        self.cancels.add(reason)
        verb = self._random.choice([Task.cancel_queued, Task.cancel_runs])
        self._surely(key, lambda task: verb(task, reason))

    def _delete(self) -> None:
        key = self._of("deleted")
        if key is not None and len(self.deleted) < 30:
            self.deleted.add(key)
            self._change(key, None, lambda task: task.delete())

    def _change(self, key: str, schedule: str | None, act: Callable[[Task], object]) -> None:
        when = self._surely(key, act)
        self._journal.write(Change(key=key, when=when, schedule=schedule))
        if schedule is not None:
            self._schedules[key] = schedule

    def _surely(self, key: str, act: Callable[[Task], object]) -> Span:
        """Do it until it is certain that it is done; return the time in which it was."""
        began = moments.now()
        while True:
            try:
                task = Task.objects.filter(label=key).first()
                if task is not None:
                    act(task)
            except (DatabaseError, InterfaceError):
                connections.close_all()
                time.sleep(AGAIN)
            else:
                return began, moments.now()

    def _once(self, act: Callable[[], Any]) -> Any:
        """Do it once; return None if it is not known whether it was done."""
        try:
            return act()
        except (DatabaseError, InterfaceError):
            connections.close_all()
            return None
