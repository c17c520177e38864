"""The process that carries out runs."""

from sisy.worker.role import Worker

__all__ = ["Worker"]
