"""What ``manage.py check`` says of the channel layer."""

import importlib.metadata

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.core.checks import ERROR, run_checks

from sisy.checks import layer
from tests.support.checks import ids
from tests.unit.foreign import NoWords

IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
REDIS = "channels_redis.core.RedisChannelLayer"


@pytest.fixture(autouse=True)
def no_layer(settings):
    settings.CHANNEL_LAYERS = {}


def unfit_layer(module):
    return type("Layer", (InMemoryChannelLayer,), {"__module__": module})()


def set_redis(settings, *hosts):
    config = {"hosts": list(hosts)} if hosts else {}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": REDIS, "CONFIG": config}}


class LayerThatLacksAKey:
    def __init__(self):
        raise KeyError("port")


class LayerThatFails:
    def __init__(self):
        raise RuntimeError("no such host")


class LayerThatFailsWithoutWords:
    def __init__(self):
        raise NoWords


def test_no_layer_at_all_is_fine_also_in_a_deployment():
    assert layer.check_layer() == layer.check_layer_reaches_other_processes() == []


def test_an_in_memory_layer_gets_a_warning_only_in_a_deployment(settings):
    settings.CHANNEL_LAYERS = IN_MEMORY
    assert layer.check_layer() == []
    assert run_checks(tags=["sisy"]) == []
    settings.SISY_ALERTS = []  # no one needs to be told
    assert ids(run_checks(tags=["sisy"], include_deployment_checks=True)) == ["sisy.W005"]


