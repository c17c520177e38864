"""Which alerts opened and closed in the night? A page lists all of them, newest first."""

import re
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.models import Alert, RunState, Task
from sisy.records.problems import Kind
from sisy.reports.alerts import history, recovered
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.commands.calling import said
from tests.docs.pages import DOCS
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import open_alert, scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PAGE = "/sisy/alerts/"
BUSY = "all 4 worker slots for the queue 'default' are in use"
LATE = {"cause": BUSY, "why": f"A run has been queued for 5 min: {BUSY}."}


def closed(task, kind=Kind.FAILING, at=NOON - HOUR, since=NOON - 2 * HOUR, **fields):
    """Store an alert that a heartbeat closed."""
    known = {
        "why": "The latest run failed: KeyError.",
        "close_reason": "The latest run succeeded.",
    }
    alert = open_alert(task, kind, since, **{**known, **fields})
    Alert.objects.filter(pk=alert.pk).update(open_key=None, closed_at=at)
    return alert


def late(number, **fields):
    """Store the closed alerts of as many tasks that were late together."""
    known = {"close_reason": "The run has started.", **LATE, **fields}
    return [closed(scheduled(label=f"invoice {n}"), Kind.LATE, **known) for n in range(number)]


def rows_of(page):
    html = page.content.decode().partition("<tbody>")[2].partition("</tbody>")[0]
    rows = html.split("</tr>")[:-1]
    return [" ".join(unescape(re.sub("<[^>]*>", " ", row)).split()) for row in rows]


def shown(browser=None, **asked):
    return rows_of((browser or browser_of("view_task")).get(PAGE, asked))


def test_each_alert_says_what_it_was_about_how_long_it_lasted_and_why_it_closed():
    run = scheduled("0 0 1 1 *", label="import").run_now()
    closed(run.task, run_id=run.pk)
    page = browser_of("view_task").get(PAGE)
    [row] = rows_of(page)
    assert row.startswith("✕ failing import ✓ closed The latest run succeeded. 10:00:00 1 h")
    assert row.endswith(f"#{run.pk} The latest run failed: KeyError.")
    html = page.content.decode()
    assert f'href="/sisy/tasks/{run.task_id}/"' in html
    assert f'href="/sisy/runs/{run.pk}/"' in html


def test_the_newest_alert_is_the_first_whether_open_or_closed():
    open_alert(scheduled(label="first"), Kind.FAILING, NOON, why="It fails.")
    closed(scheduled(label="second"))
    open_alert(scheduled(label="third"), Kind.SLOW, NOON, why="It is slow.")
    assert [row.split()[-1] for row in shown()] == ["slow.", "KeyError.", "fails."]
    assert ["open" in row.split() for row in shown()] == [True, False, True]


def test_of_alerts_opened_together_the_problem_that_began_last_is_first():
    """Such as those about what an outage prevented, whose keys are in the order of the tasks."""
    for hours in (2, 1, 3):
        task = scheduled(label=f"{hours} h ago")
        open_alert(task, Kind.MISSED, NOON, since=NOON - hours * HOUR)
        closed(task, Kind.LATE, NOON, NOON)
    open_alert(scheduled(label="newest"), Kind.MISSED, NOON + MINUTE, since=NOON - 9 * HOUR)
    open_rows = [row for row in shown() if "missed" in row]
    assert [row.split()[2] for row in open_rows] == ["newest", "1", "2", "3"]
    assert [line.split()[3] for line in said("sisy_alerts list").splitlines()[2:6]] == [
        "newest",
        "1",
        "2",
        "3",
    ]


def test_an_open_alert_says_who_handles_it():
    alerts = [open_alert(scheduled(label=f"task {n}"), Kind.SILENT, NOON) for n in range(3)]
    Alert.objects.filter(pk=alerts[0].pk).acknowledge("ann", NOON)
    Alert.objects.filter(pk=alerts[1].pk).mute(NOON + HOUR, "bob")
    is_open, is_muted, is_acknowledged = shown()
    assert "! silent task 2 ! open 12:00:00 - " in f"{is_open} "
    assert "‖ muted until 13:00:00" in is_muted
    assert "✎ acknowledged by ann" in is_acknowledged


def test_a_closed_alert_says_which_person_closed_or_acknowledged_it():
    alert = open_alert(scheduled(), Kind.FAILING, NOON - HOUR)
    Alert.objects.filter(pk=alert.pk).acknowledge("ann", NOON - MINUTE)
    Alert.objects.filter(pk=alert.pk).close("bob", NOON)
    assert "✓ closed by bob acknowledged by ann 11:00:00 1 h" in shown()[0]


