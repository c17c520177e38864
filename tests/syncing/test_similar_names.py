"""Names of declared tasks that some databases do not distinguish."""

import pytest
from django.core.management import CommandError
from django.db import connection

from sisy.models import Task, TaskState

pytestmark = pytest.mark.django_db

TWICE = (
    "@sisy.schedule('0 4 * * *', name='Nightly')\n"
    "@sisy.schedule('0 5 * * *', name='nightly')\n"
    "def greet(message):\n    pass\n"
)
ignores_case = pytest.mark.skipif(connection.vendor != "mysql", reason="others distinguish case")


@pytest.mark.skipif(connection.vendor == "mysql", reason="it ignores case")
def test_names_that_differ_in_case_are_those_of_two_tasks(project):
    project.deploy(schedules=TWICE)
    assert set(Task.objects.values_list("name", "schedule")) == {
        ("Nightly", "0 4 * * *"),
        ("nightly", "0 5 * * *"),
    }


@ignores_case
def test_a_name_that_the_database_cannot_distinguish_is_rejected(project, capsys):
    project.write(schedules=TWICE)
    for _ in range(2):
        with pytest.raises(CommandError, match="1 declaration was rejected"):
            project.command("sisy_sync")
        assert list(Task.objects.values_list("name", "schedule")) == [("Nightly", "0 4 * * *")]
    with pytest.raises(CommandError):
        project.command("migrate")
    assert "does not distinguish the name 'nightly' from 'Nightly'" in capsys.readouterr().out


@ignores_case
def test_a_task_continues_if_the_case_of_its_name_changes(project):
    project.deploy(schedules=TWICE.replace("Nightly", "x"))
    [pk] = Task.objects.filter(name="nightly").values_list("pk", flat=True)
    for _ in range(2):
        project.deploy(schedules=TWICE.replace("Nightly", "x").replace("nightly", "Nightly"))
        task = Task.objects.get(pk=pk)
        assert (task.name, task.state, task.is_declared) == ("Nightly", TaskState.ACTIVE, True)
