"""Checks of the channel layer by which processes wake each other."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Info, Warning, register  # noqa: A004

from sisy.messaging import carriers
from sisy.runtime.user_errors import name_of, words_of

LAYER = f"CHANNEL_LAYERS[{DEFAULT_CHANNEL_LAYER!r}]"


@dataclass(frozen=True, slots=True)
class Core:
    """A package's layer that delivers each message to one worker.

    Attributes:
        name: the name of the server, as in class names.
        client: the package of the client.
    """

    name: str
    client: str


LISTENING_LAYERS = {
    "channels_redis": Core("Redis", "redis"),
    "channels_valkey": Core("Valkey", "valkey"),
}
UNFIT_LAYERS = {
    "channels_postgres": (
        "it does not reconnect after a database restart, and it replays messages"
    ),
    "channels_lite": "it duplicates messages, and it locks SQLite against other writers",
    "channels_sqlite": "it duplicates messages, and it locks SQLite against other writers",
    "channels_nats": "it loses messages that arrive in bursts",
}


@register("sisy")
def check_layer(**kwargs: Any) -> list[CheckMessage]:
    """Check the channel layer by which processes wake each other."""
    if DEFAULT_CHANNEL_LAYER not in channel_layers:
        return []  # workers are woken by PostgreSQL, or find runs by polling, a second later
    try:
        layer = get_channel_layer()
    except Exception as error:  # noqa: BLE001 - any layer may fail in any way
        return [
            Error(
                f"Cannot create the channel layer: {name_of(error)}: {words_of(error)}",
                hint=(
                    "Fix its BACKEND and CONFIG, or remove it. Sisy also works without a "
                    "channel layer."
                ),
                obj=LAYER,
                id="sisy.E003",
            )
        ]
    if layer is None:
        return [
            Warning(
                "A channel layer is configured, but Channels returns None. Creating the layer "
                "raised a KeyError, which Channels treats as 'not configured'. Workers get no "
                "messages about new runs.",
                hint="Look for a missing key in its CONFIG, such as 'port' in a host.",
                obj=LAYER,
                id="sisy.W002",
            )
        ]
    return [*_unfit_layer(layer), *_socket_timeouts(layer)]


@register("sisy", deploy=True)
def check_layer_reaches_other_processes(**kwargs: Any) -> list[CheckMessage]:
    """Check that a deployed site does not use an in-memory layer."""
    return in_memory("Deployed sites often run several processes.")


def _unfit_layer(layer: object) -> Iterator[CheckMessage]:
    for package, core in LISTENING_LAYERS.items():
        if _is_from(layer, f"{package}.pubsub"):
            yield Info(
                f"{package}.pubsub delivers each message to every worker of its queue, and each "
                "of them queries the database. Runs are not duplicated, but these queries are "
                "wasted.",
                hint=(
                    f"Use {package}.core.{core.name}ChannelLayer, which wakes only one worker per "
                    "message."
                ),
                obj=LAYER,
                id="sisy.I001",
            )
    for package, flaw in UNFIT_LAYERS.items():
        if _is_from(layer, package):
            yield Warning(
                f"The channel layer of {package} is known to fail under load: {flaw}. No run is "
                "lost or duplicated, but workers may start runs later and dashboards may miss "
                "updates.",
                hint=(
                    "Use channels_redis.core.RedisChannelLayer. With PostgreSQL, you need no "
                    "channel layer."
                ),
                obj=LAYER,
                id="sisy.W003",
            )


def _is_from(layer: object, module: str) -> bool:
    return any(
        f"{ancestor.__module__}.".startswith(f"{module}.") for ancestor in type(layer).mro()
    )


def _socket_timeouts(layer: Any) -> Iterator[CheckMessage]:
    # redis-py 8 and valkey-py 6 give up after as many seconds as the layers wait for a message, so
    # that a listener on a quiet channel is disconnected (django/channels_redis#422).
    for package, core in LISTENING_LAYERS.items():
        if _is_from(layer, f"{package}.core"):
            yield from _short_timeouts(layer, core)


def _short_timeouts(layer: Any, core: Core) -> Iterator[CheckMessage]:
    connection = import_module(f"{core.client}.asyncio.connection").AbstractConnection
    default = inspect.signature(connection).parameters["socket_timeout"].default
    for host in layer.hosts:
        timeout = _query(host).get("socket_timeout", host.get("socket_timeout", default))
        if timeout is not None and float(timeout) <= layer.brpop_timeout:
            yield Warning(
                f"{core.name} has a socket timeout of {float(timeout):g} s, but the layer waits "
                f"{layer.brpop_timeout} s for messages. Workers on a quiet channel fail "
                "repeatedly, and 'manage.py runworker' stops.",
                hint=f"Configure the host as {_with_patience(host)!r}.",
                obj=LAYER,
                id="sisy.W004",
            )


def _query(host: Mapping[str, Any]) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(str(host.get("address", ""))).query))


def _with_patience(host: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``host`` as it should be configured, without its secrets."""
    shown = {key: value if _may_be_shown(key) else "…" for key, value in host.items()}
    if "address" in shown:
        place = re.sub(r"//[^/]*@", "//…@", str(shown["address"]).partition("?")[0])
        kept = {key: value for key, value in _query(host).items() if key != "socket_timeout"}
        query = [f"{key}={value if _may_be_shown(key) else '…'}" for key, value in kept.items()]
        shown["address"] = f"{place}?{'&'.join(query)}" if query else place
    return {**shown, "socket_timeout": None}


def _may_be_shown(key: str) -> bool:
    return "password" not in key and "kwargs" not in key


def in_memory(why: str) -> list[CheckMessage]:
    """Return the warning about an in-memory layer, if there is one, that begins with ``why``."""
    if DEFAULT_CHANNEL_LAYER not in channel_layers:
        return []
    backend = django_settings.CHANNEL_LAYERS[DEFAULT_CHANNEL_LAYER].get("BACKEND", "")
    if backend != f"{InMemoryChannelLayer.__module__}.{InMemoryChannelLayer.__qualname__}":
        return []
    if carriers.database_notifies():
        return []
    return [
        Warning(
            f"{why} CHANNEL_LAYERS configures an in-memory layer, which works only within one "
            "process. Workers in other processes find runs by polling, up to a second later, and "
            "dashboards in other processes get no live updates.",
            hint="Use PostgreSQL with psycopg 3, or channels_redis.core.RedisChannelLayer. If "
            "everything runs in one process, add 'sisy.W005' to SILENCED_SYSTEM_CHECKS.",
            obj=LAYER,
            id="sisy.W005",
        )
    ]
