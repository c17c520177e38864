"""One "due next" on every page: what is left of iterations, until the end, unless it is paused."""

from datetime import timedelta
from urllib.parse import urlencode

import pytest

from sisy.models import RunState, Task
from sisy.planning.timing import occurrences
from sisy.reports.durations import usual_by_task
from sisy.reports.forecast import occurrences_of
from sisy.reports.load import cells, due_groups
from tests.admin.pages import text_of
from tests.admin.people import browser_of_superuser
from tests.commands.calling import told
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def shown_on_each_page(task):
    """Return how many moments each place shows as due next."""
    client = browser_of_superuser()
    change = client.get(f"/admin/sisy/task/{task.pk}/change/").content.decode()
    _, _, listed = change.partition("data-sisy-occurrences")
    typed = {
        "label": task.label,
        "schedule": task.schedule,
        "timezone": task.timezone,
        "iterations": task.iterations or "",
        "task": task.pk,
    }
    if task.end_running:
        typed |= {"end_running_0": f"{task.end_running:%Y-%m-%d}"}
        typed |= {"end_running_1": f"{task.end_running:%H:%M:%S}"}
    form = client.get(f"/admin/sisy/task/occurrences/?{urlencode(typed)}").content.decode()
    page = client.get(f"/sisy/tasks/{task.pk}/?parts=coming").content.decode()
    groups = due_groups("default", NOON, NOON + 7 * DAY).groups
    week = cells(groups, NOON + SECOND, HOUR, 7 * 24)  # the map itself begins with the hour
    return {
        "admin": listed.partition("</div>")[0].count("<li>"),
        "form": form.count("<li>"),
        "page": page.count("<li>"),
        "command": len(told(f"sisy_tasks next {task.pk} -n 5")),
        "load": round(sum(cell.starts for cell in week)),
    }


def test_only_the_remaining_iterations_are_due_next():
    task = scheduled("0 * * * *", label="tea", iterations=3)
    Task._base_manager.update(runs_planned=2)
    assert set(shown_on_each_page(stored(task)).values()) == {1}


def test_a_paused_task_has_no_next_run():
    task = scheduled("0 * * * *", label="tea")
    task.pause()
    counts = shown_on_each_page(stored(task))
    assert set(counts.values()) == {0}, counts
    text = text_of(browser_of_superuser().get(f"/sisy/tasks/{task.pk}/?parts=coming"))
    assert "the task is paused." in text


def test_a_task_has_no_next_run_after_its_end():
    task = scheduled("0 * * * *", label="tea", end_running=NOON + 3 * HOUR)
    assert set(shown_on_each_page(stored(task)).values()) == {2}


def test_occurrences_before_a_range_use_up_iterations():
    task = stored(scheduled("0 * * * *", label="tea", iterations=5))
    assert len(list(occurrences(task, NOON + 3 * HOUR))) == 2
    assert len(list(occurrences_of([task], NOON + 3 * HOUR + MINUTE, NOON + DAY))) == 2
    assert list(occurrences(task, NOON + DAY)) == []


def test_the_usual_duration_is_the_same_on_every_page():
    task = scheduled("0 13 * * *", label="tea")
    for n, seconds in enumerate((1, 2, 3, 2, 500)):
        begin = NOON - DAY + n * HOUR
        task.new_run(
            now=begin,
            state=RunState.SUCCEEDED,
            started_at=begin,
            finished_at=begin + timedelta(seconds=seconds),
        ).save()
    assert usual_by_task("default", [task.pk]) == {task.pk: 2 * SECOND}
    client = browser_of_superuser()
    assert "typical duration 2 s" in text_of(client.get("/sisy/?parts=timeline"))
    assert " 2 s " in text_of(client.get("/sisy/tasks/?parts=list"))
    [group] = due_groups("default", NOON, NOON + DAY).groups
    assert group.takes == 2 * SECOND
