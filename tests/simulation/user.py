"""Who owns the tasks: makes, edits, pauses and deletes them through the public API."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import DatabaseError, transaction

from sisy.models import QueuedRun, Task, TaskState, task_with_callable
from sisy.records.small_tables import planned_ahead
from tests.app import jobs
from tests.simulation.history import Story, Times
from tests.simulation.nemesis import aimed_at_what_is_due
from tests.simulation.players import Player
from tests.simulation.site import Site
from tests.support.moments import DAY, HOUR

AGAIN = 0.6  # how often the user does one more thing within a second
PRIORITIES = (-5, 0, 0, 5)
ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Europe/Dublin")


class User:
    """Does something every few hours, mostly when something is due.

    Args:
        every: the mean time between two deeds, in hours.
        schedules: from which it chooses.
        finite: the schedule of tasks that run a few times, for a number of seconds.
        begins: the seconds until it does something for the first time.
    """

    def __init__(
        self, site: Site, every: float, schedules: Sequence[str], finite: str, begins: float
    ) -> None:
        self._site, self._world, self._history = site, site.world, site.history
        self._schedules, self._finite_schedule = schedules, finite
        self._every = every
        self._made = 0
        self._is_over = False
        self._waiting: list[tuple[Callable[[], Any], Callable[..., None]]] = []
        self.player = Player(site.world, "user", timedelta(0))
        self._world.after(begins, self._plan_next)

    def stop(self) -> None:
        """Do nothing more, but end what was begun."""
        self._is_over = True

    @property
    def is_busy(self) -> bool:
        return self.player.is_busy or bool(self._waiting)

    def makes(self, label: str, times: Times, *, wait_for_schedule: bool = True, **wants: Any):
        """Make a task, and note what it wants."""
        story = Story(label=label, pk=0, times=times, timeline=self._history.timeline, **wants)

        def make() -> Task:
            task = task_with_callable(
                jobs.noop,
                label=label,
                schedule=times.schedule,
                timezone=times.timezone,
                start_running=times.start,
                end_running=times.end,
                wait_for_schedule=wait_for_schedule,
                missed=story.missed,
                missed_window=story.missed_window,
                overlap=story.overlap,
                on_lost=story.on_lost,
                max_attempts=story.max_attempts,
                iterations=story.iterations,
            )
            task.save()
            return task

        def made(begun: datetime, task: Task) -> None:
            story.pk = task.pk
            story.changes(begun, self._world.now, times)
            if not wait_for_schedule:
                story.at_once = task.next_run
            self._history.stories[label] = story

        # Known before it can run: a heartbeat may be quicker than who asked for it.
        self._history.stories[label] = story
        self._do(make, made)

    def pauses_all(self) -> None:
        """Let nothing more fall due."""
        for story in self._history.stories.values():
            if not story.is_over:
                self._pause(story)

    def _plan_next(self) -> None:
        draw = self._world.random
        if draw.random() < AGAIN:
            self._world.after(draw.uniform(0, 1), self._act)
            return
        gap = draw.expovariate(1 / (self._every * 3600))
        self._world.after(gap, self._aim)

    def _aim(self) -> None:
        """Do something close to a due moment of a task that may be edited."""
        tasks = [story.pk for story in self._edited()]
        self._world.at(aimed_at_what_is_due(self._site, tasks), self._act)

    def _edited(self) -> list[Story]:
        stories = self._history.stories.values()
        return [story for story in stories if story.is_edited and not story.is_over]

    def _finite(self) -> list[Story]:
        pks = set(Task.objects.active().exclude(iterations=None).values_list("pk", flat=True))
        return [story for story in self._history.stories.values() if story.pk in pks]

    def _act(self) -> None:
        if self._is_over:
            return
        draw = self._world.random
        mine = self._edited()
        if len(mine) < 4 or draw.random() < 0.03:
            self._make_one()
        elif draw.random() < 0.12:
            self._make_finite()
        elif draw.random() < 0.5 and (finite := self._finite()):
            draw.choice((self._reshape, self._recount, self._recount))(self._first_due(finite))
        else:
            deeds = (
                (self._edit, 4),
                (self._update, 3),
                (self._reshape, 4),
                (self._pause, 2),
                (self._resume, 4),
                (self._delete, 0.4),
                (self._delete_by_query, 0.4),
                (self._run_now, 2),
                (self._run_once, 1),
                (self._cancel_queued, 0.5),
            )
            deed = draw.choices([one for one, _ in deeds], [weight for _, weight in deeds])[0]
            deed(self._soon_due(mine) if draw.random() < 0.8 else draw.choice(mine))
        self._plan_next()

    def _soon_due(self, stories: list[Story]) -> Story:
        """Return one that is planned ahead, or else the one over which a heartbeat bends."""
        pks = [story.pk for story in stories]
        ahead = QueuedRun.objects.filter(planned_ahead(self._world.now), task_id__in=pks)
        planned = set(ahead.values_list("task_id", flat=True))
        found = [story for story in stories if story.pk in planned]
        return self._world.random.choice(found) if found else self._first_due(stories)

    def _first_due(self, stories: list[Story]) -> Story:
        """Return the one over which a heartbeat bends just now, or soon will."""
        pks = [story.pk for story in stories]
        ahead = QueuedRun.objects.filter(planned_ahead(self._world.now), task_id__in=pks)
        tasks = Task.objects.active().filter(pk__in=pks).exclude(next_run=None)
        pk = ahead.order_by("ready_at", "run_id").values_list("task_id", flat=True).first()
        pk = pk or tasks.order_by("next_run", "pk").values_list("pk", flat=True).first()
        return next((story for story in stories if story.pk == pk), stories[0])

    def _make_one(self) -> None:
        self._made += 1
        wants = self._site.drawn_wants()
        is_at_once = self._world.random.random() < 0.2
        label = f"edited-{self._made}"
        self.makes(label, self._times(), wait_for_schedule=not is_at_once, is_edited=True, **wants)

    def _make_finite(self) -> None:
        """Let something run every second or so, a few times."""
        self._made += 1
        draw = self._world.random
        schedule = self._finite_schedule.format(draw.choice((1, 2, 5)))
        times = Times(schedule=schedule, timezone="UTC")
        takes = draw.choice(((0.05, 3.0), (0.05, 3.0), (2.0, 15.0)))
        wants = self._site.drawn_wants() | {"iterations": draw.randint(1, 6), "takes": takes}
        self.makes(f"finite-{self._made}", times, **wants)

    def _edit(self, story: Story) -> None:
        times = self._times(story)

        def edit() -> None:
            task = Task.objects.get(pk=story.pk)
            task.schedule, task.timezone = times.schedule, times.timezone
            task.start_running, task.end_running = times.start, times.end
            task.save()

        self._do(edit, partial(self._has_changed, story, times), story)

    def _update(self, story: Story) -> None:
        times = self._times(story)
        columns = {
            "schedule": times.schedule,
            "timezone": times.timezone,
            "start_running": times.start,
            "end_running": times.end,
        }
        tasks = Task.objects.filter(pk=story.pk)

        def has_changed(begun: datetime, count: int) -> None:
            if count:
                self._has_changed(story, times, begun)
            else:
                story.ends(begun, self._world.now)

        self._do(lambda: tasks.update(**columns), has_changed, story)

    def _reshape(self, story: Story) -> None:
        """Change what runs copy from their task, but not when it is due."""
        priority = self._world.random.choice(PRIORITIES)
        tasks = Task.objects.filter(pk=story.pk)

        def save() -> int:
            task = tasks.get()
            task.priority = priority
            task.save()
            return 1

        def reshaped(begun: datetime, count: int) -> None:
            if count:
                story.priority = priority
                times = None if story.is_paused else story.times
                story.changes(begun, self._world.now, times)
            else:
                story.ends(begun, self._world.now)

        by_query = partial(tasks.update, priority=priority)
        self._do(self._world.random.choice((save, by_query)), reshaped, story)

    def _recount(self, story: Story) -> None:
        """Let a task run more often, or let what is planned be all of it."""
        more = self._world.random.choice((0, 0, 1, 3))

        def save() -> int | None:
            with transaction.atomic():
                task = Task.objects.select_for_update().get(pk=story.pk)
                if task.state != TaskState.ACTIVE:
                    return None
                task.iterations = task.iterations + more if more else max(1, task.runs_planned)
                task.save()
                return task.iterations

        def recounted(begun: datetime, iterations: int | None) -> None:
            story.iterations = iterations or story.iterations
            story.recounts.append(self._world.now)

        self._do(save, recounted, story)

    def _has_changed(
        self, story: Story, times: Times, begun: datetime, result: Any = None
    ) -> None:
        story.times = times
        story.changes(begun, self._world.now, None if story.is_paused else times)

    def _pause(self, story: Story) -> None:
        def paused(begun: datetime, was_planned: bool) -> None:
            if was_planned:
                story.is_paused = True
                story.changes(begun, self._world.now, None)

        self._do(lambda: Task.objects.get(pk=story.pk).pause("for now"), paused, story)

    def _resume(self, story: Story) -> None:
        def resumed(begun: datetime, was_paused: bool) -> None:
            if was_paused:
                story.is_paused = False
                story.changes(begun, self._world.now, story.times)

        self._do(lambda: Task.objects.get(pk=story.pk).resume(), resumed, story)

    def _delete(self, story: Story) -> None:
        ended = partial(self._has_ended, story)
        self._do(lambda: Task.objects.get(pk=story.pk).delete(), ended, story)

    def _delete_by_query(self, story: Story) -> None:
        tasks = Task.objects.filter(pk=story.pk)
        self._do(tasks.delete, partial(self._has_ended, story), story)

    def _has_ended(self, story: Story, begun: datetime, result: Any) -> None:
        story.ends(begun, self._world.now)

    def _run_now(self, story: Story) -> None:
        def asked(begun: datetime, run: Any) -> None:
            story.asked_for += 1
            self._site.ring()

        self._do(lambda: Task.objects.get(pk=story.pk).run_now(), asked, story)

    def _run_once(self, story: Story) -> None:
        delay = self._world.random.choice((None, 90.0, 5000.0))
        moment = None if delay is None else self._world.now + timedelta(seconds=delay)

        def asked(begun: datetime, task: Task) -> None:
            self._history.once += 1
            self._site.ring()

        self._do(lambda: Task.run_once(jobs.noop, delay_until=moment), asked)

    def _cancel_queued(self, story: Story) -> None:
        def cancelled(begun: datetime, count: int) -> None:
            story.queued_cancelled = story.queued_cancelled or count > 0

        self._do(lambda: Task.objects.get(pk=story.pk).cancel_queued(), cancelled, story)

    def _times(self, story: Story | None = None) -> Times:
        """Draw when something is due; one in five only for some days."""
        draw = self._world.random
        times = Times(schedule=draw.choice(self._schedules), timezone=draw.choice(ZONES))
        if draw.random() < 0.2:
            start = self._world.now + draw.choice((-DAY, HOUR, DAY))
            times = replace(times, start=start, end=start + draw.randint(40, 90) * DAY)
        return times

    def _do(
        self,
        deed: Callable[[], Any],
        then: Callable[..., None],
        story: Story | None = None,
    ) -> None:
        """Do something, one thing after the other."""
        self._waiting.append((deed, partial(self._has_done, then, story)))
        self._begin_next()

    def _begin_next(self) -> None:
        if self._waiting and not self.player.is_busy:
            deed, then = self._waiting.pop(0)
            self.player.begin(deed, partial(then, self._world.now))

    def _has_done(
        self,
        then: Callable[..., None],
        story: Story | None,
        begun: datetime,
        how: str,
        result: Any,
    ) -> None:
        if how == "done":
            then(begun, result)
        elif story is not None and isinstance(result, Task.DoesNotExist | DatabaseError):
            if Task.objects.filter(pk=story.pk).exists():
                self._history.wrong(f"The user's deed to {story.label} failed: {result!r}")
            story.ends(begun, self._world.now)
        else:
            self._history.wrong(f"The user's deed failed: {result!r}")
        self._site.something_happened()
        self._site.wake_some()
        self._begin_next()


__all__ = ["TaskState", "User"]
