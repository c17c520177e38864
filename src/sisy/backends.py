"""The backend that ``TASKS`` names: ``{"default": {"BACKEND": "sisy.backends.SisyBackend"}}``."""

from sisy.enqueued.backend import SisyBackend

__all__ = ["SisyBackend"]
