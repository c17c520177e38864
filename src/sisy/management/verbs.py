"""Commands with subcommands, here called verbs: ``manage.py sisy_tasks pause invoices``."""

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, DjangoHelpFormatter
from django.db import router

from sisy import clock
from sisy.management.output import AnsweringCommand
from sisy.models import Task


class _OptionsAfterVerb(BaseCommand):
    """Django's own options, such as ``--settings``, for the parsers of verbs."""

    def add_base_argument(self, parser: CommandParser, *args: Any, **kwargs: Any) -> None:
        # Without a default, an option that is missing after the verb keeps its value from before.
        super().add_base_argument(parser, *args, **{**kwargs, "default": SUPPRESS})


class VerbCommand(AnsweringCommand):
    """A command whose method ``do_<verb>`` is called with the options.

    Attributes:
        using: the alias of the database that stores the tasks.
        now: the time at which the command was called.
    """

    def add_arguments(self, parser: CommandParser) -> None:
        djangos = _OptionsAfterVerb().create_parser("manage.py", "sisy", add_help=False)
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

        def verb(name: str, words: str) -> ArgumentParser:
            added = verbs.add_parser(
                name,
                help=words,
                description=words,
                parents=[djangos],
                formatter_class=DjangoHelpFormatter,
            )
            added.add_argument("--json", action="store_true", help="print JSON")
            return added

        self.add_verbs(verb)

    def add_verbs(self, verb: Callable[[str, str], ArgumentParser]) -> None:
        """Add the verbs: ``verb(name, words)`` returns the parser of one."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        self.using = router.db_for_write(Task)
        self.now = clock.now(self.using)
        getattr(self, f"do_{options['verb']}")(**options)

    def say_with(self, sentence: str, **facts: Any) -> None:
        """Print a sentence, or the facts as JSON."""
        if self.as_json:
            self.say_json(facts)
        else:
            self.say(sentence)
