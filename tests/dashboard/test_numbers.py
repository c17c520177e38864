"""Numbers that machines read are the same in every language; numbers for people are not."""

import re
from html.parser import HTMLParser

import pytest
from django.utils import translation

from sisy.models import Process, Role, Run, RunState, Task
from tests.admin.people import browser_of_superuser
from tests.dashboard.addresses import PARTS, addresses
from tests.dashboard.pressing import press
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

FOR_PEOPLE = {"title", "aria-label", "alt", "placeholder", "class", "content", "lang", "summary"}
WORDS = ("data-none", "data-live", "data-polling", "data-away", "data-label", "data-clear-choice")
SHAPES = {"x", "y", "x1", "x2", "y1", "y2", "width", "height", "rx", "cx", "cy", "r"}
SEPARATED = re.compile(r"\d[\u00a0\u202f,]\d")
PLAIN = re.compile(r"-?\d+(\.\d+)?(%|rem)?")

# One language is asked for all of it. Where a number is localised does not depend on the language;
# how it then looks does.
QUERIES = {
    "fr": ("", PARTS, "?by=queue", "?hours=24", "?before=9999999"),
    "de": (PARTS,),
    "en": ("",),
}


@pytest.fixture(params=QUERIES)
def language(request, settings):
    settings.USE_THOUSAND_SEPARATOR = True
    with translation.override(request.param):
        yield request.param


class Attributes(HTMLParser):
    """Every attribute of a page that a machine reads, with the tag in which it stands."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if value and name not in FOR_PEOPLE and name not in WORDS:
                self.found.append((tag, name, value))


def site():
    """Return a task and a run among rows with keys of millions."""
    task = scheduled("*/5 * * * * *", label="sweep")
    Task.objects.filter(pk=task.pk).update(id=1_234_567)
    task = Task.objects.get(pk=1_234_567)
    process = Process.join(Role.WORKER, using="default", now=NOON, lease=HOUR, slots=2000)
    Process.objects.filter(pk=process.pk).update(id=3_456_789, pid=1_234_567)
    for number in range(60):
        run = task.run_now()
        Run.objects.filter(pk=run.pk).update(
            id=7_654_321 + number,
            state=RunState.RUNNING if number == 3 else RunState.SUCCEEDED,
            process=3_456_789,
            due_at=NOON - (number + 1) * MINUTE,
            planned_at=NOON - (number + 1) * MINUTE,
            started_at=NOON - (number + 1) * MINUTE + 0.123 * SECOND,
            finished_at=None if number == 3 else NOON - number * MINUTE - SECOND,
            count=1234 if number == 7 else 1,
        )
    return task, Run.objects.first()


def test_no_number_that_a_machine_reads_is_localised(language):
    task, run = site()
    browser = browser_of_superuser()
    seen = set()
    for address in addresses(task=task.pk, run=run.pk, queue=1, verb="run", name="run_now"):
        for query in QUERIES[language]:
            answer = browser.get(address + query)
            if answer.status_code != 200 or "html" not in answer["Content-Type"]:
                continue
            for tag, name, value in Attributes(answer.content.decode()).found:
                seen.add(name)
                where = f'<{tag} {name}="{value}"> of {address}{query}'
                assert not SEPARATED.search(value), where
                if name in SHAPES:
                    assert PLAIN.fullmatch(value), where
                if tag == "tr" and name in ("data-at", "data-took", "data-late") and value != "-":
                    assert float(value) is not None, where
                for key in re.findall(r"\d[\d.]*", value) if name in ("id", "href", "for") else ():
                    assert not re.fullmatch(r"\d{1,3}(\.\d{3})+", key), where
    assert {"id", "href", "value", "x", "width", "data-at", "formaction", "action"} <= seen


def test_the_keys_on_a_page_are_those_with_which_its_buttons_work(language):
    task, run = site()
    browser = browser_of_superuser()
    page = browser.get("/sisy/tasks/").content.decode()
    [key] = re.findall(r'name="pk" value="(.*?)"', page)
    browser.post("/sisy/tasks/do/pause/", {"pk": key})
    assert Task.objects.get(pk=task.pk).state == "paused"
    page = browser.get(f"/sisy/runs/{run.pk}/").content.decode()
    [key] = set(re.findall(r'name="pk" value="(.*?)"', page))
    assert key == str(run.pk)
    page = browser.get("/sisy/fleet/").content.decode()
    key = re.search(r'name="pk" value="(.*?)"', page)[1]
    press(browser, "/sisy/processes/do/drain/", {"pk": key})
    assert Process.objects.get().drain_requested_at is not None
    page = browser.get(f"/sisy/tasks/{task.pk}/").content.decode()
    older = re.search(r'href="(\?before=.*?)"', page)
    assert f"{run.pk - 49}" in older[1]
