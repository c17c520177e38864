"""``manage.py sisy_completion``: completes commands, options and names in a shell."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from sisy.management.completion import candidates, unquoted
from sisy.management.completion_scripts import SCRIPTS


class Command(BaseCommand):
    help = (
        "Prints a script that completes Sisy's commands in a shell: their verbs and options, and "
        "the names of tasks, queues and workers. Store it, and load it when the shell starts."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "shell",
            choices=[*SCRIPTS, "words"],
            metavar="SHELL",
            help=f"{', '.join(SCRIPTS)}; or 'words', which the scripts call to get suggestions",
        )
        parser.add_argument(
            "words", nargs="*", metavar="WORD", help="what was typed after manage.py"
        )

    def handle(self, *args: Any, shell: str, words: list[str], **options: Any) -> None:
        if shell != "words":
            self.stdout.write(SCRIPTS[shell])
            return
        for word in candidates([unquoted(word) for word in words]):
            self.stdout.write(word)
