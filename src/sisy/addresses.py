"""Addresses of services on the web, which contain secrets: check them, and show them masked."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

MAX_ADDRESS_LENGTH = 500
HIDDEN = "•••"

_PRINTABLE = re.compile(r"[!-~]+")


def problem_with_address(name: str, value: object, longest: int = MAX_ADDRESS_LENGTH) -> str:
    """Return a sentence if ``value`` is not the address of a page; otherwise an empty text.

    The sentence does not contain the address.

    Args:
        longest: the maximum number of characters.
    """
    why = _problem_with(value, longest)
    if not why:
        return ""
    return f"{name} must be an address such as 'https://hc-ping.com/…', but it {why}."


def _problem_with(value: object, longest: int) -> str:
    if not isinstance(value, str):
        return f"is a {type(value).__name__}"
    if len(value) > longest:
        return f"is longer than the limit of {longest}"
    if not _PRINTABLE.fullmatch(value):
        return "is empty or contains spaces or characters other than ASCII"
    parts = _split(value)
    if parts is None or not parts.hostname:
        return "names no valid host and port"
    if parts.scheme not in ("http", "https"):
        return "does not begin with http:// or https://"
    if parts.username is not None or parts.password is not None:
        return "contains a user name or a password"
    if parts.fragment:
        return "contains a '#'"
    return ""


def host_of(address: str) -> str:
    """Return the host and the port of an address; empty if it is not valid. Never raises."""
    parts = _split(address)
    if parts is None or not parts.hostname:
        return ""
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname


def masked_address(address: str) -> str:
    """Return an address without its path and its parameters, which may be secret."""
    host = host_of(address)
    return f"{address.partition(':')[0]}://{host}/{HIDDEN}" if host else HIDDEN


class HiddenText(str):
    """A text whose representation does not show it."""

    # Django's pages and mails about errors show all settings, and error trackers show variables.
    # Both use the representation.
    __slots__ = ()

    def __repr__(self) -> str:
        return repr(HIDDEN)


def hidden(value: Any) -> Any:
    """Return a copy of a setting in which the representation of each text is hidden."""
    if isinstance(value, str):
        return HiddenText(value)
    if isinstance(value, Mapping):
        return {key: hidden(one) for key, one in value.items()}
    return type(value)(map(hidden, value)) if type(value) in (list, tuple) else value


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        return parts if parts.port != 0 else None
    except ValueError:  # a port or an IPv6 address that is not valid
        return None
