"""The common parts of commands that run a service."""

import argparse
import logging
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connections

from sisy import conf
from sisy.exceptions import SettingsError
from sisy.execution import MakePool, ProcessPool, ThreadPool
from sisy.heartbeat import Heartbeat
from sisy.management.arguments import measure, whole
from sisy.management.reloading import GRACE, serve_and_reload
from sisy.runtime.compat import CAN_FORK
from sisy.runtime.loop import retry_until_success
from sisy.runtime.process_exit import exit_in_time
from sisy.runtime.run_until_stopped import (
    Service,
    exit_when_signalled,
    run_until_signalled,
)
from sisy.runtime.worker_options import MAX_CONCURRENCY, MAX_GRACE
from sisy.runtime.worker_options import queue_names as valid_queue_names
from sisy.worker import Worker


class ServingCommand(BaseCommand):
    """A command that runs until SIGTERM or SIGINT; a second signal stops it immediately."""

    requires_migrations_checks = True

    def build(self, **options: Any) -> Service:
        """Return the service that the command runs."""
        raise NotImplementedError

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
        parser.add_argument(
            "--reload",
            action=argparse.BooleanOptionalAction,
            default=settings.DEBUG,
            help="restart when code changes; for development",
        )

    def run_from_argv(self, argv: list[str]) -> None:
        exit_when_signalled()  # no run is claimed while the command starts
        code = 1
        try:
            super().run_from_argv(argv)
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
            raise
        finally:
            exit_in_time(code)

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options["verbosity"] > 0:
            _write_log_lines()
        try:
            return super().execute(*args, **options)
        except SettingsError as error:  # with --skip-checks
            raise CommandError(str(error)) from error

    def check_migrations(self) -> None:
        """Check for unapplied migrations; wait if the database is not available."""
        retry_until_success("The database", super().check_migrations, OperationalError)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["reload"]:
            serve_and_reload(lambda: self.build(**{**options, "grace": GRACE}))
        else:
            service = self.build(**options)
            connections.close_all()  # those that the checks opened; this thread needs none
            run_until_signalled(service)


def add_worker_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--queues",
        type=queue_names,
        default=",".join(conf.DEFAULT_QUEUES),
        metavar="NAMES",
        help="comma-separated names of the queues to serve",
    )
    parser.add_argument(
        "--concurrency",
        type=whole(1, MAX_CONCURRENCY),
        default=conf.DEFAULT_CONCURRENCY,
        metavar="N",
        help="maximum number of concurrent runs (1 to 1000)",
    )
    parser.add_argument(
        "--grace",
        type=measure("seconds", MAX_GRACE),
        default=conf.DEFAULT_GRACE,
        metavar="S",
        help=(
            "seconds that current runs have to finish after SIGTERM or SIGINT (Ctrl-C); the rest "
            "are released (0 to 86400)"
        ),
    )
    parser.add_argument(
        "--pool",
        choices=("threads", "processes"),
        default="threads",
        help="execute runs in threads, or in child processes, which Sisy can kill",
    )
    parser.add_argument(
        "--max-runs-per-child",
        type=whole(1),
        metavar="N",
        help="replace a child process after this many runs (at least 1)",
    )
    parser.add_argument(
        "--max-memory-per-child",
        type=whole(1),
        metavar="MB",
        help=(
            "replace a child process that uses more than this many megabytes after a run (at "
            "least 1)"
        ),
    )


def add_processes_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--processes",
        type=whole(1, 100),
        default=1,
        metavar="N",
        help="number of worker processes to start and keep running (1 to 100)",
    )


def worker(**options: Any) -> Worker:
    return Worker(
        queues=options["queues"],
        concurrency=options["concurrency"],
        grace=options["grace"],
        pool=_pool(**options),
    )


def heartbeat(**options: Any) -> Heartbeat:
    return Heartbeat()


def _pool(**options: Any) -> MakePool:
    limits = {
        name: options[name]
        for name in ("max_runs_per_child", "max_memory_per_child")
        if options.get(name) is not None
    }
    if options["pool"] == "processes":
        refuse_on_windows("--pool processes")
        return partial(ProcessPool, **limits)
    if limits:
        names = " and ".join("--" + name.replace("_", "-") for name in limits)
        raise CommandError(f"Use {names} only with --pool processes.")
    return ThreadPool


def refuse_on_windows(option: str) -> None:
    """Reject an option that needs the child processes of POSIX systems.

    Raises:
        CommandError: this is Windows.
    """
    if not CAN_FORK:
        raise CommandError(
            f"{option} is not supported on Windows. Remove it to execute runs in threads of this "
            "process."
        )


def queue_names(text: str) -> tuple[str, ...]:
    try:
        return valid_queue_names(name.strip() for name in text.split(",") if name.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _write_log_lines() -> None:
    """Show Sisy's log lines on standard error, unless the project configures its loggers."""
    logger = logging.getLogger("sisy")
    if logger.hasHandlers() or logger.level:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s sisy %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
