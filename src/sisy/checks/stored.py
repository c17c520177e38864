"""Checks of stored tasks and running processes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.db import DatabaseError, connections, router, transaction

from sisy import clock
from sisy.checks.layer import in_memory
from sisy.checks.monitors import without_monitor
from sisy.checks.quoting import warning
from sisy.checks.seconds import every_second_of_a_minute
from sisy.models import Process, Task
from sisy.reports.alerts.alert import Alert
from sisy.reports.alerts.definitions import (
    ScheduleGroup,
    missing_target_alerts,
    schedule_alerts,
    schedule_groups,
    target_alerts,
)

MAX_MESSAGES_SHOWN = 10  # messages of one kind


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
                    found += [*_definitions(alias), *_several_processes(alias)]
            except DatabaseError:
                continue  # migrate runs this check while the tables are those of another version
    return found


def _has_tables(alias: str) -> bool:
    tables = connections[alias].introspection.table_names()
    return {Task._meta.db_table, Process._meta.db_table} <= set(tables)


def _definitions(alias: str) -> list[CheckMessage]:
    schedules = schedule_groups(alias)
    return [
        *_shown(schedule_alerts(schedules), "schedule", "sisy.W008"),
        *_first_of(list(_every_second(schedules)), "schedule", "sisy.W014"),
        *_first_of(list(_unmonitored(schedules)), "schedule", "sisy.I002"),
        *_shown(target_alerts(alias), "function", "sisy.W009"),
        *_shown(missing_target_alerts(alias), "function", "sisy.W010"),
    ]


def _every_second(schedules: list[ScheduleGroup]) -> Iterator[CheckMessage]:
    for group in schedules:
        if not group.error:
            yield from every_second_of_a_minute(group.words, group.expression, Task, group.users)


def _unmonitored(schedules: list[ScheduleGroup]) -> Iterator[CheckMessage]:
    for group in schedules:
        if not group.error:
            known = group.expression, group.example
            yield from without_monitor(group.words, *known, Task, group.users)


def _shown(alerts: Iterable[Alert], what: str, code: str) -> list[CheckMessage]:
    found: list[CheckMessage] = [
        warning(alert.why, hint=alert.fix, obj=Task, id=code) for alert in alerts
    ]
    return _first_of(found, what, code)


def _first_of(found: list[CheckMessage], what: str, code: str) -> list[CheckMessage]:
    rest = found[MAX_MESSAGES_SHOWN:]
    if rest:
        more = f"… and {len(rest)} more {what if len(rest) == 1 else f'{what}s'}."
        return [*found[:MAX_MESSAGES_SHOWN], warning(more, obj=Task, id=code)]
    return found


def _several_processes(alias: str) -> list[CheckMessage]:
    alive = Process.objects.using(alias).alive(clock.now(alias)).order_by()
    count = alive.values("host", "pid").distinct().count()
    return in_memory(f"{count} Sisy processes are running.") if count > 1 else []
