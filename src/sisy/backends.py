"""The backend that ``TASKS`` names: ``{"default": {"BACKEND": "sisy.backends.SisyBackend"}}``."""

from sisy.django_tasks.backend import SisyBackend

__all__ = ["SisyBackend"]
