from django.apps import AppConfig


class MigratedConfig(AppConfig):
    """An app that schedules the methods of its objects in a data migration."""

    name = "tests.app.migrated"
    label = "migrated"
    default_auto_field = "django.db.models.BigAutoField"
