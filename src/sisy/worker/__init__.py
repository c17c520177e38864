"""The process that executes runs."""

from sisy.worker.role import Worker

__all__ = ["Worker"]
