"""What sisy_top reads, prints and does."""

import sys

import pytest
from django.core.management import CommandError

from sisy.management.top_actions import Actions
from sisy.models import Alert, Process, Queue, Role, Run
from sisy.records.problems import Kind
from sisy.runtime.journal import Report
from sisy.runtime.progress import Progress
from sisy.store.run_output import write_while_running
from tests.commands.calling import Terminal, said, seen, told
from tests.roles.steps import finish, held_run
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def test_everything_is_printed_once_in_80_columns(monkeypatch):
    failed = held_run(worker(), label="a label that is far too long for a line " * 3)
    finish(failed, NOON, "failed", reason="KeyError: 'x' " * 30)
    run = held_run(worker(), label="import")
    report = Report(head="", written=0, progress=Progress(1, 4, "row 1", at=0.0))
    write_while_running("default", [(run, report)], NOON)
    text = seen("sisy_top --once", monkeypatch)
    assert max(map(len, text.splitlines())) <= 80
    head, *rest = text.splitlines()
    assert "problem" in head
    assert head.endswith("0 heartbeats · 2 workers · 1/0 running · 0 queued")
    assert "manage.py sisy_heartbeat" in text
    titles = ["Alerts:", "Queues:", "Workers:", "Running:", "Latest failures:"]
    assert [line for line in rest if line in titles] == titles
    assert "25 % · 1 of 4 · row 1" in text
    assert "KeyError: 'x'" in text


def test_a_healthy_site_is_all_clear(monkeypatch):
    Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=MINUTE)
    text = seen("sisy_top --once", monkeypatch)
    assert text.startswith("All clear · 1 heartbeat · 0 workers")
    assert "Nothing is running." in text
    answer = told("sisy_top")
    assert (answer["state"], answer["is_clear"], answer["alerts"]) == ("All clear", True, [])


def test_without_textual_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setitem(sys.modules, "textual.app", None)
    monkeypatch.delitem(sys.modules, "sisy.management.top_screen", raising=False)
    with pytest.raises(CommandError, match=r"pip install 'sisy\[cli\]'"):
        seen("sisy_top", monkeypatch)


def test_without_a_terminal_it_says_how_to_print_once():
    with pytest.raises(CommandError, match="Add --once to print it once"):
        said("sisy_top")


def test_alerts_are_acknowledged():
    alert = Alert.objects.create(
        kind=Kind.FAILING, subject="task:1", open_key="task:1", label="tea", since=NOON,
        opened_at=NOON,
    )  # fmt: skip
    assert Actions("default").acknowledge(str(alert.pk)).startswith("Acknowledged.")
    assert Actions("default").acknowledge(str(alert.pk)).startswith("Nothing to acknowledge")


def test_it_says_how_many_alerts_of_a_group_were_acknowledged(monkeypatch):
    for label, by in (("tea", "Sam"), ("coffee", "")):
        task = scheduled(label=label)
        Alert.objects.create(
            kind=Kind.FAILING, subject=f"task:{task.pk}", open_key=f"task:{task.pk}",
            task_id=task.pk,
            label=label, why="The latest run failed: KeyError.", since=NOON, opened_at=NOON,
            acknowledged_at=NOON if by else None, acknowledged_by=by,
        )  # fmt: skip
    text = " ".join(seen("sisy_top --once", monkeypatch).split())
    assert "1 of 2 acknowledged by Sam." in text


def test_a_queue_is_paused_and_resumed_by_the_same_key():
    assert Actions("default").pause("mail").startswith("Paused the queue mail.")
    assert Queue.objects.paused().exists()
    assert Actions("default").pause("mail") == "Resumed the queue mail."
    assert not Queue.objects.paused().exists()


def test_a_worker_is_drained():
    process = worker()
    name = f"{process.pid}@{process.host}"
    assert Actions("default").drain(name).startswith(f"Draining {name}")
    assert Actions("default").drain(name).startswith("Nothing to drain")


def test_a_run_is_cancelled_and_a_failed_one_retried():
    run = held_run(worker(), label="tea")
    assert Actions("default").cancel(str(run.pk)) == f"Asked run {run.pk} to stop."
    assert Actions("default").cancel(str(run.pk)).startswith("Nothing to cancel")
    with pytest.raises(ValueError, match="Only finished runs can be retried"):
        Actions("default").retry(str(run.pk))
    finish(run, NOON, "failed")
    again = Actions("default").retry(str(run.pk))
    assert again == f"Run {Run.objects.get(retry_of=run).pk} is queued as a retry of run {run.pk}."


def test_the_heartbeat_of_the_same_process_is_not_drained():
    heartbeat = Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=MINUTE)
    process = worker()
    assert Actions("default").drain(f"{process.pid}@{process.host}").startswith("Draining")
    asked = Process.objects.exclude(drain_requested_at=None)
    assert list(asked) == [process] != [heartbeat]


def test_the_runs_of_other_engines_are_running_as_well():
    engine = Process.join(Role.ENGINE, using="default", now=NOON, lease=MINUTE)
    run = held_run(worker(), label="import")
    Run.objects.filter(pk=run.pk).update(process=engine)
    answer = told("sisy_top")
    assert [row["task"] for row in answer["running"]] == ["import"]
    assert "0/0 running" in said("sisy_top --once").splitlines()[0]
