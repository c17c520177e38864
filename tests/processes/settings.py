"""The settings of processes that tests start; what differs comes by the environment."""

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import CHANNEL_LAYERS, DATABASES, INSTALLED_APPS

VALKEY_URL = os.environ.get("VALKEY_URL", "")
DEBUG = os.environ.get("SISY_TEST_DEBUG") == "1"
ROOT_URLCONF = "tests.processes.urls"
ASGI_APPLICATION = "tests.processes.asgi.application"
DATABASES["default"]["CONN_MAX_AGE"] = 60
INSTALLED_APPS.append("channels")  # for runworker
if "VALKEY_URL" not in os.environ:
    CHANNEL_LAYERS["default"] = {"BACKEND": "channels.layers.InMemoryChannelLayer"}

# SISY_TEST_SETTINGS='{"SISY_LEASE_SECONDS": 5}'
globals().update(json.loads(os.environ.get("SISY_TEST_SETTINGS", "{}")))
