"""The view ``health``: the findings of ``sisy_health``, for probes that speak HTTP."""

import math
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, router
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from sisy import clock
from sisy.models import Task
from sisy.reports.alerts.health import Finding, health, queues_to_check
from sisy.runtime.log import logger
from sisy.runtime.worker_options import queue_names

DEFAULT_LIMIT = 60.0  # seconds
MAX_LIMIT = 31_536_000.0  # seconds


def health_view(request: HttpRequest) -> HttpResponseBase:
    """Answer 200 if the site is healthy, 503 if it is not, and 400 for an invalid parameter.

    ``?queues=default,mail`` and ``?max_overdue=300`` mean the same as the options of
    ``sisy_health``.
    """
    try:
        queues = _queues(request.GET.get("queues"))
        limit = _limit(request.GET.get("max_overdue"))
    except ValueError as error:
        return JsonResponse({"error": str(error)}, status=400)
    try:
        using = router.db_for_write(Task)
        needed = queues or queues_to_check(using)
        found = health(using, clock.now(using), needed, limit, is_limited=bool(queues))
    except (DatabaseError, InterfaceError) as error:
        logger.warning("Cannot check the health of the site: %s", error)
        words = f"cannot query the database: {type(error).__name__}"
        found = [Finding(name="database", is_well=False, words=words)]
    is_well = all(finding.is_well for finding in found)
    answer = {
        "status": "healthy" if is_well else "unhealthy",
        "checks": [finding.row for finding in found],
    }
    return JsonResponse(answer, status=200 if is_well else 503)


def _queues(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    return queue_names([name.strip() for name in text.split(",") if name.strip()])


def _limit(text: str | None) -> timedelta:
    try:
        seconds = DEFAULT_LIMIT if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_LIMIT:  # NaN is not
        raise ValueError(f"{text!r:.80} is not valid. Use 0 to {MAX_LIMIT:.0f} seconds.")
    return timedelta(seconds=seconds)
