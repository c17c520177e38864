"""Do the tables of the manual say what the code says?"""

import ast
import re
import subprocess
import sys
import tomllib
from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.dispatch import Signal

from sisy import conf, signals
from sisy.messaging import messages
from sisy.models import Run, RunState, Task, TaskState, task_with_callable
from sisy.records.choices import Missed, OnLost, Overlap
from sisy.records.task_fields import OWNER_FIELDS, SCHEDULER_FIELDS
from tests.docs.pages import DOCS, ROOT, blocks_of, tables_of, words_in

REFERENCE = DOCS / "reference"


def first_words(rows):
    return {word for row in rows for word in words_in(row[0])}


def test_the_generated_tables_match_the_code():
    pytest.importorskip("sphinx", reason="once is enough, where the manual is built")
    checked = subprocess.run(
        [sys.executable, DOCS / "tables.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_settings_table_equals_conf():
    told = {}
    for name, default, meaning in tables_of(REFERENCE / "settings.md")["Setting"]:
        ends = re.search(r"\b([\d.]+) to (\d+)\b", meaning)
        told[words_in(name)[0]] = (
            ast.literal_eval(words_in(default)[0]),
            tuple(map(float, ends.groups())) if ends else None,
        )
    found = {
        conf.PREFIX + field.name.upper(): (_default_of(field), conf.RANGES.get(field.name))
        for field in fields(conf.Settings)
    }
    assert told == found


def _default_of(field):
    return field.default if field.default_factory is MISSING else field.default_factory()


def test_every_setting_that_any_page_names_exists():
    for page in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]:
        assert set(re.findall(r"SISY_[A-Z_]+", page.read_text())) <= set(conf.known_names()), page


def test_the_states_are_those_of_the_enumerations():
    table = tables_of(REFERENCE / "states.md")["From"]
    named = {word for row in table for cell in row[:2] for word in words_in(cell)}
    assert named == {*RunState.values, *TaskState.values}


def test_each_diagram_shows_the_states_of_one_enumeration():
    of_runs, of_tasks = (
        block.text for block in blocks_of(REFERENCE / "states.md") if block.language == "text"
    )
    assert set(RunState.values) == states_in(of_runs, RunState)
    assert set(TaskState.values) == states_in(of_tasks, TaskState)
    assert not states_in(of_runs, TaskState)
    assert not states_in(of_tasks, RunState)


def states_in(diagram, states):
    return {state for state in states.values if re.search(rf"\b{state}\b", diagram)}


def test_the_states_that_the_page_on_trouble_explains_are_states():
    tables = tables_of(DOCS / "howto" / "diagnose.md")
    named = first_words(tables["State"]) - {"ready_at"}
    assert named == set(RunState.values) - {RunState.SUCCEEDED}


def test_the_tables_of_tasks_name_every_column(settings):
    rows = tables_of(REFERENCE / "task.md")["Field"]
    names = first_words(rows)
    tasks = {field.name for field in Task._meta.concrete_fields} - {"id", "_extra_data"}
    runs = {field.name for field in Run._meta.concrete_fields} - {"id"}
    assert names == tasks | {"userdata"} | runs
    assert OWNER_FIELDS - {"_extra_data"} <= names
    assert names >= SCHEDULER_FIELDS


def test_the_defaults_of_a_task_are_those_of_the_table():
    task = task_with_callable("tests.app.jobs.noop")
    in_words = {"10 s": timedelta(seconds=10), "1 h": timedelta(hours=1), "0": timedelta(0)}
    elsewhere = {"label", "schedule", "timezone", "target_path"}
    own = [row for row in tables_of(REFERENCE / "task.md")["Field"] if len(row) == 4]
    for row in own:
        (name,) = words_in(row[0])
        if name in elsewhere:
            continue
        default = in_words[row[1]] if row[1] in in_words else ast.literal_eval(row[1].strip("`"))
        assert getattr(task, name) == default, name
    assert {word for row in own for word in words_in(row[0])} - {"userdata"} == OWNER_FIELDS - {
        "_extra_data"
    }


def test_the_values_of_each_policy_are_those_of_its_enumeration():
    words = {"missed": Missed, "overlap": Overlap, "on_lost": OnLost}
    reference = [row for row in tables_of(REFERENCE / "task.md")["Field"] if len(row) == 4]
    readme = tables_of(ROOT / "README.md")["Policy"]
    for name, values in words.items():
        assert [words_in(row[2]) for row in reference if row[0] == f"`{name}`"] == [values.values]
        assert [words_in(row[1]) for row in readme if row[0] == f"`{name}`"] == [values.values]


def test_the_tables_of_messages_name_every_key():
    rows = tables_of(REFERENCE / "messages.md")["Key"]
    told = [words_in(row[0])[0] for row in rows]
    kinds = (messages.RunTask, messages.Control, messages.Look, messages.Event, messages.Beat)
    assert told == [name for kind in kinds for name in kind.__annotations__]
    assert [words_in(row[1]) for row in rows if row[0] == "`type`"] == [
        [f'"{messages.RUN_TASK}"'],
        [f'"{messages.CONTROL}"'],
        [f'"{messages.LOOK}"'],
        [f'"{messages.EVENT}"'],
        [f'"{messages.HEARTBEAT}"'],
    ]
    beat = messages.beat(
        datetime(2026, 5, 5, tzinfo=UTC), planned=1, missed=0, rescued=0, deleted=0
    )
    assert set(beat) == set(messages.Beat.__annotations__)


def test_the_page_on_signals_lists_every_signal():
    told = [words_in(row[0])[0] for row in tables_of(REFERENCE / "signals.md")["Signal"]]
    found = [name for name, value in vars(signals).items() if isinstance(value, Signal)]
    assert told == found


def test_the_page_on_checks_lists_exactly_the_ids_of_the_checks():
    identifiers = re.compile(r"\bsisy\.[EWI]\d{3}\b")
    files = (ROOT / "src" / "sisy").rglob("*.py")
    found = {name for file in files for name in identifiers.findall(file.read_text())}
    told = [words_in(row[0])[0] for row in tables_of(REFERENCE / "checks.md")["Check"]]
    assert told == sorted(found)


ARCHITECTURE = ROOT / "docs" / "explanation" / "architecture.md"
SOURCE = ROOT / "src" / "sisy"


def drawings(page):
    return [block.text for block in blocks_of(page) if block.language == "text"]


def test_the_maps_of_the_code_and_of_the_tests_name_folders_that_exist():
    packages, *_ = drawings(ARCHITECTURE)
    (tests,) = drawings(ROOT / "CONTRIBUTING.md")
    for text in (packages, tests):
        folder, *lines = text.splitlines()
        assert all((ROOT / folder / line.split()[0]).is_dir() for line in lines)


def test_the_map_of_the_code_lists_every_package_that_contains_code():
    packages, *_ = drawings(ARCHITECTURE)
    listed = {line.split()[0].rstrip("/") for line in packages.splitlines()[1:]}
    found = {file.parent.name for file in SOURCE.glob("*/__init__.py")}
    assert listed == found | {"templates", "static"}


def test_the_layers_are_those_that_are_enforced():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    (contract,) = (c for c in tools["importlinter"]["contracts"] if c["type"] == "layers")
    assert contract["exhaustive"]
    _, told, _ = drawings(ARCHITECTURE)
    enforced = [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]
    assert [set(line.split()) for line in told.splitlines()] == enforced


def test_the_path_of_a_due_moment_names_files_that_exist():
    *_, path = drawings(ARCHITECTURE)
    folder, count = SOURCE, 0
    for line in path.splitlines():
        place, names = line[:12].strip(), line[12:].split()
        folder = folder if not place else SOURCE / place if place.endswith("/") else SOURCE
        assert all((folder / f"{name}.py").is_file() for name in names), line
        count += len(names)
    assert f"{count} files" in ARCHITECTURE.read_text()


def requirement(text):
    return re.match(r"[A-Za-z0-9-]+", text)[0]


def test_the_table_of_dependencies_lists_exactly_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = {
        "run time": project["project"]["dependencies"],
        **{f"extra `{k}`": v for k, v in project["project"]["optional-dependencies"].items()},
        **project["dependency-groups"],
    }
    found = {}
    for place, requirements in groups.items():
        for text in requirements:
            if isinstance(text, str):
                found.setdefault(requirement(text), set()).add(place)
    told = {}
    for name, places, reason in tables_of(ROOT / "CONTRIBUTING.md")["Dependency"]:
        told[words_in(name)[0]] = set(places.split("; "))
        assert reason
    assert told == found


@pytest.mark.django_db
def test_the_admin_page_lists_exactly_the_existing_permissions():
    rows = tables_of(DOCS / "howto" / "admin.md")["Permission"]
    told = {word for row in rows for word in words_in(row[0])}
    ours = Permission.objects.filter(content_type__app_label="sisy")
    shown = ["task", "run", "queue", "outboxmessage", "alert"]
    models = ours.filter(content_type__model__in=shown).exclude(
        codename__regex="^((add|change|delete)_(run|queue)|(add|delete)_outboxmessage"
        "|(add|change|delete|view)_alert)$"
    )
    assert told == {f"sisy.{name}" for name in models.values_list("codename", flat=True)}
