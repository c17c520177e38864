"""Can what the pages tell people to type be typed?"""

import re
import shlex

import pytest
import yaml
from django.core.management import CommandError, get_commands, load_command_class

from tests.docs.pages import ROOT, all_blocks, blocks_of, name_of, pages, tables_of, words_in

PROGRAMS = {
    *("celery", "curl", "django-admin", "granian", "make", "opentelemetry-instrument", "pip"),
    *("python", "uvicorn"),
}
SERVING = ("sisy", "sisy_heartbeat", "sisy_worker")
OURS = (
    *SERVING,
    "sisy_sync",
    "sisy_tasks",
    "sisy_alerts",
    "sisy_runs",
    "sisy_queues",
    "sisy_workers",
    "sisy_top",
    "sisy_status",
    "sisy_health",
    "sisy_simulate",
    "sisy_prune",
    "sisy_completion",
)
FOREIGN = {"runworker": "channels"}
OPTIONS = {
    "queues",
    "concurrency",
    "grace",
    "processes",
    "pool",
    "max_runs_per_child",
    "max_memory_per_child",
    "reload",
    "dry_run",
    "check",
    "ignore_errors",
    "json",
    "max_overdue",
    "this_host",
    "days",
    "task",
    "csv",
    "by_minute",
    "show",
    "once",
}

management = re.compile(r"manage\.py (?P<command>[a-z_]+)(?P<rest>[^`\n]*)")


def typed_lines():
    """Yield each line that a console block shows behind a prompt."""
    for block in all_blocks():
        if block.language == "console":
            yield from (line.removeprefix("$ ") for line in block.text.splitlines())


def management_lines():
    """Yield each command line of manage.py, in whichever block or sentence it stands."""
    for page in pages():
        for match in management.finditer(page.read_text()):
            yield name_of(page), match["command"], match["rest"]


def parser_of(name):
    app = get_commands().get(name) or FOREIGN[name]
    return load_command_class(app, name).create_parser("manage.py", name)


def test_each_command_of_manage_py_exists_and_takes_its_arguments():
    seen = set()
    for page, name, rest in management_lines():
        seen.add(name)
        try:
            parser_of(name).parse_args(shlex.split(rest))
        except CommandError as error:
            pytest.fail(f"{page}: manage.py {name}{rest}: {error}")
    assert seen >= {*OURS, *FOREIGN, "migrate", "shell"}


def commands_in(value):
    """Yield each command that a parsed YAML document names, as a list of words."""
    if isinstance(value, list) and "manage.py" in value:
        yield [str(word) for word in value[value.index("manage.py") + 1 :]]
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from commands_in(one)


def test_each_command_of_a_container_exists_and_takes_its_arguments():
    seen = set()
    for block in all_blocks():
        if block.language == "yaml":
            for name, *rest in commands_in(list(yaml.safe_load_all(block.text))):
                seen.add(name)
                parser_of(name).parse_args(rest)
    assert seen >= {"sisy_heartbeat", "sisy_worker", "sisy_health"}


def documents():
    """Yield each YAML document of the manual and of the example."""
    for block in all_blocks():
        if block.language == "yaml":
            yield from yaml.safe_load_all(block.text)
    for path in [*(ROOT / "example").rglob("*.y*ml"), *(ROOT / ".github").rglob("*.y*ml")]:
        yield from yaml.safe_load_all(path.read_text())


def test_each_yaml_document_can_be_parsed():
    found = list(documents())
    assert len(found) >= 4
    assert all(isinstance(document, dict) and document for document in found)


def test_a_kubernetes_job_can_be_applied_for_every_release():
    jobs = [document for document in documents() if document.get("kind") == "Job"]
    assert jobs
    for job in jobs:
        [container] = job["spec"]["template"]["spec"]["containers"]
        _, release = container["image"].split(":")
        assert job["metadata"]["name"].endswith(release)


def test_the_health_check_of_a_container_tests_its_own_process():
    services = [
        service for document in documents() for service in document.get("services", {}).values()
    ]
    checked = [service for service in services if "healthcheck" in service]
    assert len(checked) == 2
    for service in checked:
        assert service["healthcheck"]["test"][-2:] == ["sisy_health", "--this-host"]


@pytest.mark.parametrize("page", ["diagnose.md", "production.md"])
def test_the_pages_for_people_on_call_begin_with_the_commands(page):
    first = next(block for block in blocks_of(ROOT / "docs" / "howto" / page))
    commands = [line.split()[3] for line in first.text.splitlines()]
    assert commands == ["sisy_tasks", "sisy_status", "sisy_health"]


def test_each_program_in_an_example_is_known():
    typed = {line.split()[0].removeprefix(".venv/bin/") for line in typed_lines()}
    assert typed <= PROGRAMS


def test_each_target_of_make_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set()
    for page in pages():
        text = page.read_text()
        named |= set(re.findall(r"`make ([a-z-]+)", text))
        named |= set(re.findall(r"^\$ make ([a-z-]+)", text, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_the_reference_lists_every_command_and_every_option_with_its_default():
    tables = tables_of(ROOT / "docs" / "reference" / "commands.md")
    assert {words_in(row[0])[0] for row in tables["Command"]} == set(OURS)
    told = {}
    for options, default, of, _ in tables["Option"]:
        for command in SERVING if of == "all" else words_in(of):
            told[command, tuple(words_in(options))] = default.strip("`")
    found = {
        (command, tuple(action.option_strings)): shown(action)
        for command in OURS
        for action in parser_of(command)._actions
        if action.dest in OPTIONS
    }
    assert told == found


def shown(action):
    return "DEBUG" if action.dest == "reload" else str(action.default)


def test_the_commands_have_no_option_of_ours_that_the_reference_leaves_out():
    base = {action.dest for action in parser_of("migrate")._actions}
    for command in OURS:
        own = {action.dest for action in parser_of(command)._actions} - base
        assert own <= OPTIONS | {"verb", "start", "end", "shell", "words"}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_console_blocks_show_only_what_is_typed(page):
    for block in blocks_of(page):
        if block.language == "console":
            assert all(line.startswith("$ ") for line in block.text.splitlines()), block
