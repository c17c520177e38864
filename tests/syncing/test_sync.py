"""Tasks that code declares: made, changed, kept and paused as the code says."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError

from sisy.models import Overlap, Task, TaskState
from sisy.syncing.sync import NOT_DECLARED

pytestmark = pytest.mark.django_db

GREET = "@sisy.schedule('*/5 * * * *')\ndef greet(message):\n    pass\n"


def only_task():
    return Task.objects.get()


def test_a_declared_function_is_a_task_after_the_deploy(project):
    said = project.deploy(schedules=GREET)
    task = only_task()
    assert (task.name, task.label, task.target_path) == (project.path("greet"),) * 3
    assert (task.schedule, task.state) == ("*/5 * * * *", TaskState.ACTIVE)
    assert task.next_run is not None
    assert task.is_declared
    assert f"+ Create {task.name}" in said
    assert "schedule: '*/5 * * * *'" in said


def test_migrate_creates_declared_tasks_too(project, monkeypatch, capsys):
    project.write(tasks=GREET)
    project.command("migrate")
    assert only_task().name == project.path("greet", "tasks")
    assert "Create" in capsys.readouterr().out


def test_a_hundred_deploys_make_no_duplicate_and_change_nothing(project):
    project.deploy(schedules=GREET)
    before = Task.objects.values().get()
    for _ in range(100):
        assert project.deploy() == "1 task is unchanged.\n"
    assert Task.objects.values().get() == before


def test_changes_in_code_are_applied_and_shown_as_a_diff(project):
    project.deploy(schedules=GREET)
    said = project.deploy(
        schedules="@sisy.schedule('0 4 * * *', queue='slow', timeout=timedelta(minutes=2),\n"
        "    timezone='Europe/Berlin', label='Greetings', userdata={'to': ['Ann']},\n"
        "    overlap='allow', end_running=datetime(2999, 1, 1, tzinfo=UTC))\n"
        "def greet(message):\n    pass\n"
    )
    task = only_task()
    assert (task.schedule, task.timezone, task.queue) == ("0 4 * * *", "Europe/Berlin", "slow")
    assert (task.timeout, task.userdata) == (timedelta(minutes=2), {"to": ["Ann"]})
    assert (task.overlap, task.label) == (Overlap.ALLOW, "Greetings")
    assert task.end_running == datetime(2999, 1, 1, tzinfo=UTC)
    assert f"~ Change {task.name}" in said
    assert "schedule: '*/5 * * * *' -> '0 4 * * *'" in said
    assert 'userdata: {} -> {"to": ["Ann"]}' in said
    assert project.deploy() == "1 task is unchanged.\n"


def test_the_same_report_is_available_as_json(project):
    project.deploy(schedules=GREET)
    task = only_task()
    task.queue = "mine"
    task.save()
    told = json.loads(
        project.deploy(
            "--json",
            schedules="@sisy.schedule('0 4 * * *', queue='slow')\ndef greet(message):\n    pass\n",
        )
    )
    [one] = told["tasks"]
    assert (one["name"], one["outcome"]) == (task.name, "changed")
    assert one["fields"] == {"schedule": {"before": "*/5 * * * *", "after": "0 4 * * *"}}
    assert one["overrides"] == {"queue": {"kept": "mine", "code": "slow"}}
    assert told["not_imported"] == {}


def test_manual_changes_are_kept_and_other_fields_follow_the_code(project):
    project.deploy(schedules=GREET)
    task = only_task()
    task.schedule = "30 * * * *"
    task.save()
    said = project.deploy(
        schedules="@sisy.schedule('0 4 * * *', queue='slow')\ndef greet(message):\n    pass\n"
    )
    task = only_task()
    assert (task.schedule, task.queue) == ("30 * * * *", "slow")
    assert "schedule: keeps '30 * * * *'" in said
    (override,) = task.overrides()
    assert (override.field, override.code, override.own) == ("schedule", "0 4 * * *", "30 * * * *")


def test_a_person_can_reset_their_changes(project):
    project.deploy(schedules=GREET)
    task = only_task()
    task.schedule, task.priority, task.timeout = "30 * * * *", 7, timedelta(seconds=5)
    task.save()
    assert task.back_to_code("priority") == ["priority"]
    assert only_task().priority == 0
    assert only_task().schedule == "30 * * * *"
    before = task.next_run
    assert sorted(task.back_to_code()) == ["schedule", "timeout"]
    task = only_task()
    assert (task.schedule, task.timeout, task.overrides()) == ("*/5 * * * *", None, [])
    assert task.next_run != before or task.next_run.minute % 30 == 0
    assert task.back_to_code() == []


def test_fields_go_back_to_code_by_the_names_of_their_properties(project):
    project.deploy(schedules=GREET)
    task = only_task()
    task.userdata["n"], task.allow_overlap = 1, True
    task.save()
    assert task.back_to_code("allow_overlap") == ["overlap"]
    assert task.back_to_code("userdata") == []  # the code leaves it to the task
    assert (only_task().overlap, only_task().userdata) == ("skip", {"n": 1})


def test_only_declared_fields_can_be_reset(project):
    task = Task.calling("tests.app.jobs.noop")
    task.save()
    with pytest.raises(ValueError, match="is not declared in code"):
        task.back_to_code()
    project.deploy(schedules=GREET)
    with pytest.raises(ValueError, match="does not set 'color'"):
        Task.objects.get(name=project.path("greet")).back_to_code("color")


def test_a_change_that_equals_the_code_is_not_an_override_any_more(project):
    project.deploy(schedules=GREET)
    Task.objects.update(queue="slow")
    slow = "@sisy.schedule('*/5 * * * *', queue='slow')\ndef greet(message):\n    pass\n"
    project.deploy(schedules=slow)
    assert only_task().overrides() == []
    project.deploy(schedules=GREET)
    assert only_task().queue == "default"


def test_a_function_that_writes_user_data_makes_no_override(project):
    project.deploy(schedules=GREET)
    task = only_task()
    task.userdata["n"] = 1
    task.save()
    assert project.deploy() == "1 task is unchanged.\n"
    assert only_task().userdata == {"n": 1}
    assert only_task().overrides() == []


def test_a_task_that_is_no_longer_declared_is_paused_and_kept(project):
    project.deploy(schedules=GREET)
    said = project.deploy(schedules="")
    task = only_task()
    assert (task.state, task.state_reason) == (TaskState.PAUSED, NOT_DECLARED)
    assert task.undeclared_at is not None
    assert not task.is_declared
    assert f"- Pause {task.name}" in said
    assert project.deploy() == "No tasks are declared in code.\n"


def test_a_task_that_is_declared_again_continues(project):
    project.deploy(schedules=GREET)
    project.deploy(schedules="")
    said = project.deploy(schedules=GREET)
    task = only_task()
    assert (task.state, task.undeclared_at, task.is_declared) == (TaskState.ACTIVE, None, True)
    assert "Resumed, because it is declared again" in said


def test_a_manually_paused_task_stays_paused_after_deploys(project):
    project.deploy(schedules=GREET)
    only_task().pause("not on Fridays")
    project.deploy(schedules="")
    assert only_task().state_reason == "not on Fridays"
    assert "still paused" in project.deploy(schedules=GREET)
    assert (only_task().state, only_task().state_reason) == (TaskState.PAUSED, "not on Fridays")


def test_a_dry_run_reports_changes_and_makes_none(project):
    project.deploy(schedules=GREET)
    before = list(Task.objects.values())
    text = GREET.replace("*/5", "*/7").replace("greet", "count") + GREET.replace("*/5", "*/8")
    said = project.deploy("--dry-run", schedules=text)
    assert "+ Create" in said
    assert "-> '*/8 * * * *'" in said
    assert list(Task.objects.values()) == before


def test_check_fails_while_changes_are_pending(project):
    with pytest.raises(CommandError, match="do not match the code"):
        project.deploy("--check", schedules=GREET)
    assert not Task.objects.exists()
    project.deploy()
    assert project.deploy("--check") == "1 task is unchanged.\n"


def test_a_function_may_have_several_schedules_each_with_a_name(project):
    project.deploy(
        schedules="@sisy.schedule('0 4 * * *')\n"
        "@sisy.schedule('0 12 * * sat', name='weekend', userdata={'long': True})\n"
        "def greet(message):\n    return 1\n\n\nassert greet(None) == 1\n"
    )
    assert {task.name: task.userdata for task in Task.objects.all()} == {
        project.path("greet"): {},
        "weekend": {"long": True},
    }


def test_a_task_with_a_name_follows_its_function_to_another_module(project):
    named = "@sisy.schedule('0 4 * * *', name='greeting')\ndef greet(message):\n    pass\n"
    project.deploy(schedules=named)
    pk = only_task().pk
    project.deploy(schedules="", tasks=named)
    task = only_task()
    assert (task.pk, task.target_path) == (pk, project.path("greet", "tasks"))
    assert task.state == TaskState.ACTIVE


def test_class_and_static_methods_are_declared_in_either_order_of_decorators(project):
    project.deploy(
        schedules="class Clerk:\n"
        "    @sisy.schedule('0 4 * * *')\n    @classmethod\n    def above(cls, message): pass\n\n"
        "    @classmethod\n    @sisy.schedule('0 4 * * *')\n    def below(cls, message): pass\n\n"
        "    @sisy.schedule('0 4 * * *')\n    @staticmethod\n    def still(message): pass\n"
    )
    paths = set(Task.objects.values_list("target_path", flat=True))
    assert paths == {project.path(f"Clerk.{name}") for name in ("above", "below", "still")}


@pytest.mark.parametrize(
    ("declaration", "problem"),
    [
        ("@sisy.schedule('61 * * * *')\ndef wrong(message): pass", "minute"),
        ("@sisy.schedule('* * * * *')\ndef wrong(): pass", "exactly one parameter"),
        ("@sisy.schedule('* * * * *', overlap='allways')\ndef wrong(message): pass", "'allow'"),
        ("@sisy.schedule('* * * * *', timezone='Mars/Base')\ndef wrong(message): pass", "Mars"),
        (
            "@sisy.schedule('* * * * *', userdata={1: 2})\ndef wrong(message): pass",
            "strings as keys",
        ),
        (
            "@sisy.schedule('* * * * *', wait_for_schedule='no')\ndef wrong(message): pass",
            "wait_for_schedule must be True or False, not 'no'",
        ),
        (
            "@sisy.schedule('* * * * *', engine=['default'])\ndef wrong(message): pass",
            "['default'] is not an engine",
        ),
    ],
)
def test_an_invalid_declaration_does_not_stop_the_others(project, declaration, problem):
    project.write(schedules=declaration + "\n\n\n" + GREET)
    with pytest.raises(CommandError, match="1 declaration was rejected"):
        project.command("sisy_sync")
    assert only_task().name == project.path("greet")
    project.write(schedules=declaration.replace("wrong", "greet"))
    with pytest.raises(CommandError):
        project.command("sisy_sync")
    assert only_task().schedule == "*/5 * * * *"  # it is as before
    assert only_task().is_declared
    with pytest.raises(CommandError) as raised:
        project.command("check")
    assert "sisy.E006" in str(raised.value)
    assert problem in str(raised.value)


def test_a_module_that_cannot_be_imported_removes_no_task(project, capsys):
    project.deploy(schedules=GREET, tasks=GREET.replace("greet", "count"))
    project.write(schedules="import nowhere_to_be_found\n")
    with pytest.raises(CommandError, match="1 module could not be imported"):
        project.command("sisy_sync")
    assert Task.objects.declared().count() == 2
    assert set(Task.objects.values_list("state", flat=True)) == {TaskState.ACTIVE}
    project.command("check")
    assert "sisy.W012" in capsys.readouterr().err


def test_a_past_window_creates_no_task_and_no_error(project):
    past = "@sisy.schedule('* * * * *', end_running=datetime(2020, 1, 1, tzinfo=UTC))\n"
    said = project.deploy("-v2", schedules=past + "def greet(message):\n    pass\n")
    assert "no upcoming occurrences" in said
    assert not Task.objects.exists()


def test_a_finished_declared_task_is_kept_and_does_not_run_again(project):
    counted = "@sisy.schedule('* * * * *', iterations=1)\ndef greet(message):\n    pass\n"
    project.deploy(schedules=counted)
    Task.objects.update(runs_planned=1, state=TaskState.RETIRED, next_run=None)
    assert Task.objects.all().delete_ended() == 0
    assert project.deploy() == "1 task is unchanged.\n"
    assert only_task().state == TaskState.RETIRED


def test_a_method_of_an_object_is_declared_with_its_key(project):
    project.deploy(
        schedules="from tests.app.models import Counter\n"
        "sisy.schedule('0 4 * * *', pk_override=7)(Counter.tick)\n"
    )
    assert only_task().target_pk == "7"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_secrets_in_user_data_are_masked_in_reports(project, options):
    code = "@sisy.schedule('%d 4 * * *', userdata={'api_key': '%d s3cret'})\n"
    code += "def greet(message):\n    pass\n"
    said = project.deploy(*options, schedules=code % (0, 1))
    said += project.deploy(*options, schedules=code % (0, 2))
    task = only_task()
    task.userdata = {"api_key": "my own s3cret"}
    task.save()
    kept = project.deploy(*options, schedules=code % (5, 3))
    assert "•••" in said
    assert "•••" in kept
    assert "s3cret" not in said + kept
