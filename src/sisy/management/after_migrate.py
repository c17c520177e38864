"""The sync after ``manage.py migrate``."""

import sys
from typing import Any

from django.apps import apps as registry
from django.core.management.base import CommandError
from django.db import router
from django.db.models.signals import post_migrate

from sisy import clock, conf
from sisy.management.sync_text import failure, sentences
from sisy.models import Task
from sisy.syncing.discovery import discover
from sisy.syncing.sync import sync


def connect() -> None:
    """Connect the receiver that syncs after the last app's migrations."""
    # Without a sender: Django knows senders by their ids, and would call the receiver for another
    # app whose config has the id of one that was replaced.
    post_migrate.connect(after_migrate, dispatch_uid="sisy.syncing")


def after_migrate(
    sender: Any, *, using: str, verbosity: int = 1, apps: Any = None, **kwargs: Any
) -> None:
    """Sync the tasks in the database that stores them, if its tables are up to date.

    This is a receiver of Django's ``post_migrate``.

    Raises:
        CommandError: a declaration was rejected, or a module cannot be imported, so that the
            deploy fails. All other tasks are in sync.
    """
    if not _is_last(sender) or using != router.db_for_write(Task) or not _has_table(apps):
        return
    found = discover()
    synced = sync(using, found, clock.now(using))
    if verbosity >= 1:
        for line in sentences(found, synced, is_brief=verbosity == 1):
            sys.stdout.write(line + "\n")
    if (why := failure(found, synced)) and not conf.get_settings().ignore_sync_errors:
        raise CommandError(why)


def _is_last(config: Any) -> bool:
    # After all others, because an error ends the command and with it the receivers of later apps.
    return config is [one for one in registry.get_app_configs() if one.models_module][-1]


def _has_table(apps: Any) -> bool:
    """Return whether all columns exist; False if only some of Sisy's migrations were applied."""
    if apps is None:
        return True
    try:
        stored = apps.get_model("sisy", "Task")
    except LookupError:
        return False
    return {field.name for field in Task._meta.concrete_fields} == {
        field.name for field in stored._meta.concrete_fields
    }
