"""``manage.py sisy_top``: a live view of a site."""

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import router
from django.utils.text import capfirst

from sisy import clock
from sisy.management.output import AnsweringCommand
from sisy.management.top_actions import actions_of, connected
from sisy.management.top_sections import View, headline, sections
from sisy.models import Task
from sisy.reports.glance import glance


class Command(AnsweringCommand):
    help = (
        "Shows alerts, queues, workers, running runs and failures in a live, full-screen view. "
        "Press ? for help. With --once, it prints them once instead. The live view needs the "
        "extra sisy[cli]."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--once", action="store_true", help="print everything once, without a live view"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = router.db_for_write(Task)
        if options["once"] or self.as_json:
            self._print(using)
            return
        if not (self.stdout.isatty() and sys.stdin.isatty()):
            raise CommandError("The live view needs a terminal. Add --once to print it once.")
        try:
            from sisy.management.top_screen import TopScreen
        except ImportError as error:
            raise CommandError(
                "The live view needs Textual. Install it with: pip install 'sisy[cli]'. Or add "
                "--once to print everything once."
            ) from error

        @connected
        def read() -> View:
            seen = glance(using, clock.now(using))
            return View(headline=headline(seen), sections=sections(seen))

        TopScreen(read, actions_of(using)).run()

    def _print(self, using: str) -> None:
        seen = glance(using, clock.now(using))
        if self.as_json:
            parts = {part.name: part.rows for part in sections(seen)}
            self.say_json({"state": seen.state, "is_clear": seen.is_clear, **parts})
            return
        line = headline(seen)
        self.stdout.write(self.paint(str(line), getattr(line, "look", "")))
        for part in sections(seen):
            self.stdout.write(f"\n{part.title}:")
            if part.name == "alerts" and part.rows:
                self.stdout.write(self.description(map(_in_words, part.rows)))
            else:
                self.answer(part.rows, otherwise=f"  {part.empty}")


def _in_words(alert: dict[str, Any]) -> tuple[str, str]:
    """Return the severity of an alert, and all about it: its lines are wrapped, and never cut."""
    since = f"Began {alert['since']}." if alert["since"] else ""
    known = f"{capfirst(alert['acknowledged'])}." if alert["acknowledged"] else ""
    # The fix may end with a command, which has no full stop.
    return alert["severity"], " ".join(
        filter(None, [alert["problem"], since, known, alert["fix"]])
    )
