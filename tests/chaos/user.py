"""A user who does not care that things break: edits, pauses, runs now, cancels, deletes.

Many edits are made in the last moments before the task is due, when its run is planned already.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from math import inf
from typing import Any

from django.db import DatabaseError, InterfaceError, connection, connections

from sisy import clock
from sisy.models import Run, Task
from sisy.schedules import Schedule
from tests.chaos import jobs, moments
from tests.chaos.evidence import Request, Span
from tests.chaos.habits import Habits
from tests.chaos.journal import Change, Journal
from tests.chaos.workload import EVERY, Draft

AGAIN = 0.2  # seconds
BRIEF = {"short": 0.01, "long": 2.0, "is_long": 0.1, "fails": 0.0}
SOON = 2.5  # seconds
JUST_BEFORE = (0.02, 0.12, 1.0, 2.0)
"""Edits are made up to so many seconds before the task is due: one as often as the other."""

CANDIDATES = 12
PRIORITIES = (-10, -5, 0, 5, 10)
MOST_DELETED = 0.6  # of the tasks that may be deleted


class User:
    """Does something every now and then until told to stop, and keeps a journal of it.

    What is interrupted by the database is done again until it is certain that it is done; only
    what must not be done twice is not, and is then noted as uncertain.

    Attributes:
        done: how often what was done.
        aimed: how many edits were made in the last moments before the task was due.
    """

    def __init__(
        self, name: str, drafts: Sequence[Draft], journal: Journal, habits: Habits
    ) -> None:
        self.requests: list[Request] = []
        self.cancels: set[str] = set()
        self.deleted: set[str] = set()
        self.done: Counter[str] = Counter()
        self.aimed = 0
        self._name = name
        self._random = random.Random(f"user {name}")
        self._drafts = {draft.key: draft for draft in drafts}
        self._journal = journal
        self._habits = habits
        self._acts: dict[str, Callable[[], None]] = {
            "run now": self._run_now,
            "run once": self._run_once,
            "edit": self._edit,
            "update": self._update,
            "change by raw SQL": self._change_by_raw_sql,
            "reshape": self._reshape,
            "pause": self._pause_one,
            "cancel": self._cancel,
            "delete": self._delete,
        }
        self._paused: dict[str, float] = {}
        self._schedules = {draft.key: draft.fields["schedule"] for draft in drafts}
        self._priorities = {draft.key: draft.fields["priority"] for draft in drafts}
        self._most_deleted = MOST_DELETED * sum(draft.part == "deleted" for draft in drafts)
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
            while not self._stopping.wait(self._random.uniform(0.5, 1.5) * self._habits.pause):
                self._act()
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
        weights = self._habits.weights
        [name] = self._random.choices(list(weights), list(weights.values()))
        self._acts[name]()
        self.done[name] += 1

    def _of(self, part: str) -> str | None:
        """Return a task that may be changed, perhaps just before it is due; None if none may."""
        keys = [
            key
            for key, draft in self._drafts.items()
            if draft.part == part and key not in self.deleted and key not in self._paused
        ]
        if not keys:
            return None
        if self._random.random() < self._habits.aimed:
            return self._nearly_due(keys)
        return self._random.choice(keys)

    def _nearly_due(self, keys: Sequence[str]) -> str:
        """Wait until a task is nearly due, and return it."""
        chosen = self._random.sample(keys, min(CANDIDATES, len(keys)))
        due = {key: self._next_due(key) for key in chosen}
        soon = [key for key, moment in due.items() if moment < moments.now() + SOON]
        if not soon:
            return chosen[0]
        key = self._random.choice(soon)
        before = self._random.uniform(0, self._random.choice(JUST_BEFORE))
        self.aimed += 1
        self._stopping.wait(max(0.0, due[key] - before - moments.now()))
        return key

    def _next_due(self, key: str) -> float:
        zone = self._drafts[key].fields["timezone"]
        schedule = Schedule(self._schedules[key], zone, key=key)
        due = moments.of(schedule.next_after(moments.datetime_of(moments.now())))
        return inf if due is None else due

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
        key = f"once-{self._name}-{len(self.requests):05}"
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
            schedule, priority = self._other_schedule(key), self._random.choice(PRIORITIES)

            def edit(task: Task) -> None:
                task.schedule, task.priority = schedule, priority
                task.save()

            self._change(key, schedule, edit, priority)

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

    def _change_by_raw_sql(self) -> None:
        """Change the schedule behind the back of Django and Sisy."""
        key = self._of("edited")
        if key is not None:
            schedule = self._other_schedule(key)
            change = "UPDATE sisy_task SET schedule = %s WHERE id = %s"

            def execute(task: Task) -> None:
                with connection.cursor() as cursor:
                    cursor.execute(change, [schedule, task.pk])

            self._change(key, schedule, execute, found_after=self._habits.found_after)

    def _reshape(self) -> None:
        """Change what runs copy from their task, but not when it is due."""
        key = self._of("edited")
        if key is not None:
            priority = self._random.choice(PRIORITIES)

            def save(task: Task) -> None:
                task.priority = priority
                task.save()

            def update(task: Task) -> None:
                Task.objects.filter(pk=task.pk).update(priority=priority)

            act = self._random.choice([save, update])
            self._change(key, self._schedules[key], act, priority)

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
        reason = f"cancelled by user {self._name} of the chaos, {len(self.cancels)}"
        self.cancels.add(reason)
        verb = self._random.choice([Task.cancel_queued, Task.cancel_runs])
        self._surely(key, lambda task: verb(task, reason))

    def _delete(self) -> None:
        key = self._of("deleted")
        if key is not None and len(self.deleted) < self._most_deleted:
            self.deleted.add(key)
            self._change(key, None, lambda task: task.delete())

    def _change(
        self,
        key: str,
        schedule: str | None,
        act: Callable[[Task], object],
        priority: int | None = None,
        found_after: float = 0.0,
    ) -> None:
        when = self._surely(key, act)
        if priority is not None:
            self._priorities[key] = priority
        if schedule is not None:
            self._schedules[key] = schedule
        change = Change(
            key=key,
            when=when,
            schedule=schedule,
            priority=self._priorities[key],
            found_after=found_after,
        )
        self._journal.write(change)

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
