"""Check the values of the settings that are neither numbers nor any non-empty string."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sisy.addresses import problem_with_address
from sisy.channel_settings import channels_of
from sisy.exceptions import SettingsError

PREFIX = "SISY_"

OWN_ENGINE = "sisy"
MAX_ENGINE_LENGTH = 60
MAX_VERSION_LENGTH = 100
CAPTURE_ALL, CAPTURE_LOGS, CAPTURE_OFF = CAPTURE = ("all", "logs", "off")
SHORTEST_TOKEN = 16
TOKEN = re.compile(rf"[!-~]{{{SHORTEST_TOKEN},500}}")


def matching(name: str, value: Any, pattern: re.Pattern[str], expected: str) -> str:
    """Return ``value`` if it is a text that matches a pattern.

    Raises:
        SettingsError: it is not.
    """
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise SettingsError(f"{name} must be {expected}, not {value!r}.")
    return value


def _channel(name: str, value: Any) -> str:
    # Channels allows names of up to 99 characters. A full stop and a queue's name of up to 60
    # characters follow this one.
    longest = 38 if name == PREFIX + "RUN_TASK_CHANNEL" else 99
    expected = f"1 to {longest} ASCII letters, digits, '-', '_' or '.'"
    return matching(name, value, re.compile(rf"[A-Za-z0-9_.-]{{1,{longest}}}"), expected)


def _live_path(name: str, value: Any) -> str:
    expected = "a path without a leading slash, such as 'ws/sisy/'"
    return matching(name, value, re.compile(r"([\w.~-]+/)*[\w.~-]+/?", re.ASCII), expected)


def _address(name: str, value: Any) -> str:
    if value != "" and (wrong := problem_with_address(name, value)):
        raise SettingsError(wrong)
    return str(value)


def _capture(name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in CAPTURE:
        listed = ", ".join(map(repr, CAPTURE[:-1]))
        raise SettingsError(f"{name} must be {listed} or {CAPTURE[-1]!r}, not {value!r}.")
    return value


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{name} must be True or False, not {value!r}.")
    return value


def _engines(name: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(text, str) and 0 < len(text) <= MAX_ENGINE_LENGTH
        for pair in value.items()
        for text in pair
    ):
        raise SettingsError(
            f"{name} must map engine names to {OWN_ENGINE!r} or an alias of TASKS. Each name and "
            f"alias must have 1 to {MAX_ENGINE_LENGTH} characters. Received {value!r}."
        )
    return MappingProxyType(dict(value))


def _token(name: str, value: Any) -> str:
    # The message does not show the value, which is a secret.
    if isinstance(value, str) and (not value or TOKEN.fullmatch(value)):
        return value
    raise SettingsError(
        f"{name} must be {SHORTEST_TOKEN} to 500 ASCII characters without spaces, or empty. To "
        "create one, run: python -c 'import secrets; print(secrets.token_urlsafe())'."
    )


def _site_url(name: str, value: Any) -> str:
    expected = "the address of your site, such as 'https://example.com', or empty"
    pattern = r"(https?://[A-Za-z0-9._-]+(:\d{1,5})?(/[!-\"$->@-~]*)?)?"
    return matching(name, value, re.compile(pattern), expected).rstrip("/")


def _version(name: str, value: Any) -> str | None:
    # The variable of the environment that names it may be unset.
    if value is None:
        return None
    expected = f"a string of up to {MAX_VERSION_LENGTH} characters on one line, or None"
    pattern = rf"[^\x00-\x1f\x7f]{{0,{MAX_VERSION_LENGTH}}}"
    return matching(name, value, re.compile(pattern), expected).strip()


def _alerts(name: str, value: Any) -> Any:
    channels_of(value, name)
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(
        isinstance(text, str) and text for text in value
    ):
        kinds = {PREFIX + "CALLABLES": "dotted paths", PREFIX + "METRICS_TASKS": "labels"}
        what = kinds.get(name, "strings")
        raise SettingsError(f"{name} must be a list of {what}, not {value!r}.")
    return tuple(value)


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "heartbeat_channel": _channel,
    "run_task_channel": _channel,
    "live_path": _live_path,
    "engines": _engines,
    "deadman_url": _address,
    "capture": _capture,
    "eager": _boolean,
    "sentry_monitors": _boolean,
    "ignore_sync_errors": _boolean,
    "masked": _texts,
    "callables": _texts,
    "metrics_tasks": _texts,
    "monitoring_token": _token,
    "alerts": _alerts,
    "site_url": _site_url,
    "version": _version,
    "webhook_secret": _token,
}
"""The functions, by the name of the setting's field. Each returns the value to use."""
