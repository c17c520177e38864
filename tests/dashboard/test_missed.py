"""How does a person have everything made good that an outage prevented?"""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry

from sisy.models import Alert, Run, Task
from sisy.records.problems import Kind
from sisy.reports import missed as report
from tests.admin.pages import messages_of, text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.support.moments import DAY, MINUTE, NOON
from tests.support.outages import TASKS, missed
from tests.support.records import open_alert

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PAGE = "/sisy/tasks/missed/"
OUTAGE = {"start": "2026-05-05T09:00:00", "end": "2026-05-05T11:01:00"}


def alerted(*about, **span):
    """Store a task with what it missed, and the open alert about it. Return the task."""
    task, row = missed(*about, **span)
    words = {"why": "2 occurrences were missed.", "cause": "Nothing was up."}
    open_alert(task, Kind.MISSED, NOON, run_id=row.pk, evidence=row.pk, **words)
    return task


@pytest.fixture
def outage():
    return [alerted(*one) for one in TASKS]


def rows_of(page):
    html = page.content.decode().partition("<tbody>")[2].partition("</tbody>")[0]
    return [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in html.split("</tr>")[:-1]]


def test_several_missed_tasks_have_one_button_that_leads_to_all_of_them(outage):
    browser = browser_of("view_task", "backfill_task")
    html = browser.get("/sisy/?parts=alerts").content.decode()
    assert html.count("Backfill…") == 1
    address = html.partition(f'href="{PAGE}')[2].partition('"')[0].replace("&amp;", "&")
    assert address == "?start=2026-05-05T09%3A00%3A00&end=2026-05-05T11%3A01%3A00"
    page = browser.get(PAGE + address)
    assert [row.split()[0] for row in rows_of(page)] == ["backup", "report", "mail"]
    assert "Backfill…" not in text_of(browser_of("view_task").get("/sisy/?parts=alerts"))


def test_tasks_that_have_succeeded_since_are_no_longer_a_problem(outage):
    """A heartbeat has closed their alerts. The page of alerts has them, and this one."""
    browser = browser_of_superuser()
    assert "missed: 3 tasks" in text_of(browser.get("/sisy/?parts=alerts"))
    Alert.objects.filter(task_id=outage[0].pk).close("", NOON)
    text = text_of(browser.get("/sisy/?parts=alerts"))
    assert "missed: 2 tasks" in text
    assert "Close 2 alerts" in text
    assert len(rows_of(browser.get(PAGE, OUTAGE))) == 3
    # A person who closes an alert has not run what was missed.
    Alert.objects.filter(task_id=outage[1].pk).close("ann", NOON)
    text = text_of(browser.get("/sisy/?parts=alerts"))
    assert "backup" in text
    assert "closed by ann" in text


def test_the_button_leads_to_the_same_range_in_whichever_zone_the_page_is(outage):
    browser = browser_of("view_task", "backfill_task")
    browser.cookies["sisy_zone"], browser.cookies["sisy_my_zone"] = "mine", "Asia/Tokyo"
    html = browser.get("/sisy/?parts=alerts").content.decode()
    address = html.partition(f'href="{PAGE}')[2].partition('"')[0].replace("&amp;", "&")
    assert address == "?start=2026-05-05T09%3A00%3A00&end=2026-05-05T11%3A01%3A00"
    assert len(rows_of(browser.get(PAGE + address))) == 3


def test_the_button_leads_to_all_that_the_outage_prevented(outage):
    """Also to what a task missed that has succeeded since, such as a charge of a card."""
    missed("charge", "*/10 * * * *", NOON + MINUTE, NOON - 200 * MINUTE, NOON - 50 * MINUTE)
    html = browser_of_superuser().get("/sisy/?parts=alerts").content.decode()
    address = html.partition(f'href="{PAGE}')[2].partition('"')[0].replace("&amp;", "&")
    assert address == "?start=2026-05-05T08%3A40%3A00&end=2026-05-05T11%3A11%3A00"


def test_each_task_says_how_many_occurrences_will_run_and_when_it_is_due_again(outage):
    backup, report_, mail = rows_of(browser_of_superuser().get(PAGE, OUTAGE))
    assert "backup ◌ missed 10:00:00 1 - 2026-05-06 12:00:00" in backup
    assert "09:00:00 to 11:00:00 3 - 2026-05-06 09:00:00" in report_
    assert "09:00:00 to 11:00:00 13 - 12:10:00" in mail
    assert not Run.objects.exclude(state="missed").exists()


def test_a_task_says_what_else_is_wrong_with_it(outage):
    mail, _, report_ = outage
    Alert.objects.filter(task_id=report_.pk).close("", NOON)
    open_alert(mail, Kind.FAILING, NOON)
    took = {"state": "succeeded", "started_at": NOON - DAY, "finished_at": NOON - DAY + MINUTE}
    report_.new_run(now=NOON - DAY, **took).save()
    for _ in range(60):  # more than the newest runs that are read
        report_.new_run(now=NOON, state="failed", finished_at=NOON).save()
    rows = rows_of(browser_of_superuser().get(PAGE, OUTAGE))
    assert ["failing" in row for row in rows] == [False, False, True]
    assert ["missed" in row for row in rows] == [True, False, True]
    assert "3 min" in next(row for row in rows if row.startswith("report"))