def test_closed_alerts_of_one_problem_are_one_row_as_in_the_command():
    alerts = late(16)
    closed(scheduled(label="other"))
    page = browser_of("view_task").get(PAGE)
    other, row = rows_of(page)
    assert row.startswith("◷ late invoice 15 and 15 more ✓ closed The run has started. 10:00:00")
    assert other.split()[2] == "other"
    html = page.content.decode()
    assert all(f'href="/sisy/tasks/{alert.task_id}/"' in html for alert in alerts)
    assert "invoice 15 and 15 more" in said("sisy_alerts list --all")


def test_texts_that_differ_are_one_row_with_their_cause():
    for number, alert in enumerate(late(3)):
        Alert.objects.filter(pk=alert.pk).update(why=f"Queued for {number} min: {BUSY}.")
    [row] = shown()
    assert f"A{BUSY[1:]}. Show all 3" in row
    assert "min:" not in row


def test_what_a_person_closed_is_not_in_one_row_with_what_recovered():
    alerts = late(3)
    Alert.objects.filter(pk=alerts[0].pk).update(closed_by="ann", closed_at=NOON)
    together, alone = shown()
    assert "invoice 2 and 1 more ✓ closed The run has started. 10:00:00 1 h" in together
    assert "invoice 0 ✓ closed by ann 10:00:00 2 h" in alone


def test_an_alert_about_a_queue_names_it_and_one_about_a_function_too():
    for subject, known in (
        ("queue:mail", {"kind": Kind.NO_WORKER, "queue": "mail"}),
        ("call:shop.jobs.send", {"kind": Kind.FAILING, "label": "shop.jobs.send"}),
    ):
        Alert.objects.create(subject=subject, since=NOON, opened_at=NOON, open_key="x", **known)
        Alert.objects.update(open_key=None, closed_at=NOON)
    of_function, of_queue = shown()
    assert of_function.startswith("✕ failing shop.jobs.send ✓ closed")
    assert of_queue.startswith("! no worker queue mail ✓ closed")


def test_deleted_tasks_and_runs_are_named_without_a_link():
    task = scheduled(label="import")
    closed(task, run_id=9)
    task.delete()
    page = browser_of("view_task").get(PAGE)
    assert "import" in rows_of(page)[0]
    assert "#9" not in rows_of(page)[0]
    assert f'href="/sisy/tasks/{task.pk}' not in page.content.decode()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["too", "late", "failing"]),
        ({"state": "open"}, ["too"]),
        ({"state": "closed"}, ["late", "failing"]),
        ({"kind": "late"}, ["late"]),
        ({"kind": "late", "state": "open"}, []),
        ({"kind": "nonsense"}, []),
        ({"state": "nonsense"}, []),
        ({"task": "nonsense"}, []),
    ],
)
def test_alerts_are_filtered_by_state_and_kind(asked, found):
    closed(scheduled())
    late(1)
    open_alert(scheduled(), Kind.SLOW, NOON)
    rows = shown(**asked)
    assert [row.split()[1] for row in rows if row != "No alerts match."] == found


def test_alerts_of_one_task_are_found_by_its_key_and_its_page_links_to_them():
    task, other = scheduled(label="import"), scheduled(label="other")
    for _ in range(2):
        closed(task)
    closed(other)
    page = browser_of("view_task").get(PAGE, {"task": task.pk, "state": "closed"})
    assert "Only alerts of import · All tasks" in text_of(page)
    assert [row.split()[2] for row in rows_of(page)] == ["import"]
    link = f'<a href="{PAGE}?task={task.pk}">2 so far</a>'
    assert link in browser_of("view_task").get(f"/sisy/tasks/{task.pk}/").content.decode()
    never = scheduled()
    assert "?task=" not in browser_of("view_task").get(f"/sisy/tasks/{never.pk}/?parts=head")


def test_an_empty_page_says_whether_there_is_no_alert_or_none_that_matches():
    assert shown() == ["No alerts yet."]
    assert shown(state="open") == ["No alerts match."]


def followed(name):
    """Return the labels on each page, from the newest to the last, by following a link."""
    browser, address, pages = browser_of("view_task"), PAGE, []
    while address:
        page = browser.get(address)
        pages.append([row.split()[2] for row in rows_of(page)])
        link = re.search(rf'href="(\?[^"]*)"[^>]*>{name}<', page.content.decode())
        address = link and f"{PAGE}{unescape(link[1])}"
    return pages


def test_older_alerts_are_on_further_pages_and_none_is_twice(monkeypatch):
    monkeypatch.setattr(history, "PAGE_LIMIT", 2)
    for n in range(5):
        closed(scheduled(label=f"task-{n}"), since=NOON - n * MINUTE)
    assert followed("Older") == [["task-4", "task-3"], ["task-2", "task-1"], ["task-0"]]
    newest = browser_of("view_task").get(f"{PAGE}?before=1").content.decode()
    assert '<a href="?">Newest</a>' in newest


