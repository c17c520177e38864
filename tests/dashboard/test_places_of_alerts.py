"""Where does the page return to once a person has handled an alert?"""

import re

import pytest

from sisy.models import Alert
from sisy.records.problems import Kind
from sisy.reports.errors import MAX_GROUPS_SHOWN
from tests.admin.people import browser_of, browser_of_superuser
from tests.dashboard.test_recorded_alerts import opened, up
from tests.support.moments import HOUR, NOON
from tests.support.records import open_alert, scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def page_with(number):
    up()
    for n in range(number):
        # With another cause each, so that each has a row of its own.
        opened(subject=f"task:{n}", label=f"task {n}", why=f"{'abc'[n]} failed.", cause="")
    return browser_of_superuser().get("/sisy/?parts=alerts").content.decode()


def rows_in(html):
    """Return each row: its key, and where its buttons lead back to."""
    rows = html.split('<li id="alert-')[1:]
    return [
        (row.partition('"')[0], set(re.findall(r'name="next" value="/sisy/#([^"]+)"', row)))
        for row in rows
    ]


def test_the_page_returns_to_the_next_row_and_after_the_last_to_that_before():
    html = page_with(3)
    first, second, third = (key for key, _ in rows_in(html))
    places = [places for _, places in rows_in(html)]
    assert places == [{f"at-{second}"}, {f"at-{third}"}, {f"at-{second}"}]
    assert all(f'<span id="at-{key}"></span>' in html for key in (first, second, third))


def test_the_page_returns_to_the_list_once_its_only_alert_was_handled():
    html = page_with(1)
    assert [places for _, places in rows_in(html)] == [{"alerts"}]
    assert 'id="alerts"' in html


def test_the_page_follows_an_alert_that_is_open_again():
    page_with(1)
    Alert.objects.all().close("Sam", Alert.objects.get().since)
    html = browser_of_superuser().get("/sisy/alerts/").content.decode()
    assert f'name="next" value="/sisy/alerts/#alert-{Alert.objects.get().pk}"' in html


def test_a_message_can_be_dismissed():
    page = browser_of_superuser().post(
        "/sisy/alerts/do/acknowledge/", {"pk": opened().pk}, follow=True
    )
    html = page.content.decode()
    assert '<button type="button" class="sisy-dismiss" data-sisy-dismiss' in html
    assert 'aria-label="Dismiss"' in html


def handles(browser):
    html = browser.get("/sisy/alerts/").content.decode()
    return re.findall(r'<a href="([^"]+)">Actions<', html)


def test_the_list_of_all_alerts_leads_to_the_buttons_of_each_open_one():
    task = scheduled(label="old")
    first = open_alert(task, Kind.FAILING, NOON, since=NOON - HOUR)
    opened(subject="call:shop.send", task_id=None)
    closed = opened(subject="task:99", task_id=99)
    Alert.objects.filter(pk=closed.pk).close("Sam", NOON)
    others = range(100, 100 + MAX_GROUPS_SHOWN)
    newest = [opened(subject=f"task:{n}", task_id=n) for n in others]
    # The overview only counts the oldest two. The page of its task lists one of them.
    assert handles(browser_of_superuser()) == [
        *(f"/sisy/#record-{alert.pk}" for alert in reversed(newest)),
        f"/sisy/tasks/{task.pk}/#record-{first.pk}",
    ]
    for address, alert in (("/sisy/", newest[0]), (f"/sisy/tasks/{task.pk}/", first)):
        html = browser_of_superuser().get(f"{address}?parts=alerts").content.decode()
        assert f'id="record-{alert.pk}"' in html
    assert handles(browser_of("view_task")) == []
