"""A process imports its channel layer when Django starts, not when it submits its first run."""

import subprocess
import sys
from textwrap import dedent

import pytest

STARTED = dedent("""
    import sys, types
    from django.conf import settings
    import django

    class Layer:
        def __init__(self, **config):
            raise AssertionError("created before it is needed")

    class Finder:
        def find_spec(name, *rest):
            if name.partition(".")[0] == "slow_layer":
                print("imported", name)

    sys.meta_path.insert(0, Finder)
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "sisy"],
        CHANNEL_LAYERS={layers},
    )
    here = types.ModuleType("own_layer")
    here.Layer = Layer
    sys.modules["own_layer"] = here
    django.setup()
    print("started")
""")


def started_with(layers):
    """Return what a process prints that starts Django with these channel layers."""
    code = STARTED.replace("{layers}", repr(layers))
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    return ended.stdout.split("\n")[:-1], ended.stderr


def test_a_process_that_starts_imports_the_layer():
    said, _ = started_with({"default": {"BACKEND": "slow_layer.core.Layer"}})
    assert said == ["imported slow_layer", "started"]


def test_the_layer_is_not_created_when_a_process_starts():
    assert started_with({"default": {"BACKEND": "own_layer.Layer"}}) == (["started"], "")


@pytest.mark.parametrize(
    "layers",
    [{}, {"other": {}}, {"default": {}}, {"default": {"BACKEND": 7}}, {"default": None}, None],
)
def test_a_process_starts_without_a_layer_that_can_be_imported(layers):
    assert started_with(layers) == (["started"], "")