def test_alerts_that_share_a_row_do_not_fill_a_page(monkeypatch):
    monkeypatch.setattr(history, "PAGE_LIMIT", 2)
    closed(scheduled(label="before"))
    late(5)
    assert followed("Older") == [["invoice", "before"]]


def test_a_page_reads_a_limited_number_of_alerts(monkeypatch):
    monkeypatch.setattr(history, "MAX_READ", 3)
    late(5)
    assert [row.partition(" ✓")[0] for row in shown()] == ["◷ late invoice 4 and 2 more"]
    assert len(followed("Older")) == 2


def test_a_search_without_an_index_stops_and_can_be_continued(monkeypatch):
    monkeypatch.setattr(history, "MAX_LOOKED_AT", 2)
    wanted = closed(scheduled(label="import"))
    late(3)
    page = browser_of("view_task").get(PAGE, {"kind": "failing"})
    assert rows_of(page) == ["No alerts match."]
    assert "Search further back" in text_of(page)
    assert len(shown(kind="failing", before=wanted.pk + 2)) == 1
    assert len(shown(task=wanted.task_id)) == 1


def test_the_text_of_an_error_is_shown_only_with_the_permission():
    task = scheduled("0 0 1 1 *", label="import")
    run = task.new_run(
        now=NOON,
        state=RunState.FAILED,
        finished_at=NOON,
        reason="KeyError: 'hunter2'",
        error_class="builtins.KeyError",
    )
    run.save()
    why = "The latest run failed: KeyError."
    open_alert(task, Kind.FAILING, NOON, run_id=run.pk, why=why, cause="KeyError")
    assert shown()[0].endswith("The latest run failed: KeyError.")
    in_full = shown(browser_of("view_task", "view_run_details"))
    assert in_full[0].endswith("The latest run failed: KeyError: 'hunter2'.")


def test_only_people_who_may_see_the_overview_see_the_page():
    assert browser_of("view_task").get(PAGE).status_code == 200
    assert browser_of("view_run").get(PAGE).status_code == 403
    in_admin = browser_of("view_task").get("/admin/sisy/task/dashboard/alerts/")
    assert "No alerts yet." in text_of(in_admin)


def test_the_overview_leads_to_all_alerts_and_says_how_many_were_closed():
    overview = browser_of("view_task").get("/sisy/?parts=alerts")
    assert text_of(overview).endswith("All alerts")
    assert f'href="{PAGE}"' in overview.content.decode()
    closed(scheduled(), at=NOON - DAY - MINUTE)
    closed(scheduled(), at=NOON - HOUR)
    overview = browser_of("view_task").get("/sisy/?parts=alerts")
    assert text_of(overview).endswith("All alerts 1 alert was closed in the last 24 hours.")


def test_further_delays_lead_to_the_closed_alerts_in_the_dashboard(monkeypatch):
    monkeypatch.setattr(recovered, "MAX_DELAYS_SHOWN", 0)
    for alert in late(2):
        task = Task.objects.get(pk=alert.task_id)
        ended = {"state": RunState.SUCCEEDED, "started_at": NOON - HOUR, "finished_at": NOON}
        run = task.new_run(now=NOON - 2 * HOUR, due_at=NOON - 2 * HOUR, **ended)
        run.save()
        Alert.objects.filter(pk=alert.pk).update(run_id=run.pk, queue="default")
    overview = browser_of_superuser().get("/sisy/?parts=alerts")
    assert "1 more delay in the last 24 hours." in text_of(overview)
    assert f'href="{PAGE}?state=closed"' in overview.content.decode()
    assert "manage.py sisy_alerts list --all" not in text_of(overview)
    assert "To list all of them: manage.py sisy_alerts list --all" in said("sisy_status")


def statements():
    browser = browser_of_superuser()
    with CaptureQueriesContext(connection) as captured:
        browser.get(f"{PAGE}?parts=list")
    return len(captured)


def test_the_number_of_statements_does_not_grow_with_the_alerts():
    def more(number):
        for n in range(number):
            task = scheduled("0 0 1 1 *", label=f"task {n}")
            run = task.new_run(now=NOON, state=RunState.FAILED, finished_at=NOON)
            run.save()
            closed(task, Kind.LOST, run_id=run.pk)
            for kind in (Kind.FAILING, Kind.MISSED):
                open_alert(task, kind, NOON, run_id=run.pk, why="It failed.")

    more(1)
    few = statements()
    more(60)
    assert statements() == few
    assert few < 16


def test_each_problem_that_people_are_notified_of_can_be_chosen():
    table = (DOCS / "howto" / "alerts.md").read_text().partition("| Problem | It begins when")[2]
    named = re.findall(r"^\| ([a-z ]+) \|", table.partition("\n\n")[0], re.MULTILINE)
    assert [kind.label for kind in history.KINDS] == named
