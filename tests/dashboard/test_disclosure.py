"""Who may not see the details of runs reads the class of an error, and never its text."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission

from sisy.heartbeat.quarantine import run_or_set_broken
from sisy.models import Attempt, Process, Queue, Run, RunState, Task, TaskState
from sisy.reports.disclosure import OPEN_STATES
from tests.admin.pages import RUNS, rows_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.dashboard.addresses import PARTS, addresses
from tests.dashboard.pressing import press
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

SECRET = "hunter2-and-nothing-else"
TEXT = f"ValueError: {SECRET}"
VERBS = ("run", "pause", "resume", "cancel", "cancel_force", "retry", "back_to_code", "drain")


def everything():
    """Return a task and a run, after the secret was put wherever an error's text may stand."""
    task = scheduled(label="sweep", userdata={"note": SECRET}, timeout=timedelta(minutes=1))
    Task.objects.filter(pk=task.pk).update(target_error=f"TargetMissing: {SECRET}")
    broken = scheduled(label="cracked")
    run_or_set_broken("default", broken.pk, lambda: fail())
    process = worker()
    for number, state in enumerate([*RunState, RunState.FAILED]):
        run = task.run_now()
        is_open = state in OPEN_STATES
        Run.objects.filter(pk=run.pk).update(
            state=state,
            due_at=NOON - (number + 2) * MINUTE,
            reason="It was not to be." if is_open else TEXT,
            error=f"Traceback:\n{TEXT}",
            error_class="builtins.ValueError",
            payload={"note": SECRET},
            result=[SECRET],
            attempt=3,
            process=process if state == RunState.RUNNING else None,
            started_at=NOON - MINUTE,
            finished_at=None if state in ("queued", "running") else NOON - SECOND,
        )
        for attempt, ended in enumerate((RunState.FAILED, RunState.TIMED_OUT), start=1):
            Attempt.objects.create(
                run=run,
                number=attempt,
                state=ended,
                reason=TEXT,
                error=f"Traceback:\n{TEXT}",
                error_class="builtins.ValueError",
                finished_at=NOON,
            )
    Run.objects.filter(state=RunState.FAILED).first().retry()
    lone = Task.run_once("tests.app.jobs.noop", {"note": SECRET})
    Run.objects.filter(task=lone).update(state="failed", reason=TEXT, error=TEXT, finished_at=NOON)
    Queue.objects.pause("default", "lunch")
    return task, Run.objects.filter(state=RunState.FAILED, retry_of=None).last()


def fail():
    raise ValueError(SECRET)


def everybody_else():
    """Return the browser of somebody who may do all but see the details of runs."""
    codenames = Permission.objects.filter(content_type__app_label="sisy")
    names = codenames.exclude(codename="view_run_details").values_list("codename", flat=True)
    return browser_of(*names)


def with_verbs(task, run):
    """Return every address once, and those of buttons with each of their verbs."""
    found = set()
    for verb in VERBS:
        found |= set(addresses(task=task.pk, run=run.pk, queue=1, verb=verb, name=verb))
    return sorted(found)


def walked(browser, task, run):
    """Yield every address with what it answers, its parts and lists narrowed down included."""
    for address in with_verbs(task, run):
        yield address, browser.get(address, follow=True)
    for address in addresses(task=task.pk, run=run.pk, queue=1, verb="run", name="run_now"):
        for query in (PARTS, "?by=queue", "?search=sweep", "?q=sweep", "?state=failed"):
            yield address + query, browser.get(address + query, follow=True)


def text_of_answer(answer):
    """Return the body of an answer, which an export sends in pieces."""
    pieces = answer.streaming_content if answer.streaming else [answer.content]
    return b"".join(pieces).decode()


def test_no_page_shows_an_errors_text_without_permission():
    task, run = everything()
    shown = dict(walked(everybody_else(), task, run))
    assert sum(answer.status_code == 200 for answer in shown.values()) > 50
    for address, answer in shown.items():
        assert SECRET not in text_of_answer(answer), address
        assert not any(SECRET in str(value) for value in answer.headers.values()), address
    overview = shown["/sisy/"].content.decode()
    assert "ValueError" in overview
    assert "It was not to be." in shown["/sisy/runs/"].content.decode()


def test_with_permission_every_page_shows_an_errors_text():
    task, run = everything()
    browser = browser_of_superuser()
    for address in (
        "/sisy/",
        "/sisy/runs/",
        f"/sisy/runs/{run.pk}/",
        f"/sisy/tasks/{task.pk}/",
        "/sisy/tasks/",
        RUNS,
        f"{RUNS}{run.pk}/change/",
        f"/admin/sisy/task/{task.pk}/change/",
    ):
        assert SECRET in browser.get(address).content.decode(), address


def test_messages_after_a_button_do_not_quote_errors(monkeypatch):
    task, run = everything()
    lone = Task.run_once("tests.app.jobs.noop")
    gone = Run.objects.get(task=lone)
    Run.objects.filter(pk=gone.pk).update(state="failed", target_path="tests.app.broken_jobs.job")
    lone.delete()
    browser = everybody_else()
    for address in with_verbs(task, gone):
        answer = press(browser, address, {"pk": [task.pk, run.pk, gone.pk]})
        assert SECRET not in answer.content.decode(), address
        assert "no luck today" not in answer.content.decode(), address
    again = browser.post("/sisy/runs/do/retry/", {"pk": gone.pk}, follow=True)
    assert "Cannot import the function: RuntimeError." in again.content.decode()


@pytest.mark.database
def test_the_admin_searches_reasons_only_for_users_who_may_read_them():
    everything()
    assert rows_of(everybody_else().get(RUNS, {"q": "hunter2"})) == []
    assert rows_of(browser_of_superuser().get(RUNS, {"q": "hunter2"}))


@pytest.mark.parametrize(
    ("state", "error_class", "shown"),
    [
        ("failed", "builtins.ValueError", "ValueError"),
        ("failed", "", ""),
        ("timed_out", "sisy.exceptions.RunTimedOut", "RunTimedOut"),
        ("succeeded", "", "The return value was not stored."),
        ("queued", "a.b.Odd", "The previous attempt raised Odd."),
        ("lost", "", TEXT),
    ],
)
def test_a_hidden_reason_is_reduced_to_the_class_of_its_error(state, error_class, shown):
    run = scheduled().run_now()
    Run.objects.filter(pk=run.pk).update(state=state, reason=TEXT, error_class=error_class)
    page = everybody_else().get(f"/sisy/runs/{run.pk}/?parts=head").content.decode()
    assert (f"<strong>{shown}</strong>" in page) == bool(shown)
    assert (SECRET in page) == (state == "lost")


def test_an_error_of_planning_is_shown_by_class_and_logged_in_full(caplog):
    task = scheduled()
    run_or_set_broken("default", task.pk, fail)
    task.refresh_from_db()
    assert task.state == TaskState.BROKEN
    assert "ValueError" in task.state_reason
    assert SECRET not in task.state_reason
    assert SECRET in caplog.text


def test_no_message_on_the_channel_layer_contains_text():
    """Sockets tell pages that something changed; what changed, the pages ask for themselves."""
    from sisy.messaging import messages

    run = scheduled().run_now()
    Run.objects.filter(pk=run.pk).update(reason=TEXT, error=TEXT)
    run.refresh_from_db()
    said = (messages.run_task(run), messages.runs_changed("a", 1, {run.task_id}, 9))
    assert not any(SECRET in str(one) for one in said)
    assert Process.objects.count() == 0
