"""One session of PostgreSQL in which this process notifies others, and listens to them.

A session that listens must be this process's alone. A pooler that works by transactions, such as
PgBouncer, gives the session to another client after each transaction: signals do not reach the
client that has asked for them, and the others find a session that listens. Notifying needs no
session, so it works through any pooler.
"""

import secrets
import selectors
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

PROBE_TIMEOUT = 5.0  # seconds for a signal of this session to come back to it

# Without them, a session on a host that has vanished would wait for a quarter of an hour. They
# have no effect on a socket of the same host.
CONNECTION_DEFAULTS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# A NOTIFY writes a commit record, and would otherwise wait until it is on the disk. The setting
# holds for the one statement only.
UNSYNCHRONISED = "set_config('synchronous_commit', 'off', true)"
NOTIFY = "pg_notify(%s, %s)"


class NotHeard(Exception):
    """Signals do not reach this process."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A signal that was received.

    Attributes:
        is_own: whether this session has sent it.
    """

    channel: str
    payload: str
    is_own: bool


class NotifySession:
    """Opens a connection for LISTEN and NOTIFY. Use it in one thread.

    Args:
        backend: the class of Django's connections to the database.
        settings: the entry of ``DATABASES``.

    Attributes:
        channels: the channels to which it listens.
    """

    def __init__(
        self, backend: type[BaseDatabaseWrapper], settings: Mapping[str, Any], alias: str
    ) -> None:
        self.channels: frozenset[str] = frozenset()
        self._wrapper = backend(_settings_of_our_own(settings), alias)
        self._wrapper.connect()
        self._driver: Any = self._wrapper.connection
        self._driver.add_notify_handler(self._take)
        self._pid: int = self._driver.info.backend_pid
        self._received: list[Notice] = []
        self._probe = f"sisy.probe.{secrets.token_hex(8)}"
        self._is_probed = False
        self._probe_arrived = False

    def fileno(self) -> int:
        """Return the descriptor of the socket, which is readable once signals have arrived."""
        return int(self._driver.fileno())

    def notify(self, notifications: Iterable[tuple[str, str]]) -> None:
        """Send signals, each a channel and a payload, in one statement and transaction."""
        values = [value for notification in notifications for value in notification]
        calls = [UNSYNCHRONISED, *[NOTIFY] * (len(values) // 2)]
        self._driver.execute(f"SELECT {', '.join(calls)}", values)

    def listen_to(self, channels: Collection[str]) -> None:
        """Listen to these channels, and to no others.

        Raises:
            NotHeard: signals cannot be received.
        """
        if channels and not self._is_probed:
            self._require_a_session_of_our_own()
        added, dropped = frozenset(channels) - self.channels, self.channels - frozenset(channels)
        changes = [("LISTEN", name) for name in added] + [("UNLISTEN", name) for name in dropped]
        self._change(changes)
        self.channels = frozenset(channels)
        if channels and not self._is_probed:
            self._change([("LISTEN", self._probe)])
            self.probe()
            self._wait_for_probe()
            self._is_probed = True

    def probe(self) -> None:
        """Send a signal to this session itself.

        Raises:
            NotHeard: the last one has not arrived.
        """
        if self._is_probed and not self._probe_arrived:
            raise NotHeard("PostgreSQL no longer delivers notifications to this connection")
        self._probe_arrived = False
        self.notify([(self._probe, "")])

    def received(self) -> list[Notice]:
        """Return the signals that have arrived since the last call. Does not wait."""
        self._driver.pgconn.consume_input()
        while (notice := self._driver.pgconn.notifies()) is not None:
            self._note(notice.relname.decode(), notice.extra.decode(), notice.be_pid)
        received, self._received = self._received, []
        return received

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):
            self._wrapper.close()

    def _require_a_session_of_our_own(self) -> None:
        # A pooler tells its clients a number that it made up: see `sisy.store.sessions`.
        pid = self._driver.execute("SELECT pg_backend_pid()").fetchone()[0]
        if pid != self._pid:
            raise NotHeard(
                "a pooler such as PgBouncer shares this session with other clients. To start runs "
                "at once, let workers, heartbeats and live dashboards connect directly to "
                "PostgreSQL"
            )

    def _wait_for_probe(self) -> None:
        deadline = time.monotonic() + PROBE_TIMEOUT
        received = self.received()
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            while not self._probe_arrived and (left := deadline - time.monotonic()) > 0:
                selector.select(left)
                received += self.received()
        self._received = received
        if not self._probe_arrived:
            raise NotHeard(
                f"no notification arrived within {PROBE_TIMEOUT:g} s. To start runs at once, let "
                "workers, heartbeats and live dashboards connect directly to the primary "
                "PostgreSQL server"
            )

    def _change(self, changes: Iterable[tuple[str, str]]) -> None:
        quoted = self._wrapper.ops.quote_name
        if statements := [f"{verb} {quoted(name)}" for verb, name in changes]:
            self._driver.execute("; ".join(statements))

    def _take(self, notice: Any) -> None:
        """Keep a signal that arrived during a statement. Handler of the driver."""
        self._note(notice.channel, notice.payload, notice.pid)

    def _note(self, channel: str, payload: str, pid: int) -> None:
        if channel == self._probe:
            self._probe_arrived = True
        else:
            self._received.append(Notice(channel, payload, pid == self._pid))


def _settings_of_our_own(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a connection that is kept: outside of pools, in autocommit mode."""
    options = {name: value for name, value in settings["OPTIONS"].items() if name != "pool"}
    return {**settings, "OPTIONS": {**CONNECTION_DEFAULTS, **options}, "AUTOCOMMIT": True}
