"""Checks of the ``SISY_*`` settings and of the database connection."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004
from django.db import connections, router
from django.utils.module_loading import import_string

from sisy import conf
from sisy.callables import kind_at
from sisy.checks.seconds import every_second_of_a_minute
from sisy.django_tasks.receivers import is_ours
from sisy.exceptions import CallableError, ScheduleError
from sisy.models import Task
from sisy.runtime.user_errors import words_of
from sisy.schedules import Schedule

SQLITE_OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}


@register("sisy")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check the names and the values of the ``SISY_*`` settings."""
    return [*_unknown_settings(), *_unusable_settings()]


@register("sisy", deploy=True)
def check_eagerness(**kwargs: Any) -> list[CheckMessage]:
    """Check that ``SISY_EAGER`` is off on a deployed site."""
    if not conf.usable_settings().eager:
        return []
    return [
        Warning(
            "SISY_EAGER is on: every run executes immediately, in the process that submits it.",
            hint="SISY_EAGER is for tests only. Remove it.",
            obj="SISY_EAGER",
            id="sisy.W013",
        )
    ]


@register("sisy")
def check_connections(**kwargs: Any) -> list[CheckMessage]:
    """Check the connection to the database in which tasks are stored."""
    alias = router.db_for_write(Task)
    settings = connections[alias].settings_dict
    vendor = connections[alias].vendor
    if vendor == "sqlite":
        return list(_sqlite(alias, settings))
    isolation = _isolation(alias, settings) if vendor == "mysql" else ()
    return [*isolation, *_persistence(alias, settings)]


def _unknown_settings() -> Iterator[CheckMessage]:
    for name, near in conf.unknown_names():
        known = f"Valid settings: {', '.join(conf.known_names())}."
        hint = f"Did you mean {near}?" if near else known
        yield Warning("Unknown Sisy setting.", hint=hint, obj=name, id="sisy.W001")


def _unusable_settings() -> Iterator[CheckMessage]:
    for problem in conf.problems():
        yield Error(problem, hint="Sisy will not start until you fix this.", id="sisy.E001")
    try:
        Schedule(conf.usable_settings().default_schedule, key="label")
    except ScheduleError as error:
        hint = "Use five cron fields, or six with seconds last, such as '* * * * *'."
        yield Error(str(error), hint=hint, obj="SISY_DEFAULT_SCHEDULE", id="sisy.E002")
    else:
        default = conf.usable_settings().default_schedule
        what = f"The schedule {default!r}"
        yield from every_second_of_a_minute(what, default, "SISY_DEFAULT_SCHEDULE")
    yield from _engines()
    for path in conf.usable_settings().callables:
        try:
            kind_at(path)
        except CallableError as error:
            hint = "The admin will not offer it until you fix this."
            yield Warning(str(error), hint=hint, obj="SISY_CALLABLES", id="sisy.W011")
    if (path := conf.usable_settings().dashboard) != conf.Settings().dashboard:
        yield from _dashboard(path)
    try:
        Schedule("* * * * *", django_settings.TIME_ZONE)
    except ScheduleError as error:
        hint = "Set TIME_ZONE to a valid name. Sisy uses it for tasks without a time zone."
        yield Error(str(error), hint=hint, obj="TIME_ZONE", id="sisy.E002")


def _dashboard(path: str) -> Iterator[CheckMessage]:
    # Not at the top: its pages need django.contrib.auth, which workers may lack.
    from sisy.dashboard import Dashboard

    hint = "Set SISY_DASHBOARD to the dotted path of a subclass of sisy.dashboard.Dashboard."
    try:
        found = import_string(path)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any module
        yield Error(words_of(error), hint=hint, obj="SISY_DASHBOARD", id="sisy.E005")
        return
    if not (isinstance(found, type) and issubclass(found, Dashboard)):
        said = f"{path!r} is not a dashboard class."
        yield Error(said, hint=hint, obj="SISY_DASHBOARD", id="sisy.E005")


def _persistence(alias: str, settings: Mapping[str, Any]) -> Iterator[CheckMessage]:
    is_kept = settings["CONN_MAX_AGE"] != 0 or settings["OPTIONS"].get("pool")
    if is_kept and not settings["CONN_HEALTH_CHECKS"]:
        yield Warning(
            "Database connections are persistent but not health-checked. After a database "
            "restart, task functions fail on the broken connections.",
            hint="Set 'CONN_HEALTH_CHECKS': True next to CONN_MAX_AGE.",
            obj=f"DATABASES[{alias!r}]",
            id="sisy.W006",
        )


def _isolation(alias: str, settings: Mapping[str, Any]) -> Iterator[CheckMessage]:
    level = settings["OPTIONS"].get("isolation_level", "read committed")
    if str(level).lower() != "read committed":
        yield Error(
            f"The isolation level of MySQL or MariaDB is {level!r}, but Sisy needs 'read "
            f"committed'. With {level!r}, Sisy could miss rows that are committed while it waits "
            "for a lock, and start two runs of a task at once.",
            hint="Remove 'isolation_level' from 'OPTIONS'. Django then uses 'read committed'.",
            obj=f"DATABASES[{alias!r}]",
            id="sisy.E004",
        )


def _engines() -> Iterator[CheckMessage]:
    known = getattr(django_settings, "TASKS", None) or {}
    own = {alias for alias, params in known.items() if is_ours(params)}
    for name, alias in conf.usable_settings().engines.items():
        if alias == conf.OWN_ENGINE:
            continue
        if alias not in known:
            hint = (
                f"Valid aliases: {', '.join(sorted({*known, conf.OWN_ENGINE} - own))}. "
                f"{conf.OWN_ENGINE!r} means Sisy's own workers."
            )
            yield Error(
                f"The engine {name!r} refers to {alias!r}, which is not an alias in TASKS.",
                hint=hint,
                obj="SISY_ENGINES",
                id="sisy.E008",
            )
        elif alias in own:
            yield Error(
                f"The engine {name!r} refers to {alias!r}, whose backend is Sisy itself. Sisy "
                "would submit a further run for each run, and might never execute it.",
                hint=f"Use {conf.OWN_ENGINE!r}, which means Sisy's own workers.",
                obj="SISY_ENGINES",
                id="sisy.E008",
            )


def _sqlite(alias: str, settings: Mapping[str, Any]) -> Iterator[CheckMessage]:
    name = str(settings["NAME"])
    if name == ":memory:" or "mode=memory" in name:
        return
    options = settings["OPTIONS"]
    missing = []
    if str(options.get("transaction_mode")).upper() not in ("IMMEDIATE", "EXCLUSIVE"):
        missing.append("'transaction_mode': 'IMMEDIATE'")
    if "journal_mode=wal" not in str(options.get("init_command")).lower().replace(" ", ""):
        missing.append("journal_mode=WAL in 'init_command'")
    if missing:
        yield Warning(
            f"SQLite is configured without {' and without '.join(missing)}. When several threads "
            "or processes write at once, some fail with 'database is locked'.",
            hint=f"Set 'OPTIONS': {SQLITE_OPTIONS}.",
            obj=f"DATABASES[{alias!r}]",
            id="sisy.W007",
        )
