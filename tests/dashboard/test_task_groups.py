"""The groups of the list of tasks: by app, by queue and by prefix."""

import re
from urllib.parse import urlencode

import pytest

from sisy.models import Alert, Task, TaskState
from sisy.records.problems import Kind
from sisy.reports import queue_names, task_groups
from sisy.reports import tasks as tasks_report
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.support.moments import NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PAGE = "/sisy/tasks/"


def page_of(**asked):
    return browser_of("view_task").get(f"{PAGE}?{urlencode(asked)}")


def groups_in(answer):
    """Return the groups with tasks on a page: the name, and the labels of its tasks."""
    found = re.findall(
        r'<details class="sisy-group".*?<strong>(.*?)</strong>(.*?)</details>',
        answer.content.decode(),
        re.DOTALL,
    )
    return {
        name: re.findall(r'<th scope="row" class="label"><a href="[^"]*">(.*?)</a>', rest)
        for name, rest in found
    }


def alerted(task):
    Alert.objects.create(
        open_key=str(task.pk),
        kind=Kind.FAILING,
        subject=f"task:{task.pk}",
        task_id=task.pk,
        since=NOON,
        opened_at=NOON,
    )


@pytest.fixture
def shop():
    scheduled(label="billing: charge cards", queue="payments")
    scheduled(label="billing/refund", queue="payments")
    scheduled(label="stock.sync")
    scheduled(label="sweep", queue="slow")


@pytest.mark.usefixtures("shop")
def test_tasks_are_grouped_by_queue():
    assert groups_in(page_of(group="queue")) == {
        "default": ["stock.sync"],
        "payments": ["billing/refund", "billing: charge cards"],
        "slow": ["sweep"],
    }


@pytest.mark.usefixtures("shop")
def test_tasks_are_grouped_by_the_prefix_of_their_labels():
    scheduled(label=": odd")
    assert groups_in(page_of(group="prefix")) == {
        "No prefix": [": odd", "sweep"],
        "billing": ["billing/refund", "billing: charge cards"],
        "stock": ["stock.sync"],
    }


def test_tasks_are_grouped_by_the_app_of_their_functions():
    ours, other = scheduled(label="ours"), scheduled(label="other")
    Task._base_manager.filter(pk=ours.pk).update(target_path="tests.app.jobs.noop")
    Task._base_manager.filter(pk=other.pk).update(target_path="nowhere.jobs.noop")
    groups = groups_in(page_of(group="app"))
    assert groups == {"Not in an app": ["other"], "testapp": ["ours"]}


@pytest.mark.usefixtures("shop")
def test_a_heading_counts_the_tasks_and_the_problems_of_its_group():
    charge = Task.objects.get(label="billing: charge cards")
    broken = Task.objects.get(label="billing/refund")
    alerted(charge)
    Task._base_manager.filter(pk=broken.pk).update(state=TaskState.BROKEN, next_run=None)
    answer = page_of(group="queue")
    text = text_of(answer)
    assert "payments 2 tasks ! 2 problems" in text
    assert "slow 1 task all Task" in text
    assert "✕ failing" in text
    [address] = re.findall(r'href="(\?[^"]*state=attention[^"]*)"', answer.content.decode())
    found = browser_of("view_task").get(PAGE + address.replace("&amp;", "&"))
    assert groups_in(found) == {"payments": ["billing/refund", "billing: charge cards"]}


@pytest.mark.usefixtures("shop")
def test_one_group_can_be_shown_alone():
    answer = page_of(group="prefix", only="billing")
    assert list(groups_in(answer)) == ["billing"]
    assert "All groups" in text_of(answer)
    assert "No matching tasks." in text_of(page_of(only="billing"))


@pytest.mark.parametrize("sort", ["label", "next_run"])
def test_each_task_is_on_one_page_of_its_group(sort, monkeypatch):
    monkeypatch.setattr(tasks_report, "PAGE_LIMIT", 3)
    for n in range(8):
        scheduled("0 * * * *", label=f"{'a|b' if n % 2 else 'c'}: {n}")
    client, seen, address = browser_of("view_task"), [], f"{PAGE}?group=prefix&sort={sort}"
    while address:
        page = client.get(address).content.decode()
        seen.append(re.findall(r'class="label"><a href="[^"]*">(.*?)</a>', page))
        found = re.search(r'<a href="([^"]*)" rel="next"', page)
        address = PAGE + found[1].replace("&amp;", "&") if found else ""
    expected = [f"a|b: {n}" for n in (1, 3, 5, 7)] + [f"c: {n}" for n in (0, 2, 4, 6)]
    assert seen == [expected[:3], expected[3:6], expected[6:]]


def test_groups_after_the_page_are_links(monkeypatch):
    monkeypatch.setattr(tasks_report, "PAGE_LIMIT", 1)
    for queue in ("a", "b", "c"):
        scheduled(label=f"of {queue}", queue=queue)
    answer = page_of(group="queue")
    assert groups_in(answer) == {"a": ["of a"]}
    behind = re.findall(r'<p class="sisy-group".*?<a href="(.*?)"', answer.content.decode())
    assert behind == [
        "?sort=label&amp;group=queue&amp;only=b",
        "?sort=label&amp;group=queue&amp;only=c",
    ]


def test_a_page_limits_the_number_of_groups(monkeypatch):
    monkeypatch.setattr(tasks_report, "PAGE_LIMIT", 1)
    monkeypatch.setattr(task_groups, "MAX_GROUPS", 2)
    for queue in ("a", "b", "c"):
        scheduled(queue=queue)
    page = page_of(group="queue").content.decode()
    assert len(re.findall(r'id="group-', page)) == 2


@pytest.mark.parametrize("group", ["app", "queue", "prefix"])
def test_the_queries_do_not_grow_with_the_groups(
    group, django_assert_max_num_queries, monkeypatch
):
    # The names of queues are found one by one, up to a limit.
    monkeypatch.setattr(queue_names, "MAX_STEPS", 0)
    for n in range(40):
        alerted(scheduled(label=f"{n}: task", queue=f"q{n}"))
    client = browser_of("view_task")
    client.get(PAGE)
    with django_assert_max_num_queries(14):
        client.get(f"{PAGE}?group={group}")


@pytest.mark.parametrize("after", ["x", "|7", "a|2026-13-45|7", "%ff|x|7", "a|b|c"])
def test_an_invalid_position_in_groups_is_ignored_or_harmless(after):
    scheduled(label="here")
    assert page_of(group="queue", sort="next_run", after=after).status_code == 200


def test_the_tasks_without_a_group_have_no_link_that_shows_those_of_all_groups():
    alerted(scheduled(label="lonely"))
    alerted(scheduled(label="billing: invoices"))
    page = page_of(group="prefix").content.decode()
    links = re.findall(r'<a href="([^"]*state=attention[^"]*)"', page)
    assert links == ["?state=attention&amp;sort=label&amp;group=prefix&amp;only=billing"]
