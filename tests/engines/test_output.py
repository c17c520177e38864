"""What runs on other engines, and runs that are executed at once, print and report."""

import pytest

from sisy.engines.execute import execute_dispatched
from sisy.models import Run, RunOutput, RunState, Task
from tests.app import talkative_jobs
from tests.support.records import scheduled, stored
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def text_of(run):
    return "".join(row.head + row.tail for row in RunOutput.objects.filter(run_id=run.pk))


def waits_until_stored(message):
    print("a line")
    wait_until(RunOutput.objects.exists, "the line is stored")
    print("another line")


async def aprints(message):
    print("a line")


@pytest.mark.parametrize(
    ("fn", "text"), [(waits_until_stored, "a line\nanother line\n"), (aprints, "a line\n")]
)
def test_an_engine_stores_output_while_its_function_runs(fn, text):
    run = scheduled("@yearly", fn=fn, engine="some day", overlap="allow").run_now()
    execute_dispatched(run.pk)
    assert stored(run).state == RunState.SUCCEEDED
    assert text_of(run) == text


@pytest.mark.parametrize("fn", [talkative_jobs.prints, talkative_jobs.aprints])
def test_an_eager_run_stores_its_output(settings, fn):
    settings.SISY_EAGER = True
    task = Task.run_once(fn)
    run = Run.objects.get(task_id=task.pk) if task.pk else Run.objects.get()
    assert run.state == RunState.SUCCEEDED
    assert text_of(run).count("\n") in (3, 5)


def prints_and_submits(message):
    print("outside")
    Task.run_once(aprints, label="inside")
    print("outside again")


def test_an_eager_run_inside_another_one_has_its_own_output(settings):
    settings.SISY_EAGER = True
    Task.run_once(prints_and_submits, label="outside")
    assert text_of(Run.objects.get(label="outside")) == "outside\noutside again\n"
    assert text_of(Run.objects.get(label="inside")) == "a line\n"
