"""All pages and what their buttons do, by name, with the routes under which they hang."""

from typing import Any

from sisy.dashboard.pages.acting import QueueActing, RunActing, TaskActing
from sisy.dashboard.pages.overview import OverviewPage

PAGES: dict[str, tuple[str, Any]] = {
    "overview": ("", OverviewPage),
    "act_on_tasks": ("tasks/do/<str:verb>/", TaskActing),
    "act_on_runs": ("runs/do/<str:verb>/", RunActing),
    "act_on_queue": ("queues/do/<str:verb>/", QueueActing),
}
