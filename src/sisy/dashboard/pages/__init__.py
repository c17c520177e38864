"""The routes of all pages and of the views behind their buttons, by name."""

from typing import Any

from sisy.dashboard.pages.acting import (
    AlertActing,
    ProcessActing,
    QueueActing,
    RunActing,
    TaskActing,
)
from sisy.dashboard.pages.alerts import AlertsPage
from sisy.dashboard.pages.backfill import BackfillPage
from sisy.dashboard.pages.editor import EditorPage
from sisy.dashboard.pages.export import ExportView
from sisy.dashboard.pages.fleet import FleetPage
from sisy.dashboard.pages.frame import FindView, PreferencesView
from sisy.dashboard.pages.load import LoadPage
from sisy.dashboard.pages.matching import MatchingPage
from sisy.dashboard.pages.missed import MissedPage
from sisy.dashboard.pages.overview import OverviewPage
from sisy.dashboard.pages.peak import PeakPage
from sisy.dashboard.pages.reschedule import ReschedulePage
from sisy.dashboard.pages.revert import RevertPage
from sisy.dashboard.pages.run import RunPage
from sisy.dashboard.pages.runs import RunsPage
from sisy.dashboard.pages.task import TaskPage
from sisy.dashboard.pages.tasks import TasksPage

PAGES: dict[str, tuple[str, Any]] = {
    "overview": ("", OverviewPage),
    "tasks": ("tasks/", TasksPage),
    "task": ("tasks/<int:pk>/", TaskPage),
    "missed": ("tasks/missed/", MissedPage),
    "backfill": ("tasks/<int:pk>/backfill/", BackfillPage),
    "reschedule": ("tasks/<int:pk>/schedule/", ReschedulePage),
    "revert": ("tasks/<int:pk>/changes/<int:change>/revert/", RevertPage),
    "runs": ("runs/", RunsPage),
    "run": ("runs/<int:pk>/", RunPage),
    "act_on_matching": ("runs/matching/<str:verb>/", MatchingPage),
    "export_runs": ("runs/export.<str:kind>", ExportView),
    "load": ("load/", LoadPage),
    "peak": ("load/peak/", PeakPage),
    "fleet": ("fleet/", FleetPage),
    "editor": ("schedule/", EditorPage),
    "find": ("find/", FindView),
    "preferences": ("preferences/", PreferencesView),
    "act_on_tasks": ("tasks/do/<str:verb>/", TaskActing),
    "act_on_runs": ("runs/do/<str:verb>/", RunActing),
    "alerts": ("alerts/", AlertsPage),
    "act_on_alerts": ("alerts/do/<str:verb>/", AlertActing),
    "act_on_process": ("processes/do/<str:verb>/", ProcessActing),
    "act_on_queue": ("queues/do/<str:verb>/", QueueActing),
}
