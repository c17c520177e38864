"""``manage.py sisy_sync``: create and update the tasks that code declares."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import router
from django.utils.translation import ngettext

from sisy import clock, conf
from sisy.management.output import AnsweringCommand
from sisy.management.sync_text import failure, sentences
from sisy.models import Task
from sisy.records.task_fields import PUBLIC_NAMES
from sisy.reports.disclosure import masked_field
from sisy.syncing import Kind, discover, sync
from sisy.syncing.discovery import Discovered
from sisy.syncing.sync import Change, Synced


class Command(AnsweringCommand):
    help = (
        "Creates and updates tasks that @sisy.schedule declares in each app's schedules.py and "
        "tasks.py, as manage.py migrate does. Keeps fields that were changed by hand. Pauses "
        "tasks that are no longer declared. Exits with 1 if Sisy rejects a declaration or "
        "cannot import a module, unless SISY_IGNORE_SYNC_ERRORS is set. Tasks with errors are "
        "not changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="only show what would change")
        parser.add_argument(
            "--check",
            action="store_true",
            help="like --dry-run, but exit with 1 if anything would change",
        )
        parser.add_argument(
            "--ignore-errors",
            action="store_true",
            help="exit with 0 even if Sisy rejects a declaration or cannot import a module",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = router.db_for_write(Task)
        is_rehearsal = options["dry_run"] or options["check"]
        found = discover()
        synced = sync(using, found, clock.now(using), is_rehearsal=is_rehearsal)
        if self.as_json:
            self.say_json(_facts(found, synced))
        elif options["verbosity"] >= 1:
            for line in sentences(found, synced, is_brief=options["verbosity"] == 1):
                self.stdout.write(line)
            unchanged = len(synced.of(Kind.UNCHANGED))
            if unchanged:
                words = ngettext("%d task is unchanged.", "%d tasks are unchanged.", unchanged)
                self.stdout.write(words % unchanged)
            elif not synced.changes:
                self.stdout.write("No tasks are declared in code.")
        ignore = options["ignore_errors"] or conf.get_settings().ignore_sync_errors
        if (why := failure(found, synced)) and not ignore:
            raise CommandError(why)
        if options["check"] and synced.has_changed:
            raise CommandError("Stored tasks do not match the code. Run 'manage.py sisy_sync'.")


def _facts(found: Discovered, synced: Synced) -> dict[str, Any]:
    return {
        "tasks": [_of(change) for change in synced.changes],
        "not_imported": dict(found.broken),
    }


def _of(change: Change) -> dict[str, Any]:
    return {
        "name": change.name,
        "outcome": change.kind,
        "fields": {
            PUBLIC_NAMES[name]: {
                "before": masked_field(name, before),
                "after": masked_field(name, after),
            }
            for name, (before, after) in change.fields.items()
        },
        "overrides": {
            PUBLIC_NAMES[one.field]: {
                "kept": masked_field(one.field, one.own),
                "code": masked_field(one.field, one.code),
            }
            for one in change.kept
        },
        "notes": list(change.notes),
        "problem": change.problem,
    }
