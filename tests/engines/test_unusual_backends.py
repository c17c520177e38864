"""Engines with queues, aliases and errors that most backends of django.tasks do not have."""

import pytest

from sisy.django_tasks.compat import task_backends
from sisy.engines import tasks
from sisy.engines.dispatch import dispatch
from tests.support.moments import NOON, SECOND
from tests.support.records import scheduled
from tests.unit.foreign import ERRORS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

EACH = range(len(ERRORS))  # by number, since pytest asks the name of a class for an id


@pytest.fixture
def engines(settings, monkeypatch):
    """Return a function that adds engines that only collect what is enqueued, by their aliases."""
    dummy = type(task_backends["forgetful"])
    added = []

    def add(**queues):
        settings.SISY_ENGINES = {alias: alias for alias in queues}
        for alias, names in queues.items():
            task_backends[alias] = dummy(alias, {"QUEUES": names})
            added.append(alias)
        for alias in queues:
            task = tasks.trampoline_on(alias, list(queues))
            monkeypatch.setattr(tasks, task.name, task, raising=False)
        return [task_backends[alias] for alias in queues]

    yield add
    for alias in added:
        del task_backends[alias]


def run_of(engine, **fields):
    return scheduled(engine=engine, overlap="allow", **fields).run_now()


def sent_to(backend):
    return [(*result.args, result.task.queue_name) for result in backend.results]


def test_a_backend_without_a_default_queue_is_an_engine(engines):
    [narrow] = engines(narrow=["mails", "slow"])
    runs = [run_of("narrow"), run_of("narrow", queue="slow")]
    dispatch("default", NOON)
    assert sent_to(narrow) == [(runs[0].pk, "mails"), (runs[1].pk, "slow")]


def test_engines_with_similar_aliases_get_only_their_own_runs(engines):
    backends = engines(**{"a-b": ["default"], "a_b": ["default"], "a.b": ["default"]})
    runs = [run_of(alias) for alias in ("a-b", "a_b", "a.b")]
    dispatch("default", NOON)
    assert [sent_to(one) for one in backends] == [[(run.pk, "default")] for run in runs]


def test_an_alias_that_is_an_identifier_keeps_the_name_of_its_task(engines):
    engines(**{"a-b": ["default"], "a_b": ["default"], "c-d": ["default"]})
    assert (tasks.on_a_b.backend, tasks.on_c_d.backend) == ("a_b", "c-d")


@pytest.mark.parametrize("n", EACH)
def test_an_engine_may_raise_anything_and_delays_no_other(engines, monkeypatch, caplog, n):
    wrong, right = engines(wrong=["default"], right=["default"])

    def fail(*args):
        raise ERRORS[n]

    first, second = run_of("wrong", priority=9), run_of("right")
    with monkeypatch.context() as broken:
        broken.setattr(wrong, "enqueue", fail)
        dispatch("default", NOON)
    assert sent_to(right) == [(second.pk, "default")]
    assert caplog.text.count("Sending runs to 'wrong' failed") == 1
    dispatch("default", NOON + 5 * SECOND)
    assert sent_to(wrong) == [(first.pk, "default")]
