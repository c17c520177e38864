"""A request that names nothing known is answered by an error, never by a success."""

import pytest
from django.contrib import messages

from sisy.models import Queue, Run, RunState, Task
from tests.admin.people import browser_of_superuser
from tests.support.moments import HOUR, NOON
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

VERBS = {
    "tasks": ("run", "pause", "resume", "cancel", "back_to_code"),
    "runs": ("cancel", "cancel_force", "retry"),
    "processes": ("drain",),
}
ON_ROWS = [(kind, verb) for kind, verbs in VERBS.items() for verb in verbs]
OF_ADMIN = [
    *[("task", name) for name in ("pause", "resume", "back_to_code", "delete_selected")],
    *[("run", name) for name in ("cancel", "cancel_force", "retry")],
]
UNKNOWN = [["1,234"], ["1.234"], ["999"], ["²"], ["-1"], ["abc"], [""], ["9" * 30], ["1", "x"], []]


def said(answer):
    return [(message.level, str(message)) for message in answer.context["messages"]]


@pytest.mark.parametrize(("kind", "verb"), ON_ROWS)
@pytest.mark.parametrize("keys", UNKNOWN, ids=str)
def test_an_action_on_unknown_rows_is_an_error(kind, verb, keys):
    answer = browser_of_superuser().post(f"/sisy/{kind}/do/{verb}/", {"pk": keys}, follow=True)
    assert {level for level, _ in said(answer)} == {messages.ERROR}
    assert not any(" 0 " in f" {words}" for _, words in said(answer))


def test_known_rows_are_processed_and_unknown_ones_are_named():
    task = scheduled(label="sweep")
    answer = browser_of_superuser().post(
        "/sisy/tasks/do/pause/", {"pk": [task.pk, "1,234", "7777777"]}, follow=True
    )
    [error, success] = said(answer)
    assert error == (
        messages.ERROR,
        "Unknown tasks: '1,234', '7777777'. They may have been deleted.",
    )
    assert success[0] == messages.SUCCESS
    assert Task.objects.get().state == "paused"


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize("name", ["nowhere", "", "a b", "x" * 300, "<b>", "\0default!"])
def test_a_queue_that_nothing_names_is_an_error(verb, name):
    scheduled(queue="known")
    answer = browser_of_superuser().post(f"/sisy/queues/do/{verb}/", {"name": name}, follow=True)
    [(level, words)] = said(answer)
    assert level == messages.ERROR
    assert words.startswith("No task, run or worker uses a queue named '")
    assert not Queue.objects.exists()


def test_a_queue_that_is_paused_already_or_not_paused_is_a_warning():
    scheduled(queue="known")
    browser = browser_of_superuser()
    for verb, words in (
        ("resume", "The queue 'known' is not paused."),
        ("pause", "Paused the queue 'known'. Current runs continue."),
        ("pause", "The queue 'known' is already paused."),
    ):
        answer = browser.post(f"/sisy/queues/do/{verb}/", {"name": "known"}, follow=True)
        level = messages.SUCCESS if words.startswith("Paused") else messages.WARNING
        assert said(answer) == [(level, words)]


@pytest.mark.parametrize(("model", "name"), OF_ADMIN)
@pytest.mark.parametrize("keys", [["4711"], ["²"], ["abc"], ["1,234"], ["9" * 30]], ids=str)
def test_an_action_of_the_admin_on_rows_that_are_gone_is_an_error(model, name, keys):
    scheduled().run_now()
    data = {"action": name, "_selected_action": keys}
    answer = browser_of_superuser().post(f"/admin/sisy/{model}/", data, follow=True)
    words = f"The selected {model}s do not exist. Nothing was changed."
    assert said(answer) == [(messages.ERROR, words)]
    assert Task.objects.get().state == "active"
    assert Run.objects.get().state == RunState.QUEUED


@pytest.mark.parametrize(
    "address",
    [
        "/sisy/tasks/4711/",
        "/sisy/runs/4711/",
        "/sisy/tasks/4711/backfill/",
        "/sisy/tasks/4711/schedule/",
        "/sisy/tasks/4711/changes/1/revert/",
        f"/sisy/runs/{'9' * 30}/",
    ],
)
def test_the_page_of_an_unknown_row_is_not_found(address):
    assert browser_of_superuser().get(address).status_code == 404


def test_an_action_without_effect_is_a_warning():
    task = scheduled()
    process = worker(lease=HOUR)
    browser = browser_of_superuser()
    process.request_drain(NOON)
    for address, pk in (("tasks/do/resume", task.pk), ("processes/do/drain", process.pk)):
        answer = browser.post(f"/sisy/{address}/", {"pk": pk}, follow=True)
        assert {level for level, _ in said(answer)} == {messages.WARNING}
