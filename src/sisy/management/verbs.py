"""Commands with subcommands, here called verbs: ``manage.py sisy_tasks pause invoices``."""

import getpass
import sys
import textwrap
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)
from django.db import router

from sisy import clock
from sisy.exceptions import did_you_mean
from sisy.management.arguments import INVALID, MAX_COUNT, whole
from sisy.management.output import AnsweringCommand
from sisy.models import Task
from sisy.runtime.escaping import escaped

NOT_CONFIRMED = 2  # the exit code if a question was answered with no, or could not be asked
INTERRUPTED = 128 + 2  # the exit code that shells give a program that SIGINT ends
HELP_WIDTH = 78
ABOUT = {"-h", "--help", "--version"}
DEFAULT_VERB = "list"
"""The verb that is meant without one: every command with verbs has it, and it changes nothing."""


class _OptionsAfterVerb(BaseCommand):
    """Django's own options, such as ``--settings``, for the parsers of verbs."""

    def add_base_argument(self, parser: CommandParser, *args: Any, **kwargs: Any) -> None:
        # Without a default, an option that is missing after the verb keeps its value from before.
        super().add_base_argument(parser, *args, **{**kwargs, "default": SUPPRESS})


class _HelpFormatter(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Keeps the lines of the description and of the examples."""


class _VerbParser(CommandParser):
    """The parser of a verb. It rejects what it does not know, with its own usage."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        # First, because argparse would read the value of an unknown option as an argument.
        for word in takewhile(lambda word: word != "--", args or ()):
            if word.startswith("--"):
                self._check_option(word.partition("=")[0])
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            # The parser of the command would show its own usage, which names only the verbs.
            self.error(f"unrecognized arguments: {' '.join(map(escaped, unknown))}")
        return found, unknown

    def _check_option(self, name: str) -> None:
        known = list(self._option_string_actions)
        if any(option.startswith(name) for option in known):  # it may be abbreviated
            return
        near = did_you_mean(name, known)
        self.error(f"{escaped(name)!r} is not an option of {self.prog.partition(' ')[2]!r}.{near}")


class VerbCommand(AnsweringCommand):
    """A command whose method ``do_<verb>`` is called with the options.

    Attributes:
        examples: lines that ``--help`` shows, without ``manage.py``.
        using: the alias of the database that stores the tasks.
        now: the time at which the command was called.
    """

    examples: Sequence[str] = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        if self.examples:
            lines = [f"  manage.py {line}" for line in self.examples]
            kwargs["epilog"] = "\n".join(["examples:", *lines])
            kwargs["formatter_class"] = _HelpFormatter
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self.examples:
            parser.description = textwrap.fill(self.help, HELP_WIDTH)
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        djangos: Any = _OptionsAfterVerb().create_parser("manage.py", "sisy", add_help=False)
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=_VerbParser)
        self._known = verbs.choices

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

    def run_from_argv(self, argv: list[str]) -> None:
        word = argv[2] if len(argv) > 2 else "-"
        if not word.startswith("-"):
            self.create_parser(argv[0], argv[1])
            if word not in self._known:
                # Shorter than the error of argparse, which begins with the usage.
                near = did_you_mean(word, self._known)
                known = ", ".join(self._known)
                error = f"{word!r} is not a verb of {argv[1]}.{near} Use one of {known}."
                self.stderr.write(escaped(error))
                sys.exit(INVALID)
        super().run_from_argv(_with_verb(argv))

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] is None:
            parsed = vars(self._known[DEFAULT_VERB].parse_args([]))
            options = {**parsed, **options, "verb": DEFAULT_VERB}
        self.using = router.db_for_write(Task)
        self.now = clock.now(self.using)
        try:
            getattr(self, f"do_{options['verb']}")(**options)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)  # without a traceback

    def say_with(self, sentence: str, **facts: Any) -> None:
        """Print a sentence, or the facts as JSON."""
        if self.as_json:
            self.say_json(facts)
        else:
            self.say(sentence)

    def confirm(self, question: str, *, is_confirmed: bool) -> None:
        """Ask a question on the terminal, unless it was answered with ``--yes``.

        Raises:
            CommandError: the answer is no, or there is no terminal to ask on.
        """
        if is_confirmed:
            return
        if self.as_json or not sys.stdin.isatty():
            raise CommandError(
                f"{question} Add --yes to confirm. Nothing was changed.", returncode=NOT_CONFIRMED
            )
        self.say(question)
        try:
            answer = input("Continue? [y/N] ")
        except EOFError:  # Ctrl-D
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was changed.", returncode=NOT_CONFIRMED)


def _with_verb(argv: list[str]) -> list[str]:
    """Return the words of a command line, with the default verb before options without one."""
    djangos = _OptionsAfterVerb().create_parser(*argv[:2], add_help=False)
    try:
        own = [] if ABOUT & set(argv) else djangos.parse_known_args(argv[2:])[1]
    except CommandError:  # the parser of the command says the same
        return argv
    return [*argv[:2], DEFAULT_VERB, *argv[2:]] if own and own[0].startswith("-") else argv


def add_yes(parser: ArgumentParser) -> None:
    """Add the option that answers the question of `VerbCommand.confirm`."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")


def add_number(parser: ArgumentParser, what: str, number: int) -> None:
    """Add the option for the maximum number of rows."""
    parser.add_argument(
        "-n",
        "--limit",
        dest="number",
        type=whole(1, MAX_COUNT),
        default=number,
        metavar="N",
        help=f"maximum number of {what} (default: %(default)s)",
    )


def add_by(parser: ArgumentParser) -> None:
    """Add the option for the name of the person who does something; see `who`."""
    parser.add_argument(
        "--by", default="", metavar="NAME", help="who does it (default: your user name)"
    )


def who(by: str) -> str:
    """Return the name of the person who calls the command."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, the user may have no name
        return "manage.py"
