"""What people see of a run from a terminal, and how they follow it."""

import json

import pytest
from django.core.management import CommandError

from sisy.lifecycle.release import release_running
from sisy.management.commands import sisy_runs
from sisy.models import Run, RunState, Task
from sisy.runtime.journal import Report
from sisy.runtime.progress import Progress
from sisy.store.run_output import write_while_running
from sisy.worker.claim import claim
from tests.commands.calling import said, told
from tests.roles.steps import finish, held_run
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def report_of(text, *progress):
    reported = Progress(*progress, at=0.0) if progress else None
    return Report(head=text, written=len(text.encode()), progress=reported)


def printed(run, text, *progress):
    write_while_running("default", [(run, report_of(text, *progress))], NOON)


@pytest.fixture
def run():
    return held_run(worker(), label="import")


@pytest.fixture
def meanwhile(monkeypatch):
    """Return a function that sets what happens between two looks of a command that follows."""

    def happens(*steps):
        left = list(steps)

        class Pause:
            def wait(self, seconds):
                left.pop(0)()

        monkeypatch.setattr(sisy_runs.threading, "Event", Pause)

    return happens


def test_a_list_says_which_attempt_it_is_if_it_is_not_the_first(run):
    assert "Attempt" not in said("sisy_runs list")
    Run.objects.filter(pk=run.pk).update(attempt=2)
    assert "Attempt 2." in said("sisy_runs list")


def test_a_run_is_shown_with_its_output_and_progress(run):
    printed(run, "one\ntwo\n", 4000, 10_000, "row 4,000")
    text = said(f"sisy_runs show {run.pk}")
    assert "import" in text
    assert "40 % · 4,000 of 10,000 · row 4,000" in text
    assert "\nOutput:\none\ntwo\n" in text
    assert f"manage.py sisy_runs cancel {run.pk}" in text
    assert said(f"sisy_runs logs '#{run.pk}'") == "one\ntwo\n"


def test_a_program_gets_all_attempts(run):
    printed(run, "one\n", 1, 4, "")
    answer = told(f"sisy_runs show {run.pk}")
    assert (answer["label"], answer["state"]) == ("import", "running")
    [output] = answer["output"]
    assert (output["attempt"], output["text"], output["left_out"]) == (1, "one\n", 0)
    assert (output["progress"]["done"], output["progress"]["total"]) == (1, 4)
    assert told(f"sisy_runs logs {run.pk}")["text"] == "one\n"
    with pytest.raises(CommandError, match=r"import #\d+ has made 1 attempt\.$"):
        told(f"sisy_runs logs {run.pk} --attempt 2")


def test_a_silent_run_has_no_output(run):
    assert said(f"sisy_runs logs {run.pk}") == "No output.\n"
    assert "progress" not in said(f"sisy_runs show {run.pk}")


@pytest.mark.parametrize("key", ["999", "'#999'"])
def test_a_run_that_does_not_exist_is_an_error(key):
    with pytest.raises(CommandError, match="Run 999 does not exist, or has been pruned"):
        said(f"sisy_runs show {key}")


def test_what_is_not_a_run_is_rejected_with_the_nearest_label(run):
    with pytest.raises(CommandError, match=r"'imports' is not a run\. Use its key, such as 7"):
        said("sisy_runs show imports")
    with pytest.raises(CommandError, match=r"Did you mean 'import'\?"):
        said("sisy_runs logs imports")


def test_a_run_is_followed_until_it_has_succeeded(run, meanwhile):
    printed(run, "one\ntw")
    meanwhile(
        lambda: printed(run, "one\ntwo\n", 1, 2, ""),
        lambda: printed(run, "one\ntwo\n", 1, 2, ""),
        lambda: finish(run, NOON + SECOND, report=report_of("one\ntwo\nthree", 2, 2, "")),
    )
    assert said(f"sisy_runs logs {run.pk} --follow") == (
        f"one\ntwo\n[50 % · 1 of 2]\nthree\n[100 % · 2 of 2]\nRun {run.pk} succeeded\n"
    )


