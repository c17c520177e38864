"""What is quick about submitting is no less exact: rows, defaults and checks are as ever."""

from datetime import timedelta

import pytest
from django.db import connection, models
from django.db.models.signals import post_init, post_save
from django.test.utils import CaptureQueriesContext

from sisy.models import OnLost, Run, Task
from sisy.records.instances import unsaved
from tests.app import jobs
from tests.app.models import Counter
from tests.support.moments import HOUR, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

ODD = "100 % of 'it', \"quoted\" \\ %s %(a)s {} ünïcode"
KINDS = {
    "plain": {},
    "data": {"userdata": {"text": ODD, "list": [1, None, True, 1.0]}},
    "delayed": {"delay_until": NOON + HOUR},
    "policies": {
        "timeout": timedelta(minutes=3),
        "max_attempts": 4,
        "retry_backoff": 1.5,
        "on_lost": OnLost.FAIL,
        "priority": -7,
    },
    "labelled": {"label": ODD, "queue": "slow"},
}


def held(record):
    kept = type(record).objects.get(pk=record.pk)
    return {
        field.attname: getattr(kept, field.attname)
        for field in record._meta.concrete_fields
        if field.attname not in ("id", "task_id")
    }


def heard(**kwargs):
    """Have Sisy submit as slowly as it does where somebody hears of each task that is saved."""


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("is_method", [False, True])
def test_the_fast_path_stores_what_django_stores(kind, is_method):
    fn = Counter.objects.create(label="a").tick if is_method else jobs.noop
    quick = Task.run_once(fn, **kind)
    again = Task.run_once(fn, **kind)
    post_save.connect(heard, sender=Task)
    try:
        slow = Task.run_once(fn, **kind)
    finally:
        post_save.disconnect(heard, sender=Task)
    assert held(quick) == held(slow) == held(again)
    of_quick, of_slow, of_again = (Run.objects.get(task=task) for task in (quick, slow, again))
    assert held(of_quick) == held(of_slow) == held(of_again)
    assert len({quick.pk, slow.pk, again.pk}) == 3


def test_a_submitted_task_can_be_saved_like_any_other():
    task = Task.run_once(jobs.noop, {"n": 1})
    assert not task.changed_columns()
    task.userdata["n"] = 2
    task.save()
    assert Task.objects.get().userdata == {"n": 2}
    assert Run.objects.get().payload == {"n": 1}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="it takes PostgreSQL's RETURNING")
def test_a_submission_is_one_statement():
    Task.run_once(jobs.noop)
    with CaptureQueriesContext(connection) as queries:
        Task.run_once(jobs.noop, {"n": 1})
    assert len([query for query in queries if "SAVEPOINT" not in query["sql"]]) == 1


@pytest.mark.parametrize("model", [Task, Run, Counter])
def test_a_record_made_quickly_equals_djangos(model):
    quick, slow = unsaved(model, {}), model()
    names = [field.attname for field in model._meta.concrete_fields]
    assert [getattr(quick, name) for name in names] == [getattr(slow, name) for name in names]
    assert (quick._state.adding, quick._state.db) == (True, None)
    assert unsaved(model, {})._state is not quick._state
    for field in model._meta.concrete_fields:
        if isinstance(field, models.JSONField) and field.default is dict:
            assert getattr(unsaved(model, {}), field.attname) is not getattr(quick, field.attname)


def test_a_record_made_quickly_accepts_the_same_arguments():
    task = unsaved(Task, {"label": "a", "userdata": {"n": 1}, "allow_overlap": True})
    assert (task.label, task.userdata, task.allow_overlap) == ("a", {"n": 1}, True)
    run = unsaved(Run, {"task": task, "label": "b"})
    assert (run.task is task, run.label) == (True, "b")
    with pytest.raises(TypeError, match="nonsense"):
        unsaved(Task, {"nonsense": 1})


def test_receivers_of_new_records_are_still_called():
    made = []

    def note(instance, **kwargs):
        made.append(instance)

    post_init.connect(note, sender=Run)
    try:
        run = unsaved(Run, {"label": "a"})
    finally:
        post_init.disconnect(note, sender=Run)
    assert made == [run]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("max_attempts", 1, True),
        ("max_attempts", 1, 1.0),
        ("max_attempts", 1, [1]),
        ("priority", 0, False),
        ("queue", "a", "a b"),
    ],
)
def test_a_value_that_equals_one_that_was_taken_before_is_still_checked(name, good, bad):
    Task.run_once(jobs.noop, **{name: good})
    with pytest.raises(ValueError, match=name):
        Task.run_once(jobs.noop, **{name: bad})
    assert Task.objects.count() == 1


def test_values_are_validated_again_when_settings_change(settings):
    settings.SISY_ENGINES = {"default": "sisy", "fast": "sisy"}
    Task.run_once(jobs.noop, engine="fast")
    settings.SISY_ENGINES = {}
    with pytest.raises(ValueError, match="'fast' is not an engine"):
        Task.run_once(jobs.noop, engine="fast")
