"""The sites that are measured, with their servers and processes, and what those use of the CPU."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import psutil
from django.db import connection
from tests.processes.databases import migrate
from tests.processes.process import wait_until
from tests.processes.site import Site, default_database
from tests.servers.valkey import ValkeyServer

from benchmarks import databases, report
from benchmarks.databases import POSTGRES, SQLITE
from sisy.models import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a site is made of.

    Attributes:
        commands: of ``manage.py``, one for each process.
        has_valkey: whether the processes reach each other by a channel layer.
        database: one of `benchmarks.databases`.
    """

    name: str
    commands: tuple[str, ...]
    has_valkey: bool = False
    database: str = POSTGRES

    @property
    def is_on_postgres(self) -> bool:
        return self.database == POSTGRES


SEPARATE = ("sisy_heartbeat", "sisy_worker")
WITH_VALKEY = Layout(name="PostgreSQL and Valkey", commands=SEPARATE, has_valkey=True)
WITHOUT_LAYER = Layout(name="PostgreSQL, no channel layer", commands=SEPARATE)
ONE_PROCESS = Layout(name="SQLite, one process", commands=("sisy",), database=SQLITE)
ALL = (WITH_VALKEY, WITHOUT_LAYER, ONE_PROCESS)


def measured_ones() -> tuple[Layout, ...]:
    """Return the layouts that are measured; for a quick look, the first is enough."""
    return ALL[:1] if report.QUICK in os.environ else ALL


@contextmanager
def opened(layout: Layout, *, counts_statements: bool = False) -> Iterator[Site]:
    """Start servers of the layout's own, and migrate; in the end, stop all that was started.

    The models of this process read and write the site's database meanwhile.
    """
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sisybench")))
        database = databases.opened(
            stack, layout.database, folder, counts_statements=counts_statements
        )
        environment = dict(database.environment)
        if layout.has_valkey:
            environment["VALKEY_URL"] = databases.started(stack, ValkeyServer()).url
        site = Site(folder, environment)
        # As by default: those of the tests have other engines, which heartbeats look for.
        settings: dict[str, Any] = {"SISY_ENGINES": {}}
        site.set(**settings if layout.has_valkey else {**settings, "CHANNEL_LAYERS": {}})
        stack.enter_context(default_database(database.settings))
        stack.callback(_clear_away, site)
        if not database.is_migrated:
            migrate(site)
        yield site


def address() -> dict[str, Any]:
    """Return where the site's PostgreSQL is, for connections that are not Django's."""
    options = connection.get_connection_params()
    return {name: options[name] for name in ("dbname", "user", "host", "port") if name in options}


def start(site: Site, commands: Iterable[str], **environment: str) -> None:
    """Start a process for each command, and return when all have signed on.

    Raises:
        RuntimeError: one of them ended instead.
    """
    started = [site.manage(command, **environment) for command in commands]
    pids = [process.pid for process in started]
    have_signed_on = Process.objects.filter(pid__in=pids).order_by().values("pid").distinct()

    def all_have_signed_on() -> bool:
        if ended := [process.output for process in started if not process.is_up]:
            raise RuntimeError("A process ended at once, and wrote:\n" + "\n".join(ended))
        return have_signed_on.count() == len(pids)

    wait_until(all_have_signed_on)


def stop(site: Site) -> None:
    """End what runs in good order.

    Raises:
        RuntimeError: a process ended badly, or wrote that something went wrong.
    """
    running = [process for process in site.processes if process.is_up]
    for process in running:
        process.send(signal.SIGTERM)
    codes = [process.ends() for process in running]
    complaints = [line for process in site.processes for line in process.complaints()]
    if any(codes) or complaints:
        raise RuntimeError(f"Processes ended with {codes}, and wrote: {complaints}")


def start_named(site: Site, commands: Iterable[str]) -> None:
    """Start a process for each command, as a user of PostgreSQL of that name; see `statements`."""
    for command in commands:
        start(site, [command], **named(site, command))


def named(site: Site, user: str) -> dict[str, str]:
    """Create a user of PostgreSQL, and return the environment of a process that connects as it."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {user} SUPERUSER LOGIN")
    return {"DATABASE_URL": site.environment["DATABASE_URL"].replace("postgres@", f"{user}@", 1)}


def statements() -> Counter[tuple[str, str]]:
    """Return how often PostgreSQL has carried out each statement for each user.

    Those that begin and end transactions are not counted, nor are this process's own. The site
    must have been `opened` so.
    """
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        cursor.execute(
            "SELECT rolname, query, calls FROM pg_stat_statements "
            "JOIN pg_roles ON pg_roles.oid = userid "
            "WHERE query NOT IN ('BEGIN', 'COMMIT') AND rolname <> current_user"
        )
        found: Counter[tuple[str, str]] = Counter()
        for who, query, calls in cursor.fetchall():
            found[who, " ".join(query.split())] += calls
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU seconds used up to now, or between two readings; ``at`` is in seconds, too.

    Attributes:
        site: by the processes under test, by command.
        servers: by the database's and the layer's.
        machine: by everything on the machine, this benchmark included.
    """

    at: float
    site: dict[str, float]
    servers: float
    own: float
    machine: float

    @classmethod
    def until_now(cls, site: Site) -> "Usage":
        by_command: dict[str, float] = {}
        running = [process for process in site.processes if process.is_up]
        for process in running:
            command = process.command[-1]
            used = _seconds_of_family(psutil.Process(process.pid))
            by_command[command] = by_command.get(command, 0.0) + used
        pids = {process.pid for process in running}
        children = psutil.Process().children()
        return cls(
            at=time.monotonic(),
            site=by_command,
            servers=sum(_seconds_of_family(c) for c in children if not pids & _family(c)),
            own=_seconds(psutil.Process()),
            machine=_seconds_of_machine(),
        )

    def since(self, before: "Usage") -> "Usage":
        return Usage(
            at=self.at - before.at,
            site={name: used - before.site.get(name, 0.0) for name, used in self.site.items()},
            servers=self.servers - before.servers,
            own=self.own - before.own,
            machine=self.machine - before.machine,
        )

    @property
    def others(self) -> float:
        """The share of the machine that was taken by what has nothing to do with this."""
        used = self.machine - sum(self.site.values()) - self.servers - self.own
        return max(0.0, used / self.at / psutil.cpu_count())


def measured(site: Site, seconds: float) -> Usage:
    """Wait for so many seconds, and return what was used meanwhile."""
    before = Usage.until_now(site)
    time.sleep(seconds)
    return Usage.until_now(site).since(before)


def _seconds(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of those of its children that have ended."""
    times = process.cpu_times()
    # The kernel rounds the times of a process to a hundredth of a second. Its CPU clock is exact;
    # this is how clock_getcpuclockid(3) names it.
    own = time.clock_gettime((~process.pid << 3) | 2)
    return own + times.children_user + times.children_system


def _family(process: psutil.Process) -> set[int]:
    return {process.pid, *(member.pid for member in process.children(recursive=True))}


def _seconds_of_family(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(_seconds(member) for member in family)


def _seconds_of_machine() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq + times.steal


def _clear_away(site: Site) -> None:
    for process in site.processes:
        if process.is_up:
            process.clear_away()


def _end(number: int, frame: object) -> NoReturn:
    """End in good order on the first signal; a second one must not interrupt that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)
