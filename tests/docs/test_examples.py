"""Do the examples of README and manual do what they show?"""

import asyncio
import json
import re
from datetime import timedelta

import pytest

from sisy.execution import ThreadPool
from sisy.models import Process, Role, Run, RunState, Task
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.docs.pages import DOCS, ROOT, START, TUTORIAL, all_blocks, blocks_of, name_of, pages
from tests.docs.project import Project
from tests.support.moments import NOON
from tests.unit.runs import executed

DIRECTIVES = {"{include} ../CHANGELOG.md", "{toctree}", "{eval-rst}"}
LANGUAGES = {"console", "ini", "json", "python", "text", "yaml", *DIRECTIVES}

MOST_CLAIMS = 5
TROUBLE = DOCS / "howto" / "diagnose.md"  # asks after a task that the reader has

with_python = [
    page for page in pages() if any(block.language == "python" for block in blocks_of(page))
]


@pytest.fixture
def project(transactional_db, tmp_path, at_time):
    at_time(NOON)
    project = Project(tmp_path)
    yield project
    project.close()


@pytest.mark.parametrize("page", with_python, ids=name_of)
def test_each_python_example_of_a_page_is_executed(project, page):
    project.open(page)
    if page == TROUBLE:
        Task.calling("shop.jobs.greet").save()
    for block in blocks_of(page):
        if block.language == "python":
            project.run(block)
    shown = re.findall(r"^ *```+ *python", page.read_text(), re.MULTILINE)
    assert len(project.executed) == len(shown)


@pytest.mark.parametrize("page", [ROOT / "README.md", TUTORIAL, START], ids=name_of)
def test_the_tasks_of_the_first_steps_run_and_succeed(project, page):
    project.open(page)
    seen = set()
    for block in blocks_of(page):
        if block.language == "python":
            project.run(block)
            new = Task.objects.exclude(label__in=seen)
            seen |= set(new.values_list("label", flat=True))
            for task in new.exclude(schedule=""):
                task.run_now()
            Run.objects.queued().filter(ready_at__gt=NOON).update(ready_at=NOON)
            carry_out_all()
    assert seen
    ended = Run.objects.exclude(state=RunState.CANCELLED).values_list("label", "state")
    assert set(ended) == {(label, RunState.SUCCEEDED) for label in seen}


def carry_out_all():
    """Do by hand what a worker does, until nothing is queued.

    It stops if a run is queued again and again, because its function is not found.
    """
    worker = Process.join(Role.WORKER, using="default", now=NOON, lease=timedelta(hours=1))
    pool = ThreadPool(slots=2, now=lambda: NOON)
    for _ in range(MOST_CLAIMS):
        runs = claim(worker, ("default",), limit=10, now=NOON)
        outcomes = [asyncio.run(executed(pool, run)) for run in runs]
        record("default", list(zip(runs, outcomes, strict=True)), NOON)
    pool.close()
    assert not Run.objects.queued().exists(), list(Run.objects.queued().values("label", "reason"))


def test_each_json_document_can_be_parsed():
    found = [block for block in all_blocks() if block.language == "json"]
    assert found
    assert all(json.loads(block.text) for block in found)


def test_every_block_is_in_a_language_that_a_test_looks_at():
    assert {block.language for block in all_blocks()} <= LANGUAGES


def test_no_block_is_fenced_in_a_way_that_these_tests_do_not_see():
    for page in pages():
        assert not re.findall(r"^ *(~~~|````|\{% highlight|<pre)", page.read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_commands_in_examples_fit_the_page(page):
    for block in blocks_of(page):
        for line in block.text.splitlines():
            is_typed = not block.is_session or line.startswith((">>> ", "... "))
            assert not is_typed or len(line) <= 107, f"{block}: {line}"
