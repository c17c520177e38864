"""Channel layers of tests."""

import pytest
from channels.layers import channel_layers

LAYER = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


@pytest.fixture
def in_memory_layer(settings):
    """Let the project have a channel layer in memory, which nothing was sent to yet."""
    settings.CHANNEL_LAYERS = LAYER
    channel_layers.backends = {}
    yield
    channel_layers.backends = {}
