"""A page under load: what it shows changes, but nothing on it moves."""

from playwright.sync_api import expect

from sisy.models import Overlap, Run, RunState, task_with_callable
from tests.app import jobs
from tests.support.waiting import wait_until

TASKS, ROUNDS, RUNS = 10, 4, 500

# Where each heading below the alerts is, and how high the page is there, noted in each frame that
# the browser paints. An alert that opens or closes may move them; other tests leave some.
WATCH = """() => {
  window.places = {};
  const note = (name, value) => (window.places[name] ??= new Set()).add(Math.round(value));
  const look = () => {
    const above = document.querySelector("#grid").getBoundingClientRect().top;
    for (const heading of document.querySelectorAll("main h2[id]:not(#alerts)"))
      note(heading.id, heading.getBoundingClientRect().top - above);
    note("height", document.documentElement.scrollHeight - above - window.scrollY);
    window.frames_seen = (window.frames_seen ?? 0) + 1;
    requestAnimationFrame(look);
  };
  look();
}"""
MOVED = """() => Object.entries(window.places)
  .filter(([name, values]) => values.size > 1)
  .map(([name, values]) => `${name}: ${[...values].join(", ")}`)"""


def store(tasks, number):
    """Let so many runs be queued for tasks."""
    Run.objects.bulk_create(
        task.new_run(now=task.created_at) for task in tasks for _ in range(number // len(tasks))
    )


def test_nothing_moves_while_two_thousand_runs_finish(look, address):
    tasks = []
    for n in range(TASKS):
        task = task_with_callable(
            jobs.noop, label=f"busy {n}", schedule="0 0 1 1 *", overlap=Overlap.ALLOW
        )
        task.save()
        tasks.append(task)
    store(tasks, 10 * TASKS)
    done = Run.objects.filter(label__startswith="busy", state=RunState.SUCCEEDED)
    wait_until(lambda: done.count() == 10 * TASKS, "some runs have finished")
    with look(address) as window:
        expect(window.locator("#grid")).to_be_visible()
        window.evaluate(WATCH)
        before = window.locator("#sisy-latest").inner_text()
        for n in range(1, ROUNDS + 1):
            store(tasks, RUNS)
            finished = 10 * TASKS + n * RUNS
            wait_until(lambda finished=finished: done.count() == finished, f"{finished} runs")
        expect(window.locator("#sisy-latest")).not_to_have_text(before)
        assert window.evaluate("window.frames_seen") > 10
        assert window.evaluate(MOVED) == []