def test_what_is_due_again_soon_is_not_selected(outage):
    html = browser_of_superuser().get(PAGE, OUTAGE).content.decode()
    mail, backup, report_ = outage
    assert f'name="pk" value="{mail.pk}" aria-label' in html
    assert f'name="pk" value="{backup.pk}" checked aria-label' in html
    assert f'name="pk" value="{report_.pk}" checked aria-label' in html


def test_the_button_asks_before_it_submits_anything(outage):
    _, backup, report_ = outage
    page = browser_of_superuser().post(PAGE, {"pk": [backup.pk, report_.pk]})
    text = text_of(page)
    assert "Submit 4 runs?" in text
    assert "report: 3 backup: 1 They start as soon as slots are free" in text
    assert not Run.objects.filter(origin="backfill").exists()


def test_the_question_says_which_runs_will_probably_fail(outage):
    _, backup, report_ = outage
    open_alert(report_, Kind.FAILING, NOON)
    text = text_of(browser_of_superuser().post(PAGE, {"pk": [backup.pk, report_.pk]}))
    assert "report: 3 (failing) backup: 1 They start" in text


def test_the_selected_tasks_run_what_they_missed_and_no_others(outage):
    _, backup, report_ = outage
    browser = browser_of("view_task", "backfill_task")
    address = f"{PAGE}?start={OUTAGE['start']}&end={OUTAGE['end']}"
    page = browser.post(address, {"pk": [backup.pk, report_.pk], "confirm": "yes"}, follow=True)
    assert page.redirect_chain == [(address, 302)]
    assert "Submitted 4 runs." in text_of(page)
    runs = Run.objects.filter(origin="backfill")
    assert sorted((run.label, run.occurrence_at.hour) for run in runs) == [
        ("backup", 10),
        ("report", 9),
        ("report", 10),
        ("report", 11),
    ]
    assert LogEntry.objects.count() == 2
    assert ["none" in row for row in rows_of(page)] == [True, True, False]


def test_a_second_press_submits_nothing(outage):
    browser, (_, backup, _) = browser_of_superuser(), outage
    address = f"{PAGE}?start={OUTAGE['start']}&end={OUTAGE['end']}"
    browser.post(address, {"pk": backup.pk, "confirm": "yes"})
    page = browser.post(address, {"pk": backup.pk}, follow=True)
    assert "No runs were submitted." in messages_of(page)
    assert Run.objects.filter(origin="backfill").count() == 1


def test_the_page_begins_with_the_range_that_was_missed_last(outage):
    html = browser_of_superuser().get(PAGE).content.decode()
    assert 'value="2026-05-05T09:00:00"' in html
    assert 'value="2026-05-05T11:01:00"' in html


def test_the_page_has_nothing_to_show_where_nothing_was_missed():
    page = browser_of_superuser().get(PAGE)
    assert "No task with a schedule missed an occurrence in this range." in text_of(page)


def test_a_range_in_which_nothing_was_missed_says_so(outage):
    page = browser_of_superuser().get(
        PAGE, {"start": "2026-05-04T00:00", "end": "2026-05-05T00:00"}
    )
    assert "No task with a schedule missed an occurrence in this range." in text_of(page)


@pytest.mark.parametrize("end", ["soon", "", "2026-05-05T09:00:00"])
def test_a_wrong_range_has_an_error_and_runs_nothing(outage, end):
    page = browser_of_superuser().post(
        f"{PAGE}?start={OUTAGE['start']}&end={end}", {"pk": outage[0].pk}, follow=True
    )
    assert 'role="alert"' in page.content.decode()
    assert not Run.objects.exclude(state="missed").exists()


def test_a_task_that_cannot_be_backfilled_says_why_and_stops_no_other(outage):
    mail, backup, _ = outage
    Task._base_manager.filter(pk=mail.pk).update(timezone="Europe/Atlantis")
    browser = browser_of_superuser()
    assert "Europe/Atlantis" in rows_of(browser.get(PAGE, OUTAGE))[2]
    address = f"{PAGE}?start={OUTAGE['start']}&end={OUTAGE['end']}"
    page = browser.post(address, {"pk": [mail.pk, backup.pk], "confirm": "yes"}, follow=True)
    assert "Submitted 1 run." in text_of(page)


def test_without_a_selection_or_the_permission_no_run_is_submitted(outage):
    page = browser_of_superuser().post(PAGE, {}, follow=True)
    assert "Nothing is selected." in messages_of(page)
    assert browser_of("view_task").get(PAGE).status_code == 403
    assert browser_of("view_task").post(PAGE, {"pk": outage[0].pk}).status_code == 403


def test_tasks_beyond_those_listed_are_counted(outage, monkeypatch):
    monkeypatch.setattr(report, "MAX_TASKS_LISTED", 2)
    text = text_of(browser_of_superuser().get(PAGE, OUTAGE))
    assert "1 more task missed occurrences. Choose a shorter range to see it." in text


def test_tasks_that_run_once_are_not_listed(outage):
    Task.objects.filter(label="backup").update(schedule="", runs_planned=1)
    assert len(rows_of(browser_of_superuser().get(PAGE, OUTAGE))) == 2


def test_what_was_missed_beyond_the_range_is_left_out():
    alerted("mail", "*/10 * * * *", NOON + timedelta(minutes=10), first=NOON - DAY)
    row = rows_of(browser_of_superuser().get(PAGE, OUTAGE))[0]
    assert "09:00:00 to 11:00:00 13" in row
