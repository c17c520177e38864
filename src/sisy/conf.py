"""The ``SISY_*`` settings as one frozen, typed object."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from sisy.addresses import hidden
from sisy.exceptions import SettingsError, nearest
from sisy.setting_checks import CAPTURE_ALL as CAPTURE_ALL
from sisy.setting_checks import CAPTURE_OFF as CAPTURE_OFF
from sisy.setting_checks import CHECKS, matching
from sisy.setting_checks import MAX_ENGINE_LENGTH as MAX_ENGINE_LENGTH
from sisy.setting_checks import OWN_ENGINE as OWN_ENGINE
from sisy.setting_checks import PREFIX as PREFIX

DEFAULT_ENGINE = "default"
DEFAULT_QUEUES = ("default",)
DEFAULT_CONCURRENCY = 4  # runs at once in one worker
DEFAULT_GRACE = 30.0  # seconds that running runs have to finish when a worker stops


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a project. Each field is the setting ``SISY_<FIELD>`` in capitals."""

    heartbeat_frequency: float = 60
    """The maximum number of seconds between two passes, 1 to 3600. It does not delay due tasks."""

    default_schedule: str = "* * * * *"
    """The schedule of tasks that are created without one."""

    heartbeat_channel: str = "sisy.heartbeat"
    """The channel-layer group to which the heartbeat sends every beat."""

    run_task_channel: str = "sisy.run_task"
    """The channel that tells workers about queued runs. Other queues append ``.<queue>``."""

    dashboard: str = "sisy.dashboard.Dashboard"
    """The dotted path of the dashboard class for ``sisy.urls``. It decides who has access."""

    live_path: str = "ws/sisy/"
    """The path of the dashboard's WebSocket, without a leading slash."""

    poll_interval: float = 1
    """Seconds between two polls of a worker, 0.05 to 60. A worker that receives messages waits
    almost twice as long."""

    lease_seconds: float = 30
    """Seconds without a renewal after which a process is considered dead, 5 to 3600."""

    missed_limit: int = 100
    """The maximum number of missed occurrences that ``missed="all"`` runs, 1 to 10000."""

    buffer_limit: int = 100
    """The maximum number of runs of a task that ``overlap="buffer_all"`` queues, 1 to 10000."""

    lost_limit: int = 3
    """The maximum number of reruns of a run that was lost with its worker, 0 to 100."""

    missing_code_seconds: float = 120
    """Seconds that a run waits for a worker that has its code before it fails, 0 to 86400."""

    alert_after: int = 1
    """Failed runs in a row after which a task has an alert, 0 to 1000. 0 means never."""

    queue_alert_seconds: float = 300
    """Seconds that the oldest run of a queue may wait before an alert, 1 to 86400."""

    history_days: float = 30
    """Days until finished runs are deleted, 0 to 36500. 0 keeps them forever."""

    history_runs: int = 100_000
    """The maximum number of finished runs to keep per task, 0 to 1000000000. 0 means no limit."""

    capture: str = CAPTURE_ALL
    """The output of runs to keep: ``"all"`` (prints and logs), ``"logs"`` or ``"off"``."""

    output_days: float = 7
    """Days until the output and progress of a finished run are deleted, 0 to 36500. 0 keeps them
    as long as the run."""

    engines: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Maps the name of each engine to ``"sisy"`` or to an alias in ``TASKS``."""

    dispatch_seconds: float = 300
    """Seconds until a run that another engine has not started is sent to it again, 5 to 86400."""

    eager: bool = False
    """Execute runs immediately, in the process that submits them. For tests only."""

    deadman_url: str = dataclasses.field(default="", repr=False)
    """The secret address that heartbeats request each minute while Sisy works. Empty for none."""

    sentry_monitors: bool = True
    """If Sentry's SDK is active, create a monitor there for each task with a plain schedule."""

    masked: tuple[str, ...] = ("password", "secret", "token", "key")
    """Mask the values of keys that contain one of these, in displayed user data and results."""

    ignore_sync_errors: bool = False
    """Let a deploy succeed even if Sisy rejects a declaration or cannot import its module."""

    callables: tuple[str, ...] = ()
    """Dotted paths that the admin offers as callables, in addition to those already in use."""

    alerts: Sequence[Any] | Mapping[str, Any] = dataclasses.field(default=("email",), repr=False)
    """The channels for messages about alerts, as a list or by name. Empty turns them off."""

    version: str | None = None
    """The version of your project, up to 100 characters. By default, its processes show Sisy's."""

    site_url: str = ""
    """The address of your site, such as ``https://example.com``, for links in messages."""

    webhook_secret: str = dataclasses.field(default="", repr=False)
    """The secret with which messages to webhooks are signed."""

    monitoring_token: str = dataclasses.field(default="", repr=False)
    """The bearer token for the paths `health` and `metrics`. If empty, only users have access."""

    metrics_tasks: tuple[str, ...] = ()
    """Labels of tasks with metrics of their own, at most 100; `*` matches any characters."""

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def missing_code(self) -> timedelta:
        return timedelta(seconds=self.missing_code_seconds)

    @property
    def dispatch_lease(self) -> timedelta:
        return timedelta(seconds=self.dispatch_seconds)

    @property
    def aliases(self) -> frozenset[str]:
        """The aliases of ``TASKS`` that are engines."""
        return frozenset(self.engines.values()) - {OWN_ENGINE}

    def alias_of(self, engine: str) -> str:
        """Return the alias of an engine; an empty text for Sisy's own workers."""
        # An unknown name is returned unchanged. The dispatcher rejects it with a reason.
        alias = self.engines.get(engine, OWN_ENGINE if engine == DEFAULT_ENGINE else engine)
        return "" if alias == OWN_ENGINE else alias

    def engine_of(self, alias: str) -> str:
        """Return the name of an engine with this alias; the default one if none has it."""
        names = (DEFAULT_ENGINE, *self.engines)
        return next((name for name in names if self.alias_of(name) == alias), DEFAULT_ENGINE)

    @property
    def native_engines(self) -> frozenset[str]:
        """The names of the engines whose runs Sisy's own workers execute."""
        names = {DEFAULT_ENGINE, *self.engines}
        return frozenset(name for name in names if not self.alias_of(name))

    def channel_of(self, queue: str) -> str:
        """Return the channel on which the workers of a queue receive rings."""
        return self.run_task_channel if queue == "default" else f"{self.run_task_channel}.{queue}"


