"""The list of tasks: to find one, to see how it does, to do something with many."""

import re
from urllib.parse import urlencode

import pytest

from sisy.alerting.problem import of_queue
from sisy.models import Alert, Queue, Run, RunState, Task, TaskState
from sisy.records.problems import Kind
from sisy.reports import tasks as tasks_report
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.dashboard.pressing import press
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import open_alert, scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PAGE = "/sisy/tasks/"


def listed(**asked):
    """Return the labels that the list shows, in its order."""
    page = browser_of("view_task").get(f"{PAGE}?{urlencode(asked)}").content.decode()
    return re.findall(r'<th scope="row" class="label"><a href="[^"]*">(.*?)</a>', page)


def ended(task, state=RunState.SUCCEEDED, took=SECOND, ago=HOUR):
    moment = NOON - ago
    times = {"started_at": moment, "finished_at": moment + took, "due_at": moment}
    task.new_run(now=moment, state=state, attempt=1, **times).save()


def test_tasks_are_listed_by_when_they_run_next():
    scheduled("0 15 * * *", label="later")
    scheduled("0 13 * * *", label="soon")
    scheduled("0 14 * * *", label="never").pause()
    assert listed(sort="next_run") == ["soon", "later", "never"]


def test_a_task_has_the_problems_of_its_queue():
    task, other = scheduled(label="labels", queue="labels"), scheduled(label="mail")
    words = {"kind": Kind.NO_WORKER, "queue": "labels", "why": "No worker serves the queue."}
    about = {"subject": of_queue("labels"), "open_key": "no_worker:queue:labels"}
    Alert.objects.create(since=NOON, opened_at=NOON, **words, **about)
    Queue.objects.pause("default")
    text = text_of(browser_of("view_task").get(PAGE))
    assert text.count("no worker") == 1
    assert "default ‖ paused" in text
    alerts = [
        text_of(browser_of("view_task").get(f"{PAGE}{one.pk}/?parts=alerts"))
        for one in (task, other)
    ]
    assert ["No worker serves the queue." in shown for shown in alerts] == [True, False]
    scheduled(label="old", queue="labels").pause()
    assert listed(state="attention") == ["labels"]


def test_a_task_is_shown_with_its_schedule_in_words_and_both_zones():
    task = scheduled("30 14 * * *", label="report")
    task.timezone = "America/New_York"
    task.save()
    text = text_of(browser_of("view_task").get(PAGE))
    assert "30 14 * * * At 14:30 (America/New_York)" in text
    assert "18:30:00 Tue 14:30:00 EDT" in text


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"search": "PRICE"}, ["import prices"]),
        ({"search": "jobs.arecord"}, ["send mail"]),
        ({"state": "paused"}, ["old"]),
        ({"state": "attention"}, ["broken one", "lost its target"]),
        ({"queue": "slow"}, ["send mail"]),
        ({"target": "tests.app.jobs.arecord"}, ["send mail"]),
        ({"search": "nothing like it"}, []),
        ({"state": "nonsense", "search": "old"}, []),
        ({"sort": "nonsense", "search": "old"}, ["old"]),
    ],
)
def test_tasks_are_found_by_their_visible_fields(asked, found):
    from tests.app import jobs

    scheduled(label="import prices")
    scheduled(label="send mail", fn=jobs.arecord, queue="slow")
    scheduled(label="old").pause()
    broken, lost = scheduled(label="broken one"), scheduled(label="lost its target")
    Task._base_manager.filter(pk=broken.pk).update(state=TaskState.BROKEN, next_run=None)
    Task._base_manager.filter(pk=lost.pk).update(target_error="no such function", next_run=None)
    assert listed(**asked) == found


@pytest.mark.parametrize("sort", ["next_run", "label", "last_run"])
def test_each_task_is_on_exactly_one_page(sort, monkeypatch):
    monkeypatch.setattr(tasks_report, "PAGE_LIMIT", 3)
    for n in range(8):
        task = scheduled("0 * * * *", label=f"task | {n % 3}")
        moments = {"next_run": NOON + (n % 2) * HOUR, "last_run": NOON - (n % 2) * HOUR}
        if n > 4:
            moments[sort] = None
        if sort != "label":
            Task._base_manager.filter(pk=task.pk).update(**moments)
    client, seen, address = browser_of("view_task"), [], f"{PAGE}?sort={sort}"
    while address:
        page = client.get(address).content.decode()
        seen.append(re.findall(r'id="task-(\d+)"', page))
        found = re.search(r'<a href="([^"]*)" rel="next"', page)
        address = PAGE + found[1].replace("&amp;", "&") if found else ""
    assert list(map(len, seen)) == [3, 3, 2]
    pks = [pk for page in seen for pk in page]
    assert sorted(pks, key=int) == [
        str(pk) for pk in Task.objects.values_list("pk", flat=True).order_by("pk")
    ]


