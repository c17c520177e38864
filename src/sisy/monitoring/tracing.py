"""OpenTelemetry: a span for each submission and for each attempt, in one trace.

The span of a submission is a child of whatever span is current, such as that of a web request. If
it is recorded, its context is stored with each run (`TraceContext`), and each attempt of the run
is a child of it, in whatever process the function is called:

    request ──► send mail (producer) ──► process mail (consumer) ──► spans of the function

Runs that a schedule has planned start traces of their own. Without an SDK, nothing is done: no
span, no row and no query. Names and attributes follow OpenTelemetry's conventions for messaging.

Import this module only if opentelemetry-api is installed.
"""

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from django.db import transaction
from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sisy.models import Run, RunState, TraceContext
from sisy.records.outcome import Outcome
from sisy.runtime.log import Outage
from sisy.runtime.user_errors import is_ctrl_c

SCOPE = "sisy"
API = "opentelemetry.trace"
FLUSH_TIMEOUT = 2000  # milliseconds
MAX_TRACESTATE = 512
BATCH = 500

P = ParamSpec("P")
T = TypeVar("T")
Runs = TypeVar("Runs", bound=Sequence[Any])

_outage = Outage("OpenTelemetry")
_propagator = TraceContextTextMapPropagator()


def is_on() -> bool:
    """Return whether an SDK is configured."""
    # The providers of the API itself record nothing.
    return not type(trace.get_tracer_provider()).__module__.startswith(API)


def safely(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Return what ``call`` returns, or None if it raises. The first error in a row is logged."""
    try:
        result = call(*args, **kwargs)
    # The SDK asks exceptions of runs for their words, and these may raise anything.
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        _outage.failed(error, "runs continue without traces")
        return None
    _outage.recovered()
    return result


class OpenTelemetry:
    """Follows runs with spans; see `sisy.runtime.tracer.Tracer`."""

    def submit(self, using: str, store: Callable[[], Runs]) -> Runs:
        """Store runs within the span of a producer."""
        span = safely(_producer) if is_on() else None
        if span is None:
            return store()
        try:
            if not span.is_recording():
                return store()
            with transaction.atomic(using=using):
                runs = store()
                safely(_keep, using, runs, span)
            return runs
        except BaseException as error:
            safely(_fail, span, error)
            raise
        finally:
            safely(span.end)

    def started(self, using: str, runs: Sequence[Run]) -> None:
        """Read where claimed runs were submitted, in one query."""
        if is_on():
            safely(_read, using, runs)

    def enter(self, run: Run, span: Span | None) -> Span | None:
        """Make the span of an attempt current. Begin it if necessary."""
        return safely(_enter, run, span) if span is not None or is_on() else None

    def leave(self, run: Run, span: Span, outcome: Outcome) -> None:
        """End the span of an attempt with its outcome."""
        safely(_leave, span, outcome)

    def flush(self) -> None:
        """Export what is kept in memory."""
        force = getattr(trace.get_tracer_provider(), "force_flush", None)
        if is_on() and force is not None:
            safely(force, FLUSH_TIMEOUT)


def _producer() -> Span:
    # Named when the runs are known.
    return trace.get_tracer(SCOPE).start_span("send", kind=SpanKind.PRODUCER)


def _keep(using: str, runs: Sequence[Run], span: Span) -> None:
    """Describe a submission, and store the context of its span with each run."""
    if not runs:
        return
    first, number = runs[0], len(runs)
    span.update_name(f"send {first.queue}")
    span.set_attributes(_attributes(first, "send"))
    if number > 1:
        span.set_attribute("messaging.batch.message_count", number)
    headers: dict[str, str] = {}
    _propagator.inject(headers, trace.set_span_in_context(span))
    state = headers.get("tracestate", "")
    columns = {
        "traceparent": headers["traceparent"],
        "tracestate": state if len(state) <= MAX_TRACESTATE else "",
    }
    with transaction.atomic(using=using):
        TraceContext.objects.using(using).bulk_create(
            [TraceContext(run_id=run.pk, **columns) for run in runs], batch_size=BATCH
        )


def _fail(span: Span, error: BaseException) -> None:
    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))


def _read(using: str, runs: Sequence[Run]) -> None:
    by_key = {run.pk: run for run in runs}
    for kept in TraceContext.objects.using(using).filter(run_id__in=list(by_key)):
        headers = {"traceparent": kept.traceparent, "tracestate": kept.tracestate}
        by_key[kept.run_id].trace_context = headers


def _enter(run: Run, span: Span | None) -> Span:
    if span is None:
        headers = run.trace_context
        span = trace.get_tracer(SCOPE).start_span(
            f"process {run.queue}",
            context=_propagator.extract(headers) if headers else None,
            kind=SpanKind.CONSUMER,
            attributes=_attributes(run, "process") | _of_attempt(run),
        )
    # Nothing detaches it: the context belongs to the run, and ends with it.
    context.attach(trace.set_span_in_context(span))
    return span


def _leave(span: Span, outcome: Outcome) -> None:
    try:
        span.set_attribute("sisy.run.outcome", str(outcome.state))
        if outcome.state != RunState.SUCCEEDED:
            span.set_attribute("error.type", outcome.error_class or str(outcome.state))
            span.set_status(Status(StatusCode.ERROR, outcome.reason))
            if outcome.exception is not None:
                span.record_exception(outcome.exception)
    finally:
        span.end()


def _attributes(run: Run, operation: str) -> dict[str, Any]:
    return {
        "messaging.system": SCOPE,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": run.queue,
        "messaging.message.id": str(run.pk),
        "code.function.name": run.target_path,
        "sisy.task.id": run.task_id or 0,
        "sisy.run.label": run.label,
        "sisy.run.origin": str(run.origin),
    }


def _of_attempt(run: Run) -> dict[str, Any]:
    due_at = run.occurrence_at or run.due_at
    due = {} if due_at is None else {"sisy.run.due_at": due_at.isoformat()}
    return {"sisy.run.attempt": run.attempt, **due}