def test_following_a_released_run_begins_again_with_its_next_worker(run, meanwhile):
    """Both workers execute an attempt of one number, and the second prints more than the first."""

    def executed_again():
        release_running("default", [run], "Its worker stopped", NOON)
        [again] = claim(worker(NOON + MINUTE), ["default"], 1, NOON + MINUTE)
        assert again.attempt == run.attempt
        finish(again, NOON + MINUTE, report=report_of("uno\ndos\n"))

    printed(run, "one\n")
    meanwhile(executed_again)
    assert said(f"sisy_runs logs {run.pk} --follow") == (
        f"one\nAttempt 1:\nuno\ndos\nRun {run.pk} succeeded\n"
    )


def test_following_a_queued_run_says_first_why_it_waits(meanwhile):
    run = scheduled("0 0 1 1 *", label="tea").run_now()
    meanwhile(lambda: Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED))
    text = said(f"sisy_runs logs {run.pk} -f")
    assert "the queue 'default' has no worker" in text.partition(f"Run {run.pk} succeeded")[0]


def test_following_a_run_that_fails_exits_with_one(run, meanwhile, capsys):
    meanwhile(lambda: finish(run, NOON, RunState.FAILED, reason="KeyError: 'x'"))
    with pytest.raises(SystemExit) as ended:
        said(f"sisy_runs show {run.pk} -f")
    assert ended.value.code == 1


def test_a_program_that_follows_gets_a_line_for_each_change(run, meanwhile):
    printed(run, "one\n", 1, 2, "")
    meanwhile(lambda: finish(run, NOON, report=report_of("one\ntwo\n", 1, 2, "")))
    lines = said(f"sisy_runs logs {run.pk} --follow --json").splitlines()
    first, second, third, last = map(json.loads, lines)
    assert (first, third) == ({"attempt": 1, "text": "one\n"}, {"attempt": 1, "text": "two\n"})
    assert second["progress"]["done"] == 1
    assert last == {"state": "succeeded", "reason": ""}


def test_following_shows_what_was_left_out(run, meanwhile):
    tail = "9" * 10 + "\nlast\n"
    cut = Report(head="first\n", tail=tail, written=50_000)
    meanwhile(lambda: finish(run, NOON, report=cut))
    assert said(f"sisy_runs logs {run.pk} --follow") == (
        f"first\n… 50 kB left out …\nlast\nRun {run.pk} succeeded\n"
    )


def test_following_continues_after_the_gap(run, meanwhile):
    cut = Report(head="first\n", tail="end of a line\nlast\n", written=50_000)
    more = Report(head="first\n", tail="line\nlast\nmore\n", written=50_005)
    write_while_running("default", [(run, cut)], NOON)
    meanwhile(lambda: finish(run, NOON, report=more))
    assert said(f"sisy_runs logs {run.pk} --follow") == (
        f"first\n… 50 kB left out …\nlast\nmore\nRun {run.pk} succeeded\n"
    )


def test_secrets_are_masked_and_control_characters_are_escaped(run):
    printed(run, "password=hunter2\n\x1b[31mred\x1b[0m\x07\n", 1, 2, "token: abc \x1b")
    for line in (f"sisy_runs show {run.pk}", f"sisy_runs show {run.pk} --json"):
        text = said(line)
        assert "hunter2" not in text
        assert "abc" not in text
        assert "\x1b" not in text
    assert said(f"sisy_runs logs {run.pk}") == "password=•••\nred\\x07\n"


def test_several_missed_occurrences_of_a_deleted_task_have_no_advice_that_fails():
    task = scheduled("@hourly", label="gone")
    run = task.new_run(now=NOON, due_at=NOON - HOUR, due_until=NOON, count=2, state="missed")
    run.save()
    assert f"sisy_tasks backfill {task.pk}" in said(f"sisy_runs show {run.pk}")
    Task.objects.get(pk=task.pk).delete()
    [advice] = [
        line for line in said(f"sisy_runs show {run.pk}").splitlines() if line.startswith("To ")
    ]
    assert advice == f"To see its other runs: manage.py sisy_runs list --task {run.task_id}"
    assert "gone" in said(f"sisy_runs list --task {run.task_id}")