RANGES: dict[str, tuple[float, float]] = {
    "heartbeat_frequency": (1, 3600),
    "poll_interval": (0.05, 60),
    "lease_seconds": (5, 3600),
    "missed_limit": (1, 10_000),
    "buffer_limit": (1, 10_000),
    "lost_limit": (0, 100),
    "missing_code_seconds": (0, 86_400),
    "dispatch_seconds": (5, 86_400),
    "alert_after": (0, 1000),
    "queue_alert_seconds": (1, 86_400),
    "history_days": (0, 36_500),
    "output_days": (0, 36_500),
    "history_runs": (0, 1_000_000_000),
}


SECRET_ADDRESSES = ("SISY_ALERTS", "SISY_DEADMAN_URL")
"""The settings that contain addresses with secrets, which their names do not tell Django."""


def hide_addresses() -> None:
    """Hide the addresses in the project's settings where Django shows all settings."""
    for name in SECRET_ADDRESSES:
        if hasattr(django_settings, name):
            setattr(django_settings, name, hidden(getattr(django_settings, name)))


def known_names() -> list[str]:
    """Return the names of all settings, such as ``SISY_LEASE_SECONDS``."""
    return [PREFIX + field.name.upper() for field in fields(Settings)]


def unknown_names() -> Iterator[tuple[str, str | None]]:
    """Yield each unknown ``SISY_*`` setting with the nearest known name, or None."""
    known = known_names()
    for name in sorted(set(dir(django_settings))):
        if name.startswith(PREFIX) and name not in known:
            yield name, nearest(name, known)


def problems() -> list[str]:
    """Return one sentence per invalid setting."""
    return list(_read()[1])


def _checked(field: "dataclasses.Field[Any]", value: Any) -> Any:
    name = PREFIX + field.name.upper()
    if field.name in CHECKS:
        return CHECKS[field.name](name, value)
    if field.name in RANGES:
        return _number(name, value, is_whole=field.type is int)
    return matching(name, value, re.compile(r".+", re.DOTALL), "a non-empty string")


def _number(name: str, value: Any, *, is_whole: bool) -> Any:
    least, most = RANGES[name.removeprefix(PREFIX).lower()]
    if wrong := problem_with_number(name, value, least, most, is_whole=is_whole):
        raise SettingsError(wrong)
    return value


def problem_with_number(
    name: str, value: Any, least: float, most: float, *, is_whole: bool, unit: str = ""
) -> str:
    """Return a sentence if ``value`` is not a number in this range; otherwise an empty text."""
    kinds = int if is_whole else int | float
    # The comparison also rejects NaN.
    if isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most:
        return ""
    what = "a whole number" if is_whole else "a number"
    return f"{name} must be {what}{unit} from {least} to {most}, not {value!r}."


@cache
def get_settings() -> Settings:
    """Return the project's settings, read once.

    Raises:
        SettingsError: some settings are invalid. The message names all of them.
    """
    settings, wrong = _read()
    if wrong:
        raise SettingsError(" ".join(wrong))
    return settings


def usable_settings() -> Settings:
    """Return the project's settings, with defaults in place of invalid values.

    For code that loads before ``manage.py check`` can report them. Other code uses `get_settings`.
    """
    return _read()[0]


def _read() -> tuple[Settings, list[str]]:
    """Return the valid settings, and one sentence per invalid setting."""
    given, wrong = {}, []
    for field in fields(Settings):
        name = PREFIX + field.name.upper()
        if hasattr(django_settings, name):
            try:
                given[field.name] = _checked(field, getattr(django_settings, name))
            except SettingsError as error:
                wrong.append(str(error))
    return Settings(**given), wrong


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting.startswith(PREFIX):
        get_settings.cache_clear()


setting_changed.connect(_forget, dispatch_uid="sisy.conf")
