"""The process that plans due occurrences."""

from sisy.heartbeat.role import Heartbeat
from sisy.heartbeat.tick import Tick, tick

__all__ = ["Heartbeat", "Tick", "tick"]
