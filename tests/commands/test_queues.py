"""How people see, pause and resume queues from a terminal."""

import pytest
from django.core.management import CommandError

from sisy.models import Process, Queue, Role
from sisy.reports import by_state, queues
from tests.commands.calling import said, seen, told
from tests.roles.steps import held_run
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def worker_of(*queues, slots=1):
    return Process.join(
        Role.WORKER, using="default", now=NOON, lease=MINUTE, queues=queues, slots=slots
    )


def queued(label, queue, now=NOON):
    task = scheduled("0 0 1 1 *", label=label, queue=queue, overlap="allow")
    task.new_run(now=now).save()


def test_queues_are_listed_with_what_holds_them_up(monkeypatch):
    queued("thumbnails", "cpu", NOON - HOUR)
    queued("letter", "mail")
    queued("tea", "default")
    held_run(worker_of("default"), label="lunch")
    Queue.objects.pause("mail", "the provider is down", by="ann")
    lines = seen("sisy_queues list", monkeypatch).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split() == ["cpu", "no", "worker", *["1", "1", "h", "ago", "0", "0", "0", "0"]]
    assert lines[3].split() == ["default", "full", *["1", "now", "1", "1", "1", "0"]]
    assert lines[4].split()[:2] == ["mail", "paused"]
    text = "\n".join(lines[5:])
    assert "The queue 'cpu' has no worker.\n  To start a worker: manage.py sisy_worker" in text
    assert "The only worker slot for the queue 'default' is in use." in text
    words = " ".join(text.split())
    assert "paused by ann at 2026-05-05 12:00:00 UTC (the provider is down)." in words
    assert "manage.py sisy_queues resume mail" in text


def test_a_program_gets_all_facts_about_a_queue():
    queued("tea", "mail")
    worker = worker_of("mail", slots=4)
    Queue.objects.pause("mail", "down", by="ann")
    [queue] = told("sisy_queues list")
    assert queue == {
        "queue": "mail",
        "state": "paused",
        "queued": 1,
        "oldest": "2026-05-05T12:00:00+00:00",
        "running": 0,
        "slots": 4,
        "workers": [str(worker)],
        "last_hour": 0,
        "paused": "2026-05-05T12:00:00+00:00",
        "paused_until": None,
        "paused_by": "ann",
        "pause_reason": "down",
    }


def test_the_runs_that_ended_in_the_last_hour_are_counted():
    task = scheduled("0 0 1 1 *", queue="mail", overlap="allow")
    for minutes in (10, 50, 70):
        at = NOON - minutes * MINUTE
        task.new_run(now=at, state="succeeded", started_at=at, finished_at=at).save()
    [queue] = told("sisy_queues list")
    assert (queue["last_hour"], queue["state"]) == (2, "no worker")


def test_a_site_without_queues_says_so():
    assert said("sisy_queues list") == "No task, run or worker uses a queue yet.\n"


def test_queues_are_paused_and_resumed():
    scheduled(queue="mail")
    text = said("sisy_queues pause mail --reason down --by ann")
    assert text.startswith("Paused the queue mail. Current runs continue. To resume: manage.py")
    queue = Queue.objects.get()
    assert (queue.pause_reason, queue.paused_by) == ("down", "ann")
    with pytest.raises(CommandError, match=r"^Already paused: mail\.$"):
        said("sisy_queues pause mail")
    assert told("sisy_queues resume mail") == {"resumed": ["mail"]}
    with pytest.raises(CommandError, match=r"^Not paused: mail\.$"):
        said("sisy_queues resume mail")


def test_a_pause_may_have_an_end():
    scheduled(queue="mail")
    text = said("sisy_queues pause mail --until 2026-05-05T18:00")
    assert text.startswith("Paused the queue mail until 2026-05-05 18:00:00 UTC. Current runs")
    assert Queue.objects.get().paused_until == NOON + 6 * HOUR
    Queue.objects.resume("mail")
    with pytest.raises(CommandError, match="2026-05-05"):
        said("sisy_queues pause mail --until 2026-05-05T11:00")


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_an_unknown_queue_is_answered_with_the_nearest_one(verb):
    scheduled(queue="mail")
    with pytest.raises(CommandError, match=r"named 'mial'\. Did you mean 'mail'\?"):
        said(f"sisy_queues {verb} mial")
    with pytest.raises(CommandError, match=r"named 'x'\. The queues are: mail\."):
        said(f"sisy_queues {verb} x")
    assert not Queue.objects.exists()


def test_a_count_that_stopped_at_its_limit_says_so_for_every_queue(monkeypatch):
    monkeypatch.setattr(queues, "MAX_QUEUED_COUNTED", 2)
    for number in range(3):
        queued(f"letter {number}", "mail", NOON - HOUR)
    queued("tea", "default")
    rows = [line.split() for line in said("sisy_queues list").splitlines()[2:4]]
    assert [(row[0], row[3]) for row in rows] == [("default", "0+"), ("mail", "2+")]
    top = said("sisy_top --once")
    assert "2+ queued" in top.splitlines()[0]
    assert ["default", "no", "worker", "0+"] in [line.split()[:4] for line in top.splitlines()]


def test_runs_of_the_last_hour_that_are_too_many_to_count_have_a_plus(monkeypatch):
    monkeypatch.setattr(by_state, "MAX_RUNS_WALKED", 1)
    for number in range(2):
        held_run(worker_of("default", slots=2), label=f"tea {number}")
    assert said("sisy_queues list").splitlines()[2].split()[-1] == "0+"
    assert told("sisy_queues list")[0]["last_hour"] == 0
