"""The export of the runs that match the filters, as CSV or JSON, one part at a time."""

import csv
import json
from collections.abc import AsyncIterator, Iterator
from itertools import chain, islice
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import (
    Http404,
    HttpRequest,
    HttpResponseBadRequest,
    HttpResponseBase,
    StreamingHttpResponse,
)
from django.utils.translation import gettext
from django.views import View

from sisy.dashboard.access import Dashboard
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.runs import problems_of, search_of
from sisy.models import Run
from sisy.reports import disclosure
from sisy.reports.run_filter import RunFilter, page_of_runs
from sisy.reports.run_search import find_all
from sisy.reports.spreadsheet import safe_cell

MAX_EXPORTED = 100_000  # runs
LINES_AT_ONCE = 500
KINDS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


class ExportView(View):
    """Streams matching runs in the order of the list, at most `MAX_EXPORTED`."""

    dashboard: Dashboard = Dashboard()
    """The dashboard to which it belongs; set when it is mounted."""

    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        if kind not in KINDS:
            raise Http404(gettext("Use csv or json."))
        page_request = PageRequest(self.dashboard, request, {})
        if problems := problems_of(page_request):
            return HttpResponseBadRequest("\n".join(problems), content_type="text/plain")
        write = csv_lines if kind == "csv" else json_lines
        lines = write(rows(page_request))
        # Django would read all of a plain iterator before it sends anything under ASGI.
        content = in_async(lines) if isinstance(request, ASGIRequest) else lines
        answer = StreamingHttpResponse(content, content_type=KINDS[kind])
        answer["Content-Disposition"] = f'attachment; filename="runs.{kind}"'
        answer["X-Content-Type-Options"] = "nosniff"
        return answer


async def in_async(lines: Iterator[str]) -> AsyncIterator[str]:
    """Yield the lines some at a time, each time in the thread of the request."""
    while some := await sync_to_async(_next)(lines):
        yield some


def _next(lines: Iterator[str]) -> str:
    return "".join(islice(lines, LINES_AT_ONCE))


def rows(page_request: PageRequest) -> Iterator[dict[str, Any]]:
    """Yield a row for each matching run; for each run of the sorted list if an order is given."""
    filters, search = RunFilter.of(page_request.asked), search_of(page_request)
    found = (
        iter([page_of_runs(page_request.using, search, filters, None)])
        if filters.is_sorted
        else find_all(page_request.using, search, most=MAX_EXPORTED)
    )
    for run in chain.from_iterable(part.runs for part in found):
        yield row_of(run, in_full=page_request.sees_details)


def row_of(run: Run, *, in_full: bool) -> dict[str, Any]:
    """Return the columns of a run, durations in seconds. The reason is cut as on pages."""
    moments = {
        name: moment.isoformat() if (moment := getattr(run, name)) else None
        for name in ("due_at", "occurrence_at", "planned_at", "started_at", "finished_at")
    }
    return {
        "run": run.pk,
        "task": run.task_id,
        "label": run.label,
        "function": run.target_path,
        "state": run.state,
        "origin": run.origin,
        "queue": run.queue,
        "attempt": run.attempt,
        **moments,
        "delay": run.lateness.total_seconds() if run.lateness is not None else None,
        "duration": run.duration.total_seconds() if run.duration is not None else None,
        "worker": run.worker_name,
        "reason": disclosure.reason_of(run, in_full=in_full),
    }


class _Line:
    """A file for `csv.writer` that returns each line instead of storing it."""

    def write(self, text: str) -> str:
        return text


def csv_lines(found: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield CSV with a header. No cell begins a formula."""
    writer, has_header = csv.writer(_Line(), lineterminator="\n"), False
    for row in found:
        if not has_header:
            yield writer.writerow(row)
            has_header = True
        yield writer.writerow([safe_cell(value) for value in row.values()])


def json_lines(found: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield a JSON array, one run a line."""
    before = "[\n"
    for row in found:
        yield before + json.dumps(row)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"
