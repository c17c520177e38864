"""What ``manage.py sisy`` says of processes that are already running on its database."""

import logging

import pytest
from django.db import OperationalError

from sisy.management.commands.sisy import Command
from sisy.models import Process, Role
from tests.support.moments import MINUTE, NOON, SECOND

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]
OPTIONS = {"queues": ("default",), "concurrency": 1, "grace": 1.0, "pool": "threads"}


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, "sisy")
    return caplog


def joined(role, pid, host="web-1", now=NOON):
    process = Process.join(role, using="default", now=now, lease=30 * SECOND)
    Process.objects.filter(pk=process.pk).update(host=host, pid=pid)
    return process


def test_the_processes_of_a_database_are_named_before_another_joins(log):
    joined(Role.HEARTBEAT, 71)
    joined(Role.WORKER, 72)
    assert Command().build(**OPTIONS)
    [line] = log.messages[1:]
    assert "Already running on this database: heartbeat 71@web-1, worker 72@web-1." in line


def test_processes_that_ended_are_not_named(log):
    joined(Role.HEARTBEAT, 71).leave(now=NOON)
    joined(Role.WORKER, 72, now=NOON - MINUTE)  # its lease has expired
    assert Command().build(**OPTIONS)
    assert not log.messages[1:]


def test_neighbours_are_a_warning_in_development_only(log, settings):
    joined(Role.WORKER, 72)
    for settings.DEBUG in (True, False):
        Command().build(**OPTIONS)
    assert [one.levelname for one in log.records] == ["INFO", "WARNING", "INFO", "INFO"]
    advice = "For development, stop them, or use another database."
    assert [advice in line for line in log.messages] == [False, True, False, False]


def test_of_many_neighbours_a_few_are_named_and_the_rest_counted(log):
    for pid in range(100, 109):
        joined(Role.WORKER, pid)
    Command().build(**OPTIONS)
    assert "worker 105@web-1 and 3 more. This process" in log.messages[1]
    assert "worker 106@web-1" not in log.messages[1]


def test_a_database_that_is_away_does_not_keep_sisy_from_starting(log, monkeypatch):
    def away(*args):
        raise OperationalError("connection refused")

    monkeypatch.setattr("sisy.management.neighbours.clock.now", away)
    assert Command().build(**OPTIONS)
    assert not log.messages[1:]


def test_the_first_line_says_what_runs_and_where_to_find_help(log):
    Command().build(**OPTIONS)
    assert log.messages[0].startswith("Starting a heartbeat and a worker")
    assert "manage.py sisy --help" in log.messages[0]
