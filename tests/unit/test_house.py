"""The measures of the house count right; ``python -m tests.house`` shows them for the source."""

import ast
from textwrap import dedent

import pytest

from tests.house.__main__ import MOST_LINES_OF_FILE, ROOT, report
from tests.house.cycles import cycles
from tests.house.guards import (
    GUARDS,
    assigns_run_state,
    assigns_task_state,
    executes_sql,
    sleeps,
)
from tests.house.source import modules
from tests.house.upward import layers, upward_for_types


@pytest.fixture
def tree(tmp_path):
    """Return a function that writes a made-up package and returns its modules."""

    def write(**files):
        root = tmp_path / "shop"
        for name, text in files.items():
            file = root / f"{name.replace('__', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))
        for folder in {file.parent for file in root.rglob("*.py")}:
            (folder / "__init__.py").touch()
        return modules(root)

    return write


def found(finds, code):
    return any(map(finds, ast.walk(ast.parse(code))))


@pytest.fixture(scope="module")
def source():
    """Return the modules of Sisy."""
    return modules(ROOT)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.rule)
def test_each_job_is_done_in_one_place_only(source, guard):
    assert guard.places(source) == []


def test_no_file_is_too_long(source):
    assert [one.path for one in source if one.length > MOST_LINES_OF_FILE] == []


def test_the_package_has_no_import_cycle(source):
    assert cycles(source) == []


def test_no_module_needs_a_higher_layer_for_its_types(source):
    """What a module imports for types it uses all the same, by an object that it is given."""
    assert upward_for_types(source, layers()) == []


def test_an_import_for_types_counts_if_it_goes_upward(tree):
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shop.{} import x"
    source = tree(shelf__cup=types.format("tea"), tea=types.format("shelf.cup"), pot="import tea")
    upward = upward_for_types(source, {"tea": 1, "shelf": 0})
    assert upward == ["shop.shelf.cup imports shop.tea"]


def test_blank_lines_comments_and_docstrings_are_not_code(tree):
    _, module = tree(
        tea='''
            """The module.

            More of it.
            """

            # a reason
            LIMIT = 5  # with a comment behind it
            """The docstring of an attribute."""

            async def brew(
                cups,
            ):
                """Brew."""
                text = """
                not a docstring
                """

                return text
        '''
    )
    assert module.lines_of_code == 8
    assert module.length == 19


def test_migrations_are_not_measured(tree):
    assert [one.path for one in tree(tea="", migrations__one="x = 1")] == ["__init__.py", "tea.py"]


def test_modules_that_import_each_other_are_a_cycle(tree):
    assert cycles(
        tree(
            tea="from shop import cup",
            cup="import shop.pot",
            pot="from .tea import brew",
            shelf="from shop import tea",
        )
    ) == [["shop.cup", "shop.pot", "shop.tea"]]


def test_imports_inside_functions_count(tree):
    code = "def f():\n    from shop import {}"
    assert cycles(tree(tea=code.format("cup"), cup=code.format("tea"))) == [
        ["shop.cup", "shop.tea"]
    ]


@pytest.mark.parametrize("name", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_imports_for_types_do_not_count(tree, name):
    assert (
        cycles(tree(tea=f"if {name}:\n    from shop import cup", cup="from shop import tea")) == []
    )


def test_imports_that_also_happen_at_run_time_count(tree):
    tea = "if TYPE_CHECKING:\n    x = 1\nelse:\n    from shop import cup"
    assert cycles(tree(tea=tea, cup="from shop import tea")) == [["shop.cup", "shop.tea"]]


def test_a_package_that_collects_its_modules_is_not_a_cycle(tree):
    source = tree(pots__clay="from .glass import x\nfrom ..tea import y", pots__glass="", tea="")
    assert cycles(source) == []


def test_a_module_that_imports_from_its_own_package_is_in_a_cycle_with_it(tree, tmp_path):
    tree(pots__clay="from shop.pots import x")
    (tmp_path / "shop" / "pots" / "__init__.py").write_text("from .clay import x")
    assert cycles(modules(tmp_path / "shop")) == [["shop.pots", "shop.pots.clay"]]


@pytest.mark.parametrize(
    "code",
    [
        "run.state = state",
        "run.state, run.reason = RunState.LOST, reason",
        "self.row.state = RunState.LOST",
        "runs.filter(pk=1).update(state=RunState.LOST)",
        "Run(state=RunState.LOST)",
        "columns = {'state': RunState.LOST}",
        "store.outcomes.write_outcomes(using, ended)",
    ],
)
def test_writing_a_runs_state_is_found(code):
    assert found(assigns_run_state, code)


@pytest.mark.parametrize(
    "code",
    [
        "runs.filter(state=RunState.LOST)",
        "Q(state=RunState.LOST)",
        "run.state == RunState.LOST",
        "task.state = TaskState.PAUSED",
        "Outcome(state=RunState.FAILED)",
        "words = {RunState.LOST: 'lost'}",
        "choices = {'state': RunState.values}",
    ],
)
def test_reading_a_runs_state_is_not(code):
    assert not found(assigns_run_state, code)


@pytest.mark.parametrize(
    "code",
    [
        "task.state = state",
        "self.state = TaskState.ACTIVE",
        "tasks.update(state=TaskState.BROKEN)",
        "Task(state=TaskState.RETIRED)",
        "columns = {'state': Case(When(is_broken, then=Value(TaskState.ACTIVE.value)))}",
        "Update(assign={'state': [TaskState.ACTIVE] * count})",
    ],
)
def test_writing_a_tasks_state_is_found(code):
    assert found(assigns_task_state, code)


@pytest.mark.parametrize(
    "code",
    [
        "tasks.filter(state=TaskState.ACTIVE)",
        "Count('pk', filter=Q(state=TaskState.BROKEN))",
        "task.state == TaskState.PAUSED",
        "run.state = RunState.LOST",
        "colors = {TaskState.BROKEN: 'bad'}",
    ],
)
def test_reading_a_tasks_state_is_not(code):
    assert not found(assigns_task_state, code)


def test_sql_on_a_cursor_and_sleeping_are_found():
    assert found(executes_sql, "with c.cursor() as cursor:\n    cursor.execute(sql)")
    assert found(executes_sql, "_driver(connection).cursor().executemany(sql)")
    assert not found(executes_sql, "executor.execute(call)")
    assert found(sleeps, "time.sleep(1)")
    assert found(sleeps, "sleep(1)")
    assert not found(sleeps, "await asyncio.sleep(1)")
    assert not found(sleeps, "jobs.sleeps(1)")


def test_the_report_shows_each_figure_its_target_and_the_obstacles(tree):
    source = tree(
        lifecycle__lose="run.state = RunState.LOST",
        records__outcome="columns = {'state': RunState.FAILED}",
        worker__claim="run.state = RunState.RUNNING\ntime.sleep(1)",
        reports__long="x = 1\n" * 301,
    )
    lines = list(report(source))
    assert "     4 (aim: at most 6,500) lines of code in core" in lines
    assert "     305  with all that is outside core" in lines
    assert "     1 (aim: 0) files with more than 300 lines" in lines
    assert "          reports/long.py (301)" in lines
    assert "     0 (aim: 0) import cycles" in lines
    assert (
        "     1 (aim: 0) places against: RunState is assigned only in lifecycle/ (and in outcomes)"
        in lines
    )
    assert "          worker/claim.py:1" in lines
    assert "          worker/claim.py:2" in lines
