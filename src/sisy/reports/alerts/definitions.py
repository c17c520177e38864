"""The alerts about the definitions of stored tasks: their schedules and their functions.

They cover all tasks, and import the code of every target. That takes too long for pages that
refresh, so ``manage.py check --database`` shows them. Tasks that share a problem share an alert.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Count, Min, Q
from django.utils.translation import ngettext

from sisy.callables import Target
from sisy.exceptions import CallableError, ScheduleError
from sisy.models import Task, TaskState
from sisy.reports.alerts.alert import Alert, Kind, Severity
from sisy.reports.formatting import schedule_error
from sisy.schedules import Schedule

MAX_DISTINCT_READ = 5000  # different schedules, and different targets
MAX_ERRORS_READ = 100  # different errors of targets


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleGroup:
    """The stored tasks with one schedule and time zone.

    Attributes:
        example: the label of one of them.
        broken: how many of them are broken.
        broken_example: the label of one of those.
        error: why the schedule is not valid; empty if it is.
    """

    expression: str
    timezone: str
    count: int
    example: str
    broken: int
    broken_example: str
    error: str

    @property
    def words(self) -> str:
        """The schedule and its time zone."""
        return f"The schedule {self.expression!r} ({self.timezone})"

    @property
    def users(self) -> str:
        """A sentence that names the tasks with the schedule."""
        return f"It is used by {_whose(self.example, self.count, 'and')}."


def schedule_groups(using: str) -> list[ScheduleGroup]:
    """Return the schedules of stored tasks that are not retired, each once."""
    rows = (
        Task.objects.using(using)
        .exclude(state=TaskState.RETIRED)
        .values_list("schedule", "timezone")
        .annotate(
            Count("pk"),
            Min("label"),
            broken=Count("pk", filter=Q(state=TaskState.BROKEN)),
            broken_example=Min("label", filter=Q(state=TaskState.BROKEN)),
        )
        .order_by("schedule", "timezone")
    )
    return [
        ScheduleGroup(
            expression=expression,
            timezone=zone,
            count=count,
            example=example,
            broken=broken,
            broken_example=broken_example or "",
            error=_error_of(expression, zone, example),
        )
        for expression, zone, count, example, broken, broken_example in rows[:MAX_DISTINCT_READ]
    ]


def _error_of(expression: str, zone: str, key: str) -> str:
    try:
        Schedule(expression, zone, key=key)
    except ScheduleError as error:
        return str(error)
    return ""


def schedule_alerts(groups: list[ScheduleGroup]) -> Iterator[Alert]:
    """Yield the schedules that are not valid, and valid ones whose tasks are still broken."""
    for group in groups:
        if group.error:
            yield Alert(
                kind=Kind.SCHEDULE,
                severity=Severity.ERROR,
                what=group.example,
                why=f"{schedule_error(group.words, group.error)} {group.users}",
                fix="Set a valid schedule and save each task.",
                number=group.count,
            )
        elif group.broken:
            yield _broken(group)


def _broken(group: ScheduleGroup) -> Alert:
    words = ngettext(
        "The task %(label)r is broken, although its schedule, %(schedule)s, is valid.",
        "%(count)d tasks with the schedule %(schedule)s are broken, although the schedule is "
        "valid. One of them is %(label)r.",
        group.broken,
    )
    named = {
        "count": group.broken,
        "label": group.broken_example,
        "schedule": f"{group.expression!r} ({group.timezone})",
    }
    these = f"schedule={group.expression!r}, timezone={group.timezone!r}"
    return Alert(
        kind=Kind.SCHEDULE,
        severity=Severity.ERROR,
        what=group.broken_example,
        why=words % named,
        fix=(
            "See state_reason for the cause. When it is fixed, run: "
            f"for task in Task.objects.filter(state='broken', {these}): task.resume()"
        ),
        number=group.broken,
    )


def target_alerts(using: str) -> Iterator[Alert]:
    """Yield the targets of stored tasks that cannot be called."""
    # Each path is checked once, for a method with one of its objects.
    targets = (
        Task.objects.using(using)
        .values_list("target_path")
        .annotate(Min("target_pk"), Count("pk"), Min("label"))
        .order_by("target_path")
    )
    for path, pk, count, example in targets[:MAX_DISTINCT_READ]:
        try:
            Target(path=path, pk=pk).check()
        except CallableError as error:
            yield Alert(
                kind=Kind.TARGET,
                severity=Severity.ERROR,
                what=example,
                why=f"The function of {_whose(example, count)} cannot be called: {error}",
                fix="Restore the code, or set another function (target_path).",
                number=count,
            )


def missing_target_alerts(using: str) -> Iterator[Alert]:
    """Yield the tasks whose target was missing when they last ran."""
    tasks = Task.objects.using(using).exclude(target_error="")
    errors = tasks.values_list("target_error").annotate(Count("pk"), Min("label"))
    for error, count, example in errors.order_by("target_error")[:MAX_ERRORS_READ]:
        yield Alert(
            kind=Kind.TARGET_MISSING,
            severity=Severity.ERROR,
            what=example,
            why=_last_run(example, count, error),
            fix="Delete the task, or set another function (target_path).",
            number=count,
        )


def _last_run(example: str, count: int, error: str) -> str:
    words = f"When the task {example!r} last ran, its function could not be found: {error}"
    if count == 1:
        return words
    more = ngettext(
        "The same happened to %d other task.", "The same happened to %d other tasks.", count - 1
    )
    return f"{words} {more % (count - 1)}"


def _whose(example: str, count: int, joined: str = "") -> str:
    """Return the task by name and the number of others, in brackets or after ``joined``."""
    if count == 1:
        return f"the task {example!r}"
    more = ngettext("%d other task", "%d other tasks", count - 1) % (count - 1)
    return (
        f"the task {example!r} {joined} {more}"
        if joined
        else f"the task {example!r} (and of {more})"
    )
