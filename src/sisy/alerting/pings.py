"""Pings to the monitors of tasks: a run has started, succeeded or failed.

They go through the outbox, in the transaction that starts or ends the run, so that none is lost
and none is sent for what was rolled back. The end of a run is never sent before its start. Tasks
without an address cost nothing.

Source: https://healthchecks.io/docs/http_api/.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from sisy import clock, signals
from sisy.addresses import host_of, problem_with_address
from sisy.alerting import http
from sisy.alerting.channels import add_channel
from sisy.models import OutboxMessage, Run
from sisy.records.choices import LIVE_STATES, Event, RunState
from sisy.records.instances import loaded
from sisy.records.run_output import RunOutput

if TYPE_CHECKING:
    from sisy.records.run import RunRecord

CHANNEL = "ping"
START, SUCCESS, FAIL = "start", "success", "fail"
MAX_CHANNEL_LENGTH = 60
ROUTES = 4  # to the same host: pings of different runs that are sent at the same time
MAX_BODY_LENGTH = 10_000  # characters; Healthchecks keeps that many


def connect() -> None:
    """Let the transitions of runs store pings, and senders send them."""
    add_channel(CHANNEL, PingChannel)
    signals.run_started.connect_to_transactions(on_started)
    for ended in (signals.run_finished, signals.run_lost, signals.run_rejected):
        ended.connect_to_transactions(on_ended)


def on_started(using: str, runs: "Sequence[RunRecord]") -> None:
    """Store pings for runs that start."""
    _store(using, runs, _start_of)


def on_ended(using: str, runs: "Sequence[RunRecord]") -> None:
    """Store pings for runs that have ended."""
    _store(using, runs, _end_of)


def _store(
    using: str,
    runs: "Sequence[RunRecord]",
    message_of: "Callable[[RunRecord], dict[str, Any] | None]",
) -> None:
    """Store the pings of those runs whose task has an address, in one statement."""
    messages = []
    for run in runs:
        task = loaded(run, "task")
        if task is not None and task.ping and (columns := message_of(run)) is not None:
            channel = _channel_of(task.ping, run)
            messages.append(
                OutboxMessage(event=Event.PING, address=task.ping, channel=channel, **columns)
            )
    if messages:
        now = clock.last_known(using)
        for message in messages:
            message.created_at = message.next_attempt_at = now
        OutboxMessage.objects.using(using).bulk_create(messages, ignore_conflicts=True)


def _start_of(run: "RunRecord") -> dict[str, Any]:
    before = _start_key(run, run.attempt - 1) if run.attempt > 1 else ""
    return _message(run, _start_key(run, run.attempt), START, before)


def _end_of(run: "RunRecord") -> dict[str, Any] | None:
    """Return the ping for the end of a run; None if it is queued again."""
    if run.state in LIVE_STATES:
        return None
    what = SUCCESS if run.state == RunState.SUCCEEDED else FAIL
    return _message(run, f"ping:{run.pk}:end", what, _start_key(run, run.attempt))


def _message(run: "RunRecord", key: str, what: str, before: str) -> dict[str, Any]:
    # The reason and the error are read when the ping is sent: others may see the payload.
    return {"key": key, "payload": {"run": run.pk, "what": what, "thread": before}}


def _start_key(run: "RunRecord", attempt: int) -> str:
    return f"ping:{run.pk}:{attempt}:start"


def _channel_of(address: str, run: "RunRecord") -> str:
    """Return the channel of a ping: one that hangs delays only pings to its own host."""
    # It must not raise: the run must start in any case.
    tail = f"-{run.pk % ROUTES}"
    return f"{CHANNEL}:{host_of(address)}"[: MAX_CHANNEL_LENGTH - len(tail)] + tail


class PingChannel:
    """Sends pings, each to the address of its own task."""

    def send(self, message: OutboxMessage) -> None:
        """Send a ping.

        Raises:
            NotDelivered: the server did not answer 200 to 299 in time.
        """
        if wrong := problem_with_address("ping", message.address):
            raise http.NotDelivered(wrong)
        pk, what = message.payload["run"], message.payload["what"]
        body = "" if what == START else body_of(str(message._state.db), pk)
        headers = {"Content-Type": "text/plain; charset=utf-8", "Idempotency-Key": message.key}
        http.send(address_of(message.address, what, pk), body.encode(), headers)


def address_of(address: str, what: str, pk: int) -> str:
    """Return the address of a ping: ``/start`` or ``/fail`` follows the path, and the run."""
    parts = urlsplit(address)
    path = parts.path.rstrip("/") + ("" if what == SUCCESS else f"/{what}")
    query = "&".join(filter(None, (parts.query, f"rid={rid_of(pk)}")))
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def rid_of(pk: int) -> str:
    """Return the key of a run in the form of a UUID, as Healthchecks expects it."""
    return str(uuid.UUID(f"{pk:032d}"))


def body_of(using: str, pk: int) -> str:
    """Return why a run ended, and the last of what it printed or else of its error."""
    columns = "reason", "error", "attempt", "process"
    run = Run.objects.using(using).only(*columns).filter(pk=pk).first()
    if run is None:
        return ""
    outputs = RunOutput.objects.using(using).filter(run_id=pk, attempt=run.attempt)
    if run.process_id is not None:
        # A released run is executed again by the attempt of the same number, in another process.
        outputs = outputs.filter(process_id=run.process_id)
    printed = outputs.first()
    texts = [run.reason, run.error]
    if printed is not None:
        texts.insert(0, printed.head + printed.tail)
    return "\n\n".join(text.strip() for text in texts if text.strip())[-MAX_BODY_LENGTH:]
