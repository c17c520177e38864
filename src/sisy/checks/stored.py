"""Checks of stored tasks and running processes."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.db import DatabaseError, connections, router, transaction
from django.db.models import Count, Min, Q
from django.utils.translation import ngettext

from sisy import clock
from sisy.callables import Target
from sisy.checks.layer import in_memory
from sisy.checks.quoting import warning
from sisy.checks.seconds import every_second_of_a_minute
from sisy.exceptions import CallableError, ScheduleError
from sisy.models import Process, Task, TaskState
from sisy.schedules import Schedule

MAX_MESSAGES_SHOWN = 10  # messages of one kind
MAX_DISTINCT_READ = 5000  # different schedules, and different targets


@register(Tags.database)
def check_stored_tasks(
    *, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check the schedules and targets of stored tasks in each of ``databases`` that has tasks."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        if router.allow_migrate_model(alias, Task) and _has_tables(alias):
            try:
                with transaction.atomic(using=alias):
                    found += [*_schedules(alias), *_targets(alias), *_lost_targets(alias)]
                    found += _several_processes(alias)
            except DatabaseError:
                continue  # migrate runs this check while the tables are those of another version
    return found


def _has_tables(alias: str) -> bool:
    tables = connections[alias].introspection.table_names()
    return {Task._meta.db_table, Process._meta.db_table} <= set(tables)


def _schedules(alias: str) -> list[CheckMessage]:
    tasks = Task.objects.using(alias).exclude(state=TaskState.RETIRED)
    groups = tasks.values("schedule", "timezone").annotate(
        count=Count("pk"),
        example=Min("label"),
        broken=Count("pk", filter=Q(state=TaskState.BROKEN)),
        broken_example=Min("label", filter=Q(state=TaskState.BROKEN)),
    )
    found: list[CheckMessage] = []
    for group in groups.order_by("schedule", "timezone")[:MAX_DISTINCT_READ]:
        schedule = f"{group['schedule']!r} in {group['timezone']}"
        what = f"The schedule {schedule} of {_whose(group)}"
        try:
            Schedule(group["schedule"], group["timezone"], key=group["example"])
        except ScheduleError as error:
            problem = f"{what} is not valid: {error}"
            hint = "Set a valid schedule and save the task."
        else:
            found += every_second_of_a_minute(what, group["schedule"], Task)
            if not group["broken"]:
                continue
            words = ngettext(
                "The task %(label)r is broken, although its schedule, %(schedule)s, is valid.",
                "%(count)d tasks with the schedule %(schedule)s are broken, although it is valid. "
                "One of them is %(label)r.",
                group["broken"],
            )
            named = {"count": group["broken"], "label": group["broken_example"]}
            problem = words % {**named, "schedule": schedule}
            these = f"schedule={group['schedule']!r}, timezone={group['timezone']!r}"
            hint = (
                "See state_reason for the cause. When it is fixed, run: "
                f"for task in Task.objects.filter(state='broken', {these}): task.resume()"
            )
        found.append(warning(problem, hint=hint, obj=Task, id="sisy.W008"))
    return _first_of(found, "schedules", "sisy.W008")


def _targets(alias: str) -> list[CheckMessage]:
    # Each path is checked once: one of the objects whose method it is stands for all.
    groups = (
        Task.objects.using(alias)
        .values("target_path")
        .annotate(object=Min("target_pk"), count=Count("pk"), example=Min("label"))
    )
    found: list[CheckMessage] = []
    for group in groups.order_by("target_path")[:MAX_DISTINCT_READ]:
        try:
            Target(path=group["target_path"], pk=group["object"]).check()
        except CallableError as error:
            problem = f"The target of {_whose(group)} no longer works: {error}"
            hint = "Restore the code, or set another target_path."
            found.append(warning(problem, hint=hint, obj=Task, id="sisy.W009"))
    return _first_of(found, "targets", "sisy.W009")


def _lost_targets(alias: str) -> list[CheckMessage]:
    tasks = Task.objects.using(alias).exclude(target_error="")
    groups = tasks.values("target_error").annotate(count=Count("pk"), example=Min("label"))
    found: list[CheckMessage] = [
        warning(
            f"The target of {_whose(group)} was missing at its last run: {group['target_error']}",
            hint="Delete the task, or set another target.",
            obj=Task,
            id="sisy.W010",
        )
        for group in groups.order_by("target_error")[: 10 * MAX_MESSAGES_SHOWN]
    ]
    return _first_of(found, "targets", "sisy.W010")


def _whose(group: Mapping[str, Any]) -> str:
    others = group["count"] - 1
    also = f" and {others} more" if others else ""
    return f"the task {group['example']!r}{also}"


def _first_of(found: list[CheckMessage], what: str, code: str) -> list[CheckMessage]:
    rest = found[MAX_MESSAGES_SHOWN:]
    if rest:
        more = f"… and {len(rest)} more {what}."
        return [*found[:MAX_MESSAGES_SHOWN], warning(more, obj=Task, id=code)]
    return found


def _several_processes(alias: str) -> list[CheckMessage]:
    alive = Process.objects.using(alias).alive(clock.now(alias)).order_by()
    count = alive.values("host", "pid").distinct().count()
    return in_memory(f"{count} Sisy processes are running.") if count > 1 else []
