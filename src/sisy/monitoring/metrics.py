"""The view ``metrics``: the metrics of a site, for Prometheus and others that read OpenMetrics."""

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse

from sisy.runtime.log import logger

MISSING = (
    "The metrics need prometheus_client. Install it where the web server runs: "
    "pip install 'sisy[metrics]'\n"
)


def metrics_view(request: HttpRequest) -> HttpResponse:
    """Answer with the metrics, in the format that the client asks for.

    The status is 501 if prometheus_client is not installed, and 503 if the database is
    unavailable.
    """
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        return HttpResponse(MISSING, content_type="text/plain", status=501)
    from sisy.monitoring.exposition import exposition

    try:
        metrics, content_type = exposition(request.headers.get("Accept", ""))
        return HttpResponse(metrics, content_type=content_type)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("Cannot collect metrics: %s", error)
        words = f"Cannot query the database: {type(error).__name__}.\n"
        return HttpResponse(words, content_type="text/plain", status=503)
