"""A second database beside the one of the tests, and routers that know both."""

from contextlib import contextmanager

from django.apps import apps
from django.db import connections


@contextmanager
def second_database(alias, path):
    """Let there be an empty database, with all tables, under ``alias``."""
    settings = {**connections.databases["default"], "ENGINE": "django.db.backends.sqlite3"}
    settings |= {"NAME": path, "OPTIONS": {}, "TEST": {**settings["TEST"], "MIRROR": None}}
    connections.databases[alias] = settings
    connections[alias].connect()  # Django's test cases forbid what connects by itself
    try:
        with connections[alias].schema_editor() as editor:
            for model in apps.get_models():
                if not model._meta.proxy:
                    editor.create_model(model)
        yield connections[alias]
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.databases[alias]


class PrimaryAndReplica:
    """Reads of tasks and of what they call go to the replica, unless somebody asks otherwise."""

    def db_for_read(self, model, **hints):
        return "replica" if model._meta.app_label in ("sisy", "testapp") else "default"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, first, second, **hints):
        return True
