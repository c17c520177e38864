"""Connect OpenTelemetry, if its API is installed."""

from importlib.util import find_spec

from sisy.runtime import tracer


def connect_if_installed() -> None:
    """Follow runs with spans and instruments. Does nothing without opentelemetry-api."""
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.trace") is None:
        return
    from sisy.monitoring import meters
    from sisy.monitoring.tracing import OpenTelemetry

    meters.connect()
    tracer.install(OpenTelemetry())