@pytest.mark.parametrize("after", ["x", "|", "2026-13-45|5", "2026-05-05|5", "9" * 400, "|-1"])
def test_an_invalid_page_number_is_the_first_page(after):
    scheduled(label="here")
    assert listed(after=after) == ["here"]


def test_the_latest_runs_are_squares_that_lead_to_the_runs():
    task = scheduled(label="report")
    for n in range(3):
        ended(task, took=(n + 1) * MINUTE, ago=(9 - n) * HOUR)
    ended(task, RunState.FAILED, ago=MINUTE)
    task.new_run(now=NOON, ready_at=NOON + HOUR, state=RunState.QUEUED).save()  # planned ahead
    page = browser_of("view_task").get(PAGE)
    squares = re.findall(r'<a href="(\S+)" tabindex=-1(.*?)></a>', page.content.decode())
    newest_first = task.runs.filter(state__in=["failed", "succeeded"]).order_by("-pk")
    assert [address for address, _ in squares] == [f"/sisy/runs/{run.pk}/" for run in newest_first]
    assert squares[0][1] == ' class="failed" title="failed · 11:59:00 · 1 s"'
    assert squares[1][1] == ' title="succeeded · 05:00:00 · 3 min"'
    assert "75 % 3/4 2 min p95 3 min" in text_of(page)


def test_the_latest_run_is_the_one_of_the_latest_occurrence():
    task = scheduled("0 0 1 1 *")
    ended(task, RunState.FAILED, ago=2 * HOUR)
    ended(task, ago=HOUR)
    early = Run.objects.get(due_at=NOON - 2 * HOUR)
    columns = {"retry_of": early, "occurrence_at": early.due_at, "state": RunState.FAILED}
    task.new_run(now=NOON, **columns).save()
    assert "succeeded 11:00:00" in text_of(browser_of("view_task").get(PAGE))


def test_a_task_that_flaps_is_flapping_as_on_the_overview():
    task, other = scheduled("0 0 1 1 *", label="a"), scheduled("0 0 1 1 *", label="b")
    for ago in range(20, 0, -1):
        state = RunState.FAILED if ago % 4 == 0 else RunState.SUCCEEDED
        ended(task, state, ago=ago * MINUTE)
    ended(other, RunState.FAILED)
    for one in (task, other):
        open_alert(one, Kind.FAILING, NOON)
    text = text_of(browser_of("view_task").get(PAGE))
    assert "a ● active ⇅ flapping" in text
    assert "b ● active ✕ failing" in text


def test_a_task_that_never_ran_has_no_figures():
    scheduled(label="report")
    page = browser_of("view_task").get(PAGE)
    assert " - - - default" in text_of(page)
    assert "p95" not in text_of(page)


def test_an_action_applies_to_the_selected_tasks():
    first, second, other = scheduled(label="a"), scheduled(label="b"), scheduled(label="c")
    client = browser_of_superuser()
    ticked = {"pk": [first.pk, second.pk], "reason": "stocktaking", "next": f"{PAGE}?sort=label"}
    page = press(client, "/sisy/tasks/do/pause/", ticked | {"hours": "8"})
    assert "Paused 2 tasks. Sisy resumes them at 2026-05-05 20:00:00 UTC." in text_of(page)
    assert "stocktaking (paused by Sam)" in text_of(page)
    other.refresh_from_db()
    assert other.state == TaskState.ACTIVE
    page = press(client, "/sisy/tasks/do/resume/", ticked)
    assert "Resumed 2 tasks." in text_of(page)
    page = press(client, "/sisy/tasks/do/run/", ticked)
    assert "Submitted 2 runs." in text_of(page)
    page = press(client, "/sisy/tasks/do/cancel/", ticked)
    assert "Cancelled 2 queued runs." in text_of(page)
    page = client.post("/sisy/tasks/do/run/", {"pk": ["x", "-1", "9" * 30]}, follow=True)
    assert "Unknown tasks: 'x', '-1'" in text_of(page)


def test_only_permitted_actions_are_offered():
    scheduled()
    page = browser_of("view_task", "pause_task").get(PAGE).content.decode()
    assert "do/pause/" in page
    assert "do/run/" not in page
    assert "do/cancel/" not in page


def test_an_empty_site_explains_how_to_create_tasks():
    assert "No tasks yet." in text_of(browser_of("view_task").get(PAGE))
    assert "No matching tasks." in text_of(browser_of("view_task").get(f"{PAGE}?search=x"))


def test_the_lists_queries_do_not_grow_with_the_tasks(django_assert_max_num_queries):
    for n in range(40):
        ended(scheduled(label=f"task {n}"))
    client = browser_of("view_task")
    client.get(PAGE)
    with django_assert_max_num_queries(13):
        client.get(PAGE)
