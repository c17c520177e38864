"""Check ``SISY_ALERTS``: the channels that notify people of problems.

An address usually contains a secret, so no message and no representation contains one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from sisy.exceptions import SettingsError, did_you_mean

EMAIL = "email"
WEBHOOK = "webhook"
NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}", re.ASCII)
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://\S", re.IGNORECASE | re.ASCII)
OPTIONS = ("to", "tasks", "queues")

EXPECTED = (
    "Use 'email', 'email:ann@example.com', a webhook address that begins with https://, or an "
    "Apprise address such as 'slack://…'."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSetting:
    """A channel of ``SISY_ALERTS``.

    Attributes:
        name: its name in commands, pages and log lines.
        to: ``email``, ``email:`` and recipients, or an address, which is secret.
        tasks: labels of tasks, in which ``*`` matches any characters. Empty for all.
        queues: names of queues. Empty for all.
    """

    name: str
    to: str = field(repr=False)
    tasks: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()

    @property
    def scheme(self) -> str:
        """``email``, ``webhook``, or the scheme of an address of Apprise."""
        return _scheme_of(self.to)

    @property
    def wants_all(self) -> bool:
        """Return whether all messages go to this channel."""
        return not self.tasks and not self.queues

    def wants(self, task: str, queue: str) -> bool:
        """Return whether messages about a task and a queue go to this channel."""
        if self.wants_all:
            return True
        is_named = any(fnmatchcase(task, pattern) for pattern in self.tasks)
        return is_named or queue in self.queues


def channels_of(value: Any, name: str = "SISY_ALERTS") -> list[ChannelSetting]:
    """Return the channels that the setting names.

    Args:
        value: a list of channels, or a dict of channels by name. A channel is a text, or a dict
            with ``to`` and the options ``tasks`` and ``queues``.

    Raises:
        SettingsError: a channel is not valid.
    """
    if isinstance(value, Mapping):
        return [_channel(f"{name}[{key!r}]", key, one) for key, one in value.items()]
    if isinstance(value, list | tuple):
        return list(_named(name, value))
    raise SettingsError(f"{name} must be a list or a dict of channels, not a {_type(value)}.")


def _named(name: str, values: Any) -> Iterator[ChannelSetting]:
    """Yield the channels of a list, each named by its scheme."""
    seen: dict[str, int] = {}
    for number, value in enumerate(values):
        place = f"{name}[{number}]"
        scheme = _scheme_of(_options(place, value)["to"])
        seen[scheme] = seen.get(scheme, 0) + 1
        yield _channel(place, scheme if seen[scheme] == 1 else f"{scheme}-{seen[scheme]}", value)


def _channel(place: str, name: Any, value: Any) -> ChannelSetting:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise SettingsError(
            f"{place}: {name!r:.80} is not a valid channel name. Use 1 to 60 ASCII letters, "
            "digits, '-', '_' or '.'."
        )
    given = _options(place, value)
    for option in ("tasks", "queues"):
        given[option] = _texts(f"{place}[{option!r}]", given.get(option, ()))
    return ChannelSetting(name=name, **given)


def _options(place: str, value: Any) -> dict[str, Any]:
    given = dict(value) if isinstance(value, Mapping) else {"to": value}
    for option in given:
        if option not in OPTIONS:
            hint = did_you_mean(str(option), OPTIONS)
            raise SettingsError(f"{place}: unknown option {option!r:.80}.{hint}")
    if not isinstance(given.get("to"), str) or not _scheme_of(given["to"]):
        raise SettingsError(f"{place} is not a valid channel. {EXPECTED}")
    return given


def _scheme_of(to: Any) -> str:
    """Return the kind of a channel; empty if it is not valid."""
    text = str(to)
    if text == EMAIL or (text.startswith(f"{EMAIL}:") and recipients_of(text)):
        return EMAIL
    found = SCHEME.match(text)
    if not found:
        return ""
    return WEBHOOK if found[1].lower() in ("http", "https") else found[1].lower()


def recipients_of(to: str) -> list[str]:
    """Return the recipients that follow ``email:``."""
    return [one.strip() for one in to.partition(":")[2].split(",") if "@" in one]


def _texts(place: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise SettingsError(f"{place} must be a list of strings, not {value!r:.80}.")
    return tuple(value)


def _type(value: Any) -> str:
    return type(value).__name__
