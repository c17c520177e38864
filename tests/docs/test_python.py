"""Does the page on functions and classes leave out nothing that can be imported?"""

import inspect
import re

import sisy
import sisy.models
import sisy.testing
from sisy import exceptions, migrations_ops
from sisy.models import Queue, Run, Task
from tests.docs.pages import DOCS

PAGE = (DOCS / "reference" / "python.md").read_text()
DOCUMENTED = {path.rpartition(".")[2] for path in re.findall(r"auto\w+:: ([\w.]+)", PAGE)}
NOT_FOR_PEOPLE = {
    "calling": "task_with_callable is for people",
    "for_once": "run_once is",
    "new_run": "returns an unsaved run",
    "tell": "tells",
    "insert_alone": "inserts without planning",
    "changed_columns": "compares with what was saved",
    "remember": "remembers what was saved",
    "remember_read": "remembers what was read",
    "remember_inserted": "remembers what was inserted",
    "notice_rollback": "is a step of a save",
    "twin": "copies a task for a run",
    "clean": "is for forms",
    "to_backfill": "is what backfill would do, for those who ask before",
    "from_db": "is Django's",
    "refresh_from_db": "is Django's",
}


def public_methods(model):
    """Return the methods and class methods that a model of ours has beside Django's."""
    ours = [cls for cls in model.__mro__ if cls.__module__.startswith("sisy.")]
    return {
        name
        for cls in ours
        for name, value in vars(cls).items()
        if not name.startswith("_")
        and not inspect.iscoroutinefunction(getattr(cls, name))  # a twin; see tests.models
        and (inspect.isfunction(value) or isinstance(value, classmethod | staticmethod))
        and not name.startswith(("get_next_by", "get_previous_by"))
        and not (name.startswith("get_") and name.endswith("_display"))
    }


def test_every_name_that_can_be_imported_is_there():
    public = {*sisy.__all__, *sisy.models.__all__, *sisy.testing.__all__}
    errors = {name for name in public if hasattr(exceptions, name)}
    assert public - errors - DOCUMENTED == set()
    assert "automodule:: sisy.exceptions" in PAGE
    operations = {"CreateTask", "AlterTask", "DeleteTask"}
    assert operations <= DOCUMENTED & vars(migrations_ops).keys()


def test_every_method_of_tasks_and_runs_is_there():
    for model in (Task, Run, Queue):
        assert public_methods(model) - DOCUMENTED - NOT_FOR_PEOPLE.keys() == set()


def test_each_public_name_has_a_docstring():
    for model in (Task, Run):
        for name in public_methods(model) - {"from_db"}:
            assert inspect.getdoc(getattr(model, name)), name
