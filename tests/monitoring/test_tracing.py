"""Spans connect the code that submits a run with the worker that executes it."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from sisy.execution import ThreadPool
from sisy.execution.inline import execute_inline
from sisy.heartbeat import retention
from sisy.models import Run, RunState, Task, TraceContext
from sisy.monitoring import otel, tracing
from sisy.runtime import tracer
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.conftest import ROOT
from tests.monitoring import traced
from tests.support.moments import DAY, HOUR, NOON
from tests.support.records import scheduled, worker
from tests.unit.runs import executed

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("noon"),
]


def provide(monkeypatch, **options):
    """Configure an SDK that keeps spans in memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(**options)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


@pytest.fixture
def spans(monkeypatch):
    """Return a function that returns the ended spans, by their names."""
    exporter = provide(monkeypatch)
    return lambda: {span.name: span for span in exporter.get_finished_spans()}


def claimed(limit=10):
    return claim(worker(), ["default"], limit, NOON)


def run_inline(run):
    outcomes = []
    execute_inline(run, NOON, outcomes.append)
    record("default", [(run, outcomes[0])], NOON)
    return outcomes[0]


def once(function, **fields):
    return Task.run_once(function, **fields)


def test_submission_and_execution_share_the_trace_of_the_request(spans):
    with trace.get_tracer("web").start_as_current_span("request") as request:
        task = once(traced.look, label="look")
    [run] = claimed()
    outcome = run_inline(run)
    found = spans()
    sent, processed, inner = found["send default"], found["process default"], found["inner"]
    assert {span.context.trace_id for span in found.values()} == {request.context.trace_id}
    assert sent.parent.span_id == request.context.span_id
    assert processed.parent.span_id == sent.context.span_id
    assert inner.parent.span_id == processed.context.span_id
    assert outcome.result["span"] == f"{inner.context.span_id:016x}"
    assert (sent.kind, processed.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    for span, operation in (sent, "send"), (processed, "process"):
        assert span.attributes["messaging.system"] == "sisy"
        assert span.attributes["messaging.operation.type"] == operation
        assert span.attributes["messaging.destination.name"] == "default"
        assert span.attributes["messaging.message.id"] == str(run.pk)
        assert span.attributes["code.function.name"] == "tests.monitoring.traced.look"
        assert span.attributes["sisy.task.id"] == task.pk
    assert processed.attributes["sisy.run.attempt"] == 1
    assert processed.attributes["sisy.run.outcome"] == "succeeded"
    assert not TraceContext.objects.exclude(run_id=run.pk).exists()


@pytest.mark.parametrize("function", [traced.look, traced.alook])
async def test_the_pool_of_a_worker_calls_functions_within_the_span(function, spans):
    await Task.arun_once(function)
    [run] = await sync_to_async(claimed)()
    pool = ThreadPool(1, lambda: NOON)
    outcome = await executed(pool, run)
    pool.close()
    found = spans()
    assert found["inner"].parent.span_id == found["process default"].context.span_id
    assert found["process default"].parent.span_id == found["send default"].context.span_id
    assert outcome.result["span"] == f"{found['inner'].context.span_id:016x}"


@pytest.mark.parametrize(
    "submit",
    [
        lambda: once(traced.look),
        lambda: Task.bulk_run_once(traced.look, [{"n": 1}, {"n": 2}]),
        lambda: scheduled("0 0 1 1 *", traced.look).run_now(),
        lambda: Run.objects.order_by("pk").last().retry(),
    ],
    ids=["once", "bulk", "run_now", "retry"],
)
def test_each_way_to_submit_a_run_is_traced(submit, spans):
    once(traced.look, delay_until=NOON + HOUR)
    Run.objects.update(state=RunState.SUCCEEDED)
    before = Run.objects.count()
    TraceContext.objects.all().delete()
    submit()
    span = spans()["send default"]
    added = Run.objects.order_by("pk")[before:]
    stored = TraceContext.objects.order_by("run_id")
    assert [kept.run_id for kept in stored] == [run.pk for run in added]
    expected = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"
    assert {kept.traceparent[:-2] for kept in stored} == {expected}


def test_each_attempt_of_a_run_has_a_span_in_the_same_trace(monkeypatch):
    exporter = provide(monkeypatch)
    once(traced.fail, max_attempts=2, retry_delay=timedelta(0))
    for _ in range(2):
        [run] = claimed()
        run_inline(run)
    spans = [span for span in exporter.get_finished_spans() if span.name == "process default"]
    assert [span.attributes["sisy.run.attempt"] for span in spans] == [1, 2]
    assert len({span.context.trace_id for span in spans}) == 1
    for span in spans:
        assert span.status.status_code == StatusCode.ERROR
        assert span.attributes["error.type"] == "builtins.ValueError"
        assert span.events[0].attributes["exception.message"] == "out of tea"


def test_a_run_of_a_schedule_starts_a_trace_of_its_own(spans):
    task = scheduled(fn=traced.look)
    Run.objects.bulk_create([task.new_run(now=NOON, due_at=NOON)])
    [run] = claimed()
    run_inline(run)
    assert spans()["process default"].parent is None
    assert not TraceContext.objects.exists()


def test_nothing_is_stored_if_the_span_is_not_recorded(monkeypatch):
    exporter = provide(monkeypatch, sampler=ALWAYS_OFF)
    once(traced.look)
    run_inline(claimed()[0])
    assert not TraceContext.objects.exists()
    assert not exporter.get_finished_spans()


def statements_of(step):
    with CaptureQueriesContext(connection) as queries:
        step()
    return len(queries)


def test_without_an_sdk_nothing_is_called_and_no_statement_is_added(monkeypatch):
    def submit_and_run():
        once(traced.look, label="look")
        run_inline(claimed()[0])

    submit_and_run()
    called = []
    for name in ("_producer", "_keep", "_read", "_enter", "_leave"):
        monkeypatch.setattr(tracing, name, lambda *args, name=name: called.append(name))
    with_api = statements_of(submit_and_run)
    monkeypatch.setattr(tracer, "installed", None)
    assert statements_of(submit_and_run) == with_api
    assert called == []


def test_without_the_api_there_is_no_tracer(monkeypatch):
    monkeypatch.setattr(tracer, "installed", None)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    otel.connect_if_installed()
    assert tracer.installed is None


class BrokenProcessor(SpanProcessor):
    def on_start(self, span, parent_context=None):
        raise RuntimeError("the exporter is broken")

    def on_end(self, span):
        raise RuntimeError("the exporter is broken")


async def test_an_error_that_raises_anything_ends_its_span_and_its_run(spans):
    await sync_to_async(once)(traced.leave)
    [run] = await sync_to_async(claimed)()
    pool = ThreadPool(1, lambda: NOON)
    try:
        outcome = await executed(pool, run)
    finally:
        pool.close()
    assert outcome.state == RunState.FAILED
    assert spans()["process default"].attributes["error.type"].endswith("traced.Leaving")


def test_a_broken_sdk_breaks_no_submission_and_no_run(monkeypatch, caplog):
    provider = TracerProvider()
    provider.add_span_processor(BrokenProcessor())
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    once(lambda_free)
    [run] = claimed()
    assert run_inline(run).state == RunState.SUCCEEDED


def lambda_free(message):
    return None


def test_a_trace_context_that_cannot_be_stored_does_not_reject_the_run(monkeypatch, spans):
    def reject(*args, **kwargs):
        raise OperationalError("no such table: sisy_tracecontext")

    monkeypatch.setattr(TraceContext.objects, "using", reject)
    once(traced.look)
    [run] = claimed()
    assert run_inline(run).state == RunState.SUCCEEDED
    assert spans()["process default"].parent is None


def test_an_invalid_submission_raises_as_before_and_its_span_says_so(spans):
    with pytest.raises(ValueError, match="label"):
        once(traced.look, label="a\nb")
    assert not Run.objects.exists()
    span = spans().get("send")
    assert span is None or span.status.status_code == StatusCode.ERROR


def test_a_trace_context_is_pruned_with_its_run(spans):
    once(traced.look)
    run_inline(claimed()[0])
    assert TraceContext.objects.count() == 1
    retention.prune_history("default", NOON + 100 * DAY)
    assert not TraceContext.objects.exists()


IN_A_CHILD = """
import asyncio

import django

django.setup()

from sisy.execution import ProcessPool
from tests.monitoring import traced
from tests.support.moments import NOON
from tests.unit.runs import executed, run_of

if __name__ == "__main__":
    run = run_of(traced.look)
    run.trace_context = {"traceparent": "00-" + "5" * 32 + "-" + "7" * 16 + "-01"}
    pool = ProcessPool(1, lambda: NOON)
    print(asyncio.run(executed(pool, run)).result["trace"])
    pool.close()
"""


def test_a_child_process_continues_the_trace(tmp_path):
    script = tmp_path / "in_a_child.py"
    script.write_text(IN_A_CHILD)
    sdk = {"OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider"}
    paths = {"PYTHONPATH": str(ROOT.parent), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    ended = subprocess.run(
        [sys.executable, script],
        env=os.environ | sdk | paths,
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stdout.strip() == "5" * 32, ended.stderr


def test_meters_record_what_ended(monkeypatch):
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    monkeypatch.setattr(metrics._internal, "_METER_PROVIDER", provider)
    once(traced.look)
    once(traced.fail)
    for run in claimed():
        run_inline(run)
    once(traced.look, delay_until=NOON + HOUR).cancel_runs()
    [resource] = reader.get_metrics_data().resource_metrics
    found = {
        (metric.name, *sorted(point.attributes.items())): point
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }

    def of(outcome, reason):
        return (
            "sisy.runs",
            ("messaging.destination.name", "default"),
            ("sisy.run.outcome", outcome),
            ("sisy.run.reason", reason),
        )

    assert found[of("succeeded", "")].value == 1
    assert found[of("failed", "builtins.ValueError")].value == 1
    assert found[of("cancelled", "queued")].value == 1
    queue = ("messaging.destination.name", "default")
    assert found["sisy.run.duration", queue].count == 2
    assert found["sisy.run.lateness", queue].sum == 0
