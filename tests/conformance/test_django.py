"""Django's own tests of django.tasks, those that are not tied to its dummy backend."""

import os
import sys

import pytest
from django.test import TransactionTestCase, override_settings

TESTS = os.environ.get("SISY_DJANGO_TESTS")
if TESTS is None:
    pytest.skip("runs on Django's source: make test-conformance", allow_module_level=True)
sys.path.insert(0, TESTS)

from tasks.test_tasks import TaskTestCase  # noqa: E402

TIED_TO_THE_DUMMY = {
    "test_using_correct_backend": "wants the class of the dummy",
    "test_get_backend": "wants the class of the dummy",
    "test_enqueue_task": "reads the list of results that the dummy keeps",
    "test_enqueue_task_async": "reads the list of results that the dummy keeps",
    "test_refresh_result": "reads from a database within an event loop, which Django forbids",
}
OTHERS = {
    name
    for name in dir(TaskTestCase)
    if name.startswith("test_") and name not in TIED_TO_THE_DUMMY
}


@override_settings(
    TASKS={
        "default": {
            "BACKEND": "sisy.backends.SisyBackend",
            "QUEUES": ["default", "queue_1"],
        },
        "immediate": {
            "BACKEND": "django.tasks.backends.immediate.ImmediateBackend",
            "QUEUES": [],
        },
        "missing": {"BACKEND": "does.not.exist"},
    },
)
class TestOnSisy(TransactionTestCase):
    pass


for name in OTHERS:
    setattr(TestOnSisy, name, getattr(TaskTestCase, name))


def test_none_of_them_is_left_out():
    assert len(OTHERS) >= 34


del TaskTestCase
