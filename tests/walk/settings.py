"""The settings of the site: a plain one, without other engines."""

from tests.settings import *  # noqa: F403
from tests.settings import LOGGING

TASKS = {}
SISY_ENGINES = {}
# A worker that looks for runs by itself would be in the walk by chance.
SISY_POLL_INTERVAL = 60
LOGGING["loggers"]["sisy"]["level"] = "WARNING"
