"""Django's own tests of django.tasks, those that are not tied to the class of another backend."""

import os
import sys

import pytest
from django.test import TransactionTestCase, override_settings

TESTS = os.environ.get("SISY_DJANGO_TESTS")
if TESTS is None:
    pytest.skip("runs on Django's source: make test-conformance", allow_module_level=True)
sys.path.insert(0, TESTS)

from tasks import test_dummy_backend, test_immediate_backend  # noqa: E402
from tasks.test_tasks import TaskTestCase  # noqa: E402

WANTS_ITS_CLASS = "wants the class of the other backend"
READS_ITS_LIST = "reads the list of results that the dummy keeps"
SISY_CAN = "wants a refusal of what Sisy can do"

TIED = {
    TaskTestCase: {
        "test_using_correct_backend": WANTS_ITS_CLASS,
        "test_get_backend": WANTS_ITS_CLASS,
        "test_enqueue_task": READS_ITS_LIST,
        "test_enqueue_task_async": READS_ITS_LIST,
        "test_refresh_result": "reads from a database within an event loop, which Django forbids",
    },
    test_immediate_backend.ImmediateBackendTestCase: {
        "test_using_correct_backend": WANTS_ITS_CLASS,
        "test_cannot_get_result": SISY_CAN,
        "test_cannot_refresh_result": SISY_CAN,
        "test_cannot_pass_run_after": SISY_CAN,
    },
    test_immediate_backend.ImmediateBackendTransactionTestCase: {},
    test_dummy_backend.DummyBackendTestCase: {
        "test_using_correct_backend": WANTS_ITS_CLASS,
        "test_enqueue_task": READS_ITS_LIST,
        "test_enqueue_task_async": READS_ITS_LIST,
        "test_refresh_result": READS_ITS_LIST,
        "test_refresh_result_async": READS_ITS_LIST,
        "test_clear": "clears the list of results that the dummy keeps",
    },
}

SISY = {"BACKEND": "sisy.backends.SisyBackend"}
ANY_QUEUE = {"default": {**SISY, "QUEUES": []}}
TASKS = {
    "default": {**SISY, "QUEUES": ["default", "queue_1"]},
    "immediate": {
        "BACKEND": "django.tasks.backends.immediate.ImmediateBackend",
        "QUEUES": [],
    },
    "missing": {"BACKEND": "does.not.exist"},
}


class override_on_sisy(override_settings):  # noqa: N801 - it stands for a function of Django's
    """Have what a test sets, within its own code, set for Sisy's backend."""

    def __init__(self, TASKS):  # noqa: N803 - as the setting is named
        super().__init__(TASKS={alias: {**given, **SISY} for alias, given in TASKS.items()})


test_immediate_backend.override_settings = override_on_sisy
test_dummy_backend.override_settings = override_on_sisy


def untied(case):
    """Return those tests of a case that any backend should pass, by name."""
    names = [name for name in dir(case) if name.startswith("test_") and name not in TIED[case]]
    return {name: getattr(case, name) for name in names}


def on_sisy(case, **settings):
    """Return a test case of what any backend should pass, on Sisy's."""
    made = type(f"Test{case.__name__}OnSisy", (TransactionTestCase,), untied(case))
    return override_settings(**{"TASKS": TASKS, **settings})(made)


TestTasks = on_sisy(TaskTestCase)
TestAtOnce = on_sisy(
    test_immediate_backend.ImmediateBackendTestCase, SISY_EAGER=True, TASKS=ANY_QUEUE
)
TestAtOnceInTransaction = on_sisy(
    test_immediate_backend.ImmediateBackendTransactionTestCase,
    SISY_EAGER=True,
    TASKS=ANY_QUEUE,
)
TestLater = on_sisy(test_dummy_backend.DummyBackendTestCase, TASKS=ANY_QUEUE)


def test_none_of_djangos_tests_is_left_out():
    assert [len(untied(case)) for case in TIED] == [34, 15, 1, 10]
    for case, names in TIED.items():
        assert names.keys() <= set(dir(case))


del TaskTestCase
