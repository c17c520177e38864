"""A module that fails while it declares tasks changes nothing, says why, and fails the deploy."""

import sys

import pytest
from django.core.management import CommandError, call_command
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy

import sisy
from sisy.exceptions import DeclarationError
from sisy.models import Task, TaskState
from sisy.planning import declarations
from sisy.syncing import discover

pytestmark = pytest.mark.django_db

GREET = "@sisy.schedule('*/5 * * * *')\ndef greet(message):\n    pass\n\n"
BORROWED = "from tests.app.jobs import noop\nsisy.schedule('0 4 * * *')(noop)\n\n"
HALFWAY = "raise RuntimeError('half way')\n"
UNSPEAKABLE = (
    "class Unspeakable(Exception):\n    def __str__(self): sys.exit('of its class')\n\n"
    "import sys\nraise Unspeakable\n"
)
FAILURE = (
    "1 module could not be imported. The affected tasks were not changed. Fix the errors and run "
    "the command again, or set SISY_IGNORE_SYNC_ERRORS = True."
)


@pytest.fixture
def imported_anew(project):
    """Return a function that looks at the code twice in one process, as check and migrate do."""

    def look():
        project.unload()
        with declarations.collected_anew():
            return discover(), discover()

    return look


@pytest.mark.parametrize("declared", [GREET, BORROWED, GREET + BORROWED])
@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (HALFWAY, "RuntimeError: half way"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        (UNSPEAKABLE, "Unspeakable: <exception str() failed>"),
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_"),
        ("@sisy.schedule('* * * * *', overlapp='skip')\ndef b(message): pass\n", "TypeError: "),
    ],
)
def test_the_original_error_is_shown_every_time(project, imported_anew, declared, failing, error):
    project.write(schedules=declared + failing)
    for found in imported_anew():
        assert list(found.broken) == [f"{project.name}.schedules"]
        assert found.broken[f"{project.name}.schedules"].startswith(error)
        assert found.declarations == []


def test_a_declaration_that_failed_first_succeeds_later(project):
    project.write(schedules="import os\n" + GREET + BORROWED + "os.environ['DECLARE_NOW']\n")
    project.unload()
    with declarations.collected_anew(), pytest.MonkeyPatch.context() as patch:
        with pytest.raises(KeyError):
            __import__(f"{project.name}.schedules")
        patch.setenv("DECLARE_NOW", "1")
        found = discover()
    assert not found.broken
    assert [one.name for one in found.declarations] == [
        project.path("greet"),
        "tests.app.jobs.noop",
    ]


def test_a_module_that_a_failing_one_imports_still_declares(project, imported_anew):
    project.write(
        more=GREET, schedules=f"import {project.name}.more\n{BORROWED}{HALFWAY}", tasks=GREET
    )
    for found in imported_anew():
        names = [one.name for one in found.declarations]
        assert names == [project.path("greet", "more"), project.path("greet", "tasks")]


def test_a_name_that_is_taken_is_still_rejected_within_a_module(project, imported_anew):
    twice = GREET + "@sisy.schedule('* * * * *', name='{}')\ndef other(message): pass\n"
    project.write(schedules=twice.format(project.path("greet")))
    for found in imported_anew():
        [why] = found.broken.values()
        assert why.startswith(f"DeclarationError: The name {project.path('greet')!r} of ")
        assert "is already used by" in why


def test_the_deploy_fails_and_nothing_of_the_module_changes(project):
    project.deploy(schedules=GREET + BORROWED, tasks=GREET.replace("greet", "count"))
    before = list(Task.objects.order_by("pk").values())
    changed = GREET.replace("*/5", "*/7") + BORROWED.replace("0 4", "0 5") + HALFWAY
    project.write(schedules=changed, tasks=GREET.replace("greet", "more"))
    with pytest.raises(CommandError) as failure:
        project.command("sisy_sync")
    assert str(failure.value) == FAILURE
    after = list(Task.objects.exclude(name=project.path("more", "tasks")).order_by("pk").values())
    assert after == before
    assert Task.objects.filter(name=project.path("more", "tasks")).exists()
    assert set(Task.objects.values_list("state", flat=True)) == {TaskState.ACTIVE}


def test_migrate_fails_after_the_receivers_of_all_apps_ran(project, capsys):
    heard = []

    def hear(sender, **kwargs):
        heard.append(sender.label)

    project.write(schedules=GREET + HALFWAY, tasks=GREET)
    post_migrate.connect(hear)
    try:
        with pytest.raises(CommandError) as failure:
            project.command("migrate")
    finally:
        post_migrate.disconnect(hear)
    assert str(failure.value) == FAILURE
    assert "RuntimeError: half way" in capsys.readouterr().out
    assert {"auth", "contenttypes", "sisy"} <= {*heard, "contenttypes"}
    assert [task.name for task in Task.objects.all()] == [project.path("greet", "tasks")]


def test_the_receiver_is_connected_once_however_often_apps_are_loaded(project, settings):
    settings.INSTALLED_APPS = [one for one in settings.INSTALLED_APPS if one != project.name]
    keys = [key for key, *_ in post_migrate.receivers if key[0] == "sisy.syncing"]
    assert len(keys) == 1


def test_a_deploy_succeeds_if_failures_are_allowed(project, settings):
    project.write(schedules=GREET + HALFWAY, tasks=GREET)
    assert "RuntimeError: half way" in project.command("sisy_sync", "--ignore-errors")
    settings.SISY_IGNORE_SYNC_ERRORS = True
    project.command("sisy_sync")
    project.command("migrate")
    assert Task.objects.count() == 1


def test_once_the_module_works_again_it_is_synced(project):
    project.write(schedules=GREET + HALFWAY)
    with pytest.raises(CommandError):
        project.command("sisy_sync")
    project.deploy(schedules=GREET)
    assert Task.objects.get().name == project.path("greet")


@pytest.mark.parametrize("name", [gettext_lazy("tea"), 7, ""])
def test_a_name_is_a_plain_text(name):
    def greet(message):
        pass

    with declarations.collected_anew(), pytest.raises(DeclarationError, match="name"):
        sisy.schedule("* * * * *", name=name)(greet)


def test_a_keyboard_interrupt_ends_discovery(project):
    project.write(schedules="raise KeyboardInterrupt\n")
    project.unload()
    with declarations.collected_anew(), pytest.raises(KeyboardInterrupt):
        call_command("sisy_sync")
    assert f"{project.name}.schedules" not in sys.modules