def test_a_layer_that_is_none_gets_a_warning(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.LayerThatLacksAKey"}}
    [warning] = layer.check_layer()
    assert (warning.id, warning.obj) == ("sisy.W002", "CHANNEL_LAYERS['default']")
    assert "raised a KeyError" in warning.msg


def test_a_layer_that_cannot_be_created_is_an_error(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.LayerThatFails"}}
    [error] = layer.check_layer()
    assert (error.id, error.level) == ("sisy.E003", ERROR)
    assert error.msg == "Cannot create the channel layer: RuntimeError: no such host"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.LayerThatFailsWithoutWords"}}
    [error] = layer.check_layer()
    assert "NoWords: <exception str() failed>" in error.msg


@pytest.mark.parametrize(
    "module",
    [
        "channels_postgres.core",
        "channels_lite.layers.aio",
        "channels_sqlite.layers",
        "channels_nats",
    ],
)
def test_an_unsuitable_layer_gets_a_warning(settings, monkeypatch, module):
    settings.CHANNEL_LAYERS = IN_MEMORY
    monkeypatch.setitem(channel_layers.backends, "default", unfit_layer(module))
    [warning] = layer.check_layer()
    assert warning.id == "sisy.W003"
    assert (
        f"The channel layer of {module.partition('.')[0]} is known to fail under load"
        in warning.msg
    )


def test_a_layer_with_a_similar_name_gets_no_warning(settings, monkeypatch):
    settings.CHANNEL_LAYERS = IN_MEMORY
    monkeypatch.setitem(channel_layers.backends, "default", unfit_layer("channels_nats2.core"))
    assert layer.check_layer() == []


def test_the_pubsub_layer_gets_only_a_note(settings, monkeypatch):
    settings.CHANNEL_LAYERS = IN_MEMORY
    pubsub = RedisPubSubChannelLayer(hosts=[])
    monkeypatch.setitem(channel_layers.backends, "default", pubsub)
    assert ids(layer.check_layer()) == ["sisy.I001"]


def test_redis_py_8_with_a_socket_timeout_gets_a_warning_with_the_fix(settings):
    assert int(importlib.metadata.version("redis").partition(".")[0]) >= 8
    set_redis(settings, "redis://:secret@cache:6379/1")
    [warning] = layer.check_layer()
    assert warning.id == "sisy.W004"
    assert warning.msg.startswith(
        "Redis has a socket timeout of 5 s, but the layer waits 5 s for messages."
    )
    assert warning.hint == (
        "Configure the host as {'address': 'redis://…@cache:6379/1', 'socket_timeout': None}."
    )


@pytest.mark.parametrize(
    ("host", "written"),
    [
        (("cache", 6379), {"host": "cache", "port": 6379, "socket_timeout": None}),
        (
            {
                "address": "unix:///run/v.sock?password=secret&socket_timeout=3",
                "socket_timeout": 60,
            },
            {"address": "unix:///run/v.sock?password=…", "socket_timeout": None},
        ),
        (
            {"host": "cache", "port": 1, "password": "secret", "socket_timeout": 4},
            {"host": "cache", "port": 1, "password": "…", "socket_timeout": None},
        ),
        (
            {
                "sentinels": [("s", 1)],
                "master_name": "m",
                "sentinel_kwargs": {"password": "secret"},
            },
            {
                "sentinels": [("s", 1)],
                "master_name": "m",
                "sentinel_kwargs": "…",
                "socket_timeout": None,
            },
        ),
    ],
)
def test_the_fix_covers_each_form_of_a_host_without_secrets(settings, host, written):
    set_redis(settings, host)
    [warning] = layer.check_layer()
    assert warning.hint == f"Configure the host as {written!r}."


def test_each_host_of_a_sharded_layer_is_checked(settings):
    set_redis(settings, {"host": "a", "port": 1, "socket_timeout": None}, ("b", 1))
    [warning] = layer.check_layer()
    assert "'host': 'b'" in warning.hint


@pytest.mark.parametrize(
    "host",
    [
        {"address": "redis://cache", "socket_timeout": None},
        {"address": "redis://cache", "socket_timeout": 30},
        {"address": "redis://cache?socket_timeout=30"},
    ],
)
def test_a_host_with_a_long_enough_timeout_gets_no_warning(settings, host):
    set_redis(settings, host)
    assert layer.check_layer() == []


def test_a_redis_layer_waits_as_long_as_the_check_believes():
    assert RedisChannelLayer.brpop_timeout == 5


class ValkeyLayer(InMemoryChannelLayer):
    """The attributes of ``channels_valkey.core.ValkeyChannelLayer`` 0.3 that are looked at."""

    brpop_timeout = 5

    def __init__(self, *hosts):
        super().__init__()
        self.hosts = hosts


ValkeyLayer.__module__ = "channels_valkey.core"


@pytest.mark.parametrize("host", [{"address": "valkey://:secret@cache:6379"}])
def test_a_valkey_layer_with_a_socket_timeout_gets_a_warning(settings, monkeypatch, host):
    settings.CHANNEL_LAYERS = IN_MEMORY
    monkeypatch.setitem(channel_layers.backends, "default", ValkeyLayer(host))
    [warning] = layer.check_layer()
    assert warning.id == "sisy.W004"
    assert warning.msg.startswith(
        "Valkey has a socket timeout of 5 s, but the layer waits 5 s for messages."
    )
    assert warning.hint == (
        "Configure the host as {'address': 'valkey://…@cache:6379', 'socket_timeout': None}."
    )


def test_a_valkey_layer_without_a_socket_timeout_gets_no_warning(settings, monkeypatch):
    settings.CHANNEL_LAYERS = IN_MEMORY
    patient = {"address": "valkey://cache:6379", "socket_timeout": None}
    monkeypatch.setitem(channel_layers.backends, "default", ValkeyLayer(patient))
    assert layer.check_layer() == []


def test_a_valkey_layer_for_all_subscribers_is_noted(settings, monkeypatch):
    settings.CHANNEL_LAYERS = IN_MEMORY
    pubsub = unfit_layer("channels_valkey.pubsub")
    monkeypatch.setitem(channel_layers.backends, "default", pubsub)
    [info] = layer.check_layer()
    assert info.id == "sisy.I001"
    assert "Use channels_valkey.core.ValkeyChannelLayer" in info.hint
