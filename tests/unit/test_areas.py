"""Does each test run somewhere, and what is about the database on each database?"""

import re
import tomllib
from itertools import pairwise

import pytest

from tests.conftest import (
    LONG,
    ON_EACH_DATABASE,
    ON_ONE_SERVER,
    ONCE,
    ROOT,
    SEPARATE,
    area_of,
    has_database_tests,
    is_marked,
    name_of,
)

MAKEFILE = (ROOT.parent / "Makefile").read_text()
TOX = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["tox"]

# Which tests run on MariaDB with the newest Python and Django, and which on SQLite.
MARIADB = "database and not one_server and not alone"
NOT_MARIADB = "not database or one_server or alone"

# What differs from one database to the next, or depends on which transactions meet.
SPECIFIC = re.compile(
    r"connection\.vendor|\.cursor\(|select_for_update|transaction=True|transactional_db"
    r"|['\"]postgresql['\"]|['\"]mysql['\"]|from tests\.concurrency"
)
# Tests that look like it, and are not about a database, with the reason.
NOT_SPECIFIC = {
    "dashboard/test_live.py": "a consumer reads in a thread of its own, which needs real commits",
    "dashboard/test_plans.py": "EXPLAIN differs; SQLite says which tables it reads",
    "docs/test_examples.py": "examples may commit",
    "monitoring/test_prometheus.py": "the site answers in a thread of its own, with real commits",
    "simulation/test_simulation.py": "weeks of virtual time are simulated on the fastest one",
    "unit/test_checks.py": "the vendor is a pretended one",
    "unit/test_clock.py": "the vendor is a pretended one",
    "unit/test_areas.py": "it looks for these words",
    "unit/test_house.py": "it looks for these words",
}

TEST_NAME = re.compile(r"^ *(?:async )?def test_(\w+)", re.MULTILINE)
LONGEST_NAME = 70
# Words that make a name read like a translation, and that the voice of Sisy avoids elsewhere, too.
TRANSLATED = re.compile(
    r"(?:^|_)(?:somebody|nobody|whoever|whom|mended|refused|stands_(?:for|there)|goes_on|go_on"
    r"|hears?|is_notified|called_off|in_hand|without_a_word)(?:_|$)"
)

modules = sorted(ROOT.glob("*/**/test_*.py"))


def recipe_of(target):
    return re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1].splitlines()


def variable(name):
    return re.search(rf"^{name} := (.*)$", MAKEFILE, re.MULTILINE)[1].split()


def names_of_tests():
    for path in sorted(ROOT.rglob("*.py")):
        for name in TEST_NAME.findall(path.read_text()):
            yield f"{name_of(path)}: test_{name}", name


def test_a_tests_name_states_its_promise_in_at_most_70_characters():
    """The rest belongs in the test's docstring."""
    assert [where for where, name in names_of_tests() if len(name) > LONGEST_NAME] == []


def test_a_tests_name_contains_no_word_that_reads_like_a_translation():
    assert [where for where, name in names_of_tests() if TRANSLATED.search(name)] == []


def test_each_area_says_on_which_databases_its_tests_run():
    areas = {module.relative_to(ROOT).parts[0] for module in modules}
    assert areas == ON_EACH_DATABASE | ONCE | SEPARATE
    assert len(areas) == len(ON_EACH_DATABASE) + len(ONCE) + len(SEPARATE)


def test_only_tests_for_each_database_have_the_marker(request):
    """Others are not even collected for PostgreSQL and MariaDB."""
    for item in request.session.items:
        has_marker = item.get_closest_marker("database") is not None
        assert has_database_tests(item.path) or not has_marker
        assert area_of(item.path) not in ON_EACH_DATABASE or has_marker


@pytest.mark.parametrize(
    "module", [one for one in modules if one.relative_to(ROOT).parts[0] in ONCE], ids=name_of
)
def test_code_that_differs_between_databases_is_tested_on_each(module):
    if SPECIFIC.search(module.read_text()):
        assert is_marked(module) or name_of(module) in NOT_SPECIFIC, (
            "Mark it with pytest.mark.database, so that it runs on PostgreSQL and MariaDB, too."
        )


@pytest.mark.parametrize(
    ("target", "chosen"),
    [
        ("sqlite", ""),
        ("postgres", "-m database "),
        ("mariadb", '-m "database and not one_server" '),
    ],
)
def test_sqlite_runs_all_tests_and_the_servers_the_database_tests(target, chosen):
    [line] = recipe_of(f"test-{target}")
    assert line.partition("-m pytest ")[2] == f"{chosen}$(TESTS)"
    assert not {"--ignore", "--deselect", "-k", "-m"} & {*variable("TESTS")}


def test_tests_left_out_on_mariadb_exist_and_run_on_postgresql():
    for name in ON_ONE_SERVER:
        module = ROOT / name
        assert module.parent.name in ON_EACH_DATABASE or is_marked(module)


def test_areas_and_modules_that_begin_first_exist():
    assert all((ROOT / name).exists() for name in LONG)


def test_tests_left_out_on_a_second_python_exist():
    left_out = [word for option, word in pairwise(TOX["left_out"]) if option == "--ignore"]
    assert left_out
    assert all((ROOT.parent / path).exists() for path in left_out)


def test_newest_ends_run_database_tests_on_mariadb_and_others_on_sqlite():
    on_mariadb, on_sqlite = TOX["env"]["py313-django61-mariadb"]["commands"]
    assert on_mariadb[:3] == ["python", "-m", "tests.servers"]
    assert on_mariadb[on_mariadb.index("pytest") :][:3] == ["pytest", "-m", MARIADB]
    assert not {"--ignore", "--deselect", "-k"} & {*on_mariadb}
    assert on_sqlite[:5] == ["python", "-m", "pytest", "-m", NOT_MARIADB]
    assert on_sqlite[-1]["of"] == ["tool", "tox", "left_out"]
