"""The Django app."""

from django.apps import AppConfig


class SisyUnfoldConfig(AppConfig):
    name = "sisy.contrib.unfold"
    label = "sisy_unfold"
    verbose_name = "Sisy in Unfold"
