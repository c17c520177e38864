"""The page of a run."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext

from sisy.dashboard.actions.runs import unfit
from sisy.dashboard.charts.waterfall import waterfall
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.alert_rows import rows_of
from sisy.dashboard.pages.page import BEAT, OUTPUT, RUNS, Missing, Page, Part
from sisy.messaging import messages
from sisy.models import Attempt, Run, RunState
from sisy.planning.catch_up import is_caught_up
from sisy.records.choices import LIVE_STATES
from sisy.reports.alerts import open_alerts
from sisy.reports.alerts.grouping import grouped
from sisy.reports.alerts.recorded import about_run
from sisy.reports.explain import why_queued
from sisy.reports.ledger import blocker_of, has_returned, related
from sisy.reports.output import outputs_of
from sisy.reports.phases import attempts_of, steps_of
from sisy.reports.run_commands import commands_of


class RunPage(Page):
    """Shows a run's outcome, output, attempts, input, related runs and commands."""

    name = "run"
    tab = "runs"
    sheets = ("sisy/overview.css", "sisy/run.css")

    def prepare(self, page_request: PageRequest) -> None:
        runs = Run.objects.using(page_request.using).select_related("task", "process")
        page_request.keys["run"] = runs.filter(pk=page_request.keys["pk"]).first()
        if page_request.keys["run"] is None:
            raise Missing(
                gettext("Run #%d does not exist, or has been deleted after its retention time.")
                % page_request.keys["pk"],
                [(page_request.address("runs"), gettext("All runs"))],
            )

    def trail(self, page_request: PageRequest) -> list[tuple[str, Any]]:
        run = run_of(page_request)
        if run.task is None:
            return [(page_request.address("runs"), gettext("Runs"))]
        return [
            (page_request.address("tasks"), gettext("Tasks")),
            (page_request.address("task", run.task_id), run.task.label),
        ]

    def zone_of(self, page_request: PageRequest) -> str:
        task = run_of(page_request).task
        return task.timezone if task else ""

    def title_of(self, page_request: PageRequest) -> str:
        return str(run_of(page_request))


def run_of(page_request: PageRequest) -> Run:
    """Return the run of the page."""
    run: Run = page_request.keys["run"]
    return run


def build_head(page_request: PageRequest) -> dict[str, Any]:
    run = run_of(page_request)
    may = {"cancel": "cancel_run", "cancel_force": "cancel_run", "retry": "run_task"}
    fit = [verb for verb in may if verb not in unfit(run) and page_request.may(may[verb])]
    is_queued = run.state == RunState.QUEUED
    zone = timezone.get_current_timezone()
    may_see = page_request.sees_details
    return {
        "run": run,
        "verbs": fit,
        "here": page_request.address("run", run.pk),
        "is_caught_up": is_caught_up(run) and run.state != RunState.MISSED,
        "why": why_queued(run, page_request.now, zone) if is_queued else "",
        "may_see": may_see,
        "is_over": run.state not in LIVE_STATES,
        "has_returned": may_see and has_returned(run),
        "result": run.result if may_see else None,
    }


def build_steps(page_request: PageRequest) -> dict[str, Any]:
    run = run_of(page_request)
    earlier = list(Attempt.before(run))
    return {
        "run": run,
        "may_see": page_request.sees_details,
        "earlier": earlier,
        "chart": waterfall(attempts_of(run, earlier, page_request.now)),
        "steps": steps_of(run, earlier),
    }


def build_what(page_request: PageRequest) -> dict[str, Any]:
    run = run_of(page_request)
    may_see = page_request.sees_details
    return {
        "run": run,
        "may_see": may_see,
        "message": dict(messages.run_task(run, max(1, run.attempt))),
        # A run of a schedule reads the data of its task when it starts.
        "is_of_task": not run.payload and run.task is not None and bool(run.task.userdata),
        "payload": (run.payload or (run.task.userdata if run.task else {})) if may_see else None,
    }


def build_related(page_request: PageRequest) -> dict[str, Any]:
    run = run_of(page_request)
    return {"related": related(run), "blocker": blocker_of(run, page_request.now)}


def build_commands(page_request: PageRequest) -> dict[str, Any]:
    return {"commands": commands_of(run_of(page_request))}


def build_output(page_request: PageRequest) -> dict[str, Any]:
    run = run_of(page_request)
    outputs = outputs_of(run)
    return {
        "is_running": run.state == RunState.RUNNING,
        "may_see": page_request.sees_details,
        "outputs": outputs,
        "latest": outputs[-1] if outputs else None,
        "earlier": outputs[:-1],
    }


def build_alerts(page_request: PageRequest) -> dict[str, Any]:
    """Return the alerts that were opened because of this run."""
    run = run_of(page_request)
    using, now, in_full = page_request.using, page_request.now, page_request.sees_details
    groups = grouped(open_alerts(using, now, about_run(run), in_full=in_full))
    return {"run": run, **rows_of(page_request, groups)}


RunPage.parts = (
    Part(name="head", build=build_head, stale_on=(RUNS, BEAT)),
    Part(name="alerts", build=build_alerts, stale_on=(RUNS, BEAT)),
    Part(name="output", build=build_output, stale_on=(RUNS, OUTPUT)),
    Part(name="steps", build=build_steps, stale_on=(RUNS, BEAT)),
    Part(name="related", build=build_related, stale_on=(RUNS,)),
    Part(name="what", build=build_what, stale_on=(RUNS,)),
    Part(name="commands", build=build_commands, stale_on=(RUNS,)),
)
