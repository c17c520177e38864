"""The work and the time that a backfill will probably take."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext

from sisy import conf
from sisy.alerting.problem import of_task
from sisy.models import Alert, Overlap, Process, Queue, Role, Task
from sisy.models.alert import AlertQuerySet
from sisy.records.problems import Kind
from sisy.reports import formatting
from sisy.reports.durations import usual_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of a backfill.

    Attributes:
        each: how long a run usually takes; None if that is unknown.
        count: the number of runs.
        slots: the slots of its queue's workers; None if another engine executes the runs.
        at_once: how many of its runs may execute at the same time; None if the other engine
            decides that.
        is_paused: whether the queue is paused.
        is_failing: whether the task has an open alert because its latest runs failed.
    """

    each: timedelta | None
    count: int
    slots: int | None
    at_once: int | None
    is_paused: bool
    is_failing: bool

    @property
    def work(self) -> timedelta:
        """The duration of all runs together; 0 if that is unknown."""
        return self.count * (self.each or timedelta(0))

    @property
    def time(self) -> timedelta:
        """The time until all runs have finished, if each finds a slot."""
        rounds = -(-self.count // max(1, self.at_once or 1))
        return rounds * (self.each or timedelta(0))


def cost_of(using: str, task: Task, count: int, now: datetime) -> Cost:
    """Return the cost of a backfill of this many occurrences."""
    slots = _slots(using, task, now)
    return Cost(
        each=usual_of(using, task.pk),
        count=count,
        slots=slots,
        at_once=slots if task.overlap == Overlap.ALLOW else 1,
        is_paused=Queue.objects.using(using).paused().filter(name=task.queue).exists(),
        is_failing=_failing(using).filter(subject=of_task(task.pk)).exists(),
    )


def in_words(cost: Cost) -> list[str]:
    """Return how much work the runs are and how long they take, and what delays them."""
    found = []
    if cost.each is None:
        words = gettext("The duration is unknown, because none of the latest runs succeeded.")
        found.append(words)
    else:
        found.append(gettext("A run typically takes %s.") % formatting.span(cost.each))
    if cost.each is not None and cost.count > 1:
        named = {"work": formatting.span(cost.work), "time": formatting.span(cost.time)}
        words = gettext("One after the other, they take about %(time)s.")
        if cost.at_once is None:
            words = gettext("The total run time is about %(work)s.")
        elif cost.at_once > 1:
            named["slots"] = str(cost.at_once)
            words = gettext(
                "The total run time is about %(work)s. With %(slots)s free slots, they take about "
                "%(time)s."
            )
        found.append(words % named)
    if cost.is_paused:
        found.append(gettext("The queue is paused. Runs stay queued until it is resumed."))
    elif cost.slots == 0:
        words = gettext("No worker serves the queue. Runs stay queued until one starts.")
        found.append(words)
    if cost.is_failing:
        words = gettext(
            "The latest runs of the task failed. Further runs will probably fail as well."
        )
        found.append(words)
    return found


def _failing(using: str) -> AlertQuerySet:
    return Alert.objects.using(using).open().filter(kind=Kind.FAILING)


def _slots(using: str, task: Task, now: datetime) -> int | None:
    if task.engine not in conf.get_settings().native_engines:
        return None
    workers = Process.objects.using(using).alive(now).filter(role=Role.WORKER)
    known = workers.filter(drain_requested_at=None).values_list("queues", "slots")
    return sum(slots for queues, slots in known if task.queue in queues)
