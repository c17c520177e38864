"""A submission copies a template, but never what may have changed since the template was made."""

import importlib
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.signals import post_init, post_save, pre_init, pre_save
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils.translation import gettext_lazy

from sisy.exceptions import CallableError
from sisy.lifecycle import template
from sisy.models import OnLost, Origin, Run, Task
from tests.app import django_jobs, jobs
from tests.app.models import Counter
from tests.models.databases import second_database
from tests.support.chores import written_module
from tests.support.moments import HOUR, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture(autouse=True)
def no_templates(monkeypatch):
    monkeypatch.setattr(template, "_known", {})


@pytest.fixture
def chores(tmp_path, monkeypatch):
    """Return a module with a function that can be changed, and its file."""
    source = "def tidy(message):\n    pass\n"
    with written_module(tmp_path, monkeypatch, "template_chores", source) as chores:
        yield chores


def stored(task):
    return Task.objects.get(pk=task.pk), Run.objects.get(task=task)


def test_submissions_of_the_same_kind_share_a_template():
    for n in range(3):
        Task.run_once(jobs.noop, {"n": n}, label=f"number {n}", timeout=HOUR)
        Task.bulk_run_once("tests.app.jobs.noop", [{"n": n}], timeout=HOUR)
    assert len(template._known) == 1
    assert Task.objects.count() == Run.objects.count() == 6


def test_a_template_takes_new_defaults_when_settings_change(settings):
    settings.SISY_ENGINES = {"fast": "sisy"}
    before = Task.run_once(jobs.noop, engine="fast")
    settings.SISY_ENGINES = {"fast": "other"}
    settings.TIME_ZONE = "Asia/Kathmandu"
    after = Task.run_once(jobs.noop, engine="fast")
    assert [stored(task)[1].engine for task in (before, after)] == ["", "other"]
    assert stored(after)[0].timezone == "Asia/Kathmandu" != stored(before)[0].timezone


@pytest.mark.parametrize("signal", [pre_init, post_init, pre_save, post_save])
@pytest.mark.parametrize("model", [Task, Run])
def test_receivers_that_are_connected_later_are_called_from_then_on(signal, model):
    heard = []

    def hear(sender, **kwargs):
        heard.append(sender)

    Task.run_once(jobs.noop, {"n": 1})
    signal.connect(hear, sender=model)
    try:
        task = Task.run_once(jobs.noop, {"n": 2}, label="heard")
    finally:
        signal.disconnect(hear, sender=model)
    saves_runs = model is Task or signal in (pre_init, post_init)
    assert bool(heard) is saves_runs or connection.vendor == "mysql"
    kept, run = stored(task)
    assert (kept.label, run.label, kept.userdata, run.payload) == (
        "heard",
        "heard",
        *[{"n": 2}] * 2,
    )
    heard.clear()
    Task.run_once(jobs.noop)
    assert not heard


@pytest.mark.parametrize("is_first", [False, True])
def test_a_receiver_may_change_a_new_task_while_it_is_connected(is_first):
    made = []

    def change(instance, **kwargs):
        made.append(instance)
        instance.priority = 9

    if not is_first:
        Task.run_once(jobs.noop)
    post_init.connect(change, sender=Task)
    try:
        changed = Task.run_once(jobs.noop, {"n": 1})
    finally:
        post_init.disconnect(change, sender=Task)
    assert made == [changed]
    task, run = stored(changed)
    assert (task.priority, run.priority, run.payload) == (9, 9, {"n": 1})
    task, run = stored(Task.run_once(jobs.noop))
    assert (task.priority, run.priority) == (0, 0)


def test_a_function_that_is_defined_again_is_checked_again(chores):
    module, source = chores
    Task.run_once(module.tidy)
    old = module.tidy
    source.write_text("def tidy(message, more):\n    return 22\n")
    importlib.reload(module)
    for target in (old, module.tidy, "template_chores.tidy"):
        with pytest.raises(CallableError):
            Task.run_once(target)
    source.write_text("def tidy(message):\n    return 333\n")
    importlib.reload(module)
    assert Task.run_once(module.tidy).target.resolve() is module.tidy
    assert Task.objects.count() == 2


def test_methods_of_several_objects_keep_their_own_objects():
    counters = [Counter.objects.create() for _ in range(3)]
    tasks = [Task.run_once(counter.tick) for counter in counters]
    for counter, task in zip(counters, tasks, strict=True):
        kept, run = stored(task)
        assert task.target_pk == kept.target_pk == run.target_pk == str(counter.pk)
        assert run.target.resolve().__self__ == counter


def test_data_that_is_changed_after_the_call_stays_as_it_was_submitted():
    data = {"list": [1]}
    policies = {"timeout": HOUR}
    first = Task.run_once(jobs.noop, data, **policies)
    data["list"].append(2)
    policies["timeout"] = 2 * HOUR
    first.priority = 7
    first.pruned["failed"] = 1
    second = Task.run_once(jobs.noop, data, **policies)
    assert [stored(task)[1].payload for task in (first, second)] == [
        {"list": [1]},
        {"list": [1, 2]},
    ]
    assert [stored(task)[0].timeout for task in (first, second)] == [HOUR, 2 * HOUR]
    assert (second.priority, second.pruned) == (0, {})
    assert first.changed_columns() == {"_extra_data", "priority"}
    third = Task.run_once(jobs.noop, timeout=HOUR)
    assert (third.priority, third.pruned, third.userdata) == (0, {}, {})
    assert not third.changed_columns()


def test_a_label_a_delay_and_data_belong_to_one_submission():
    labelled = Task.run_once(jobs.noop, {"n": 1}, NOON + HOUR, label="report")
    plain = Task.run_once(jobs.noop)
    _, run = stored(labelled)
    assert (labelled.label, run.label, run.ready_at) == ("report", "report", NOON + HOUR)
    kept, run = stored(plain)
    assert (plain.label, kept.label, run.label) == ("tests.app.jobs.noop",) * 3
    assert (run.ready_at, run.payload, kept.userdata) == (NOON, {}, {})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"label": ""}, "label must be a string of 1 to 255 characters"),
        ({"label": "a" * 256}, "label must be a string of 1 to 255 characters"),
        ({"label": "a\nb"}, "label must not contain control characters"),
        ({"label": gettext_lazy("daily")}, "label is a lazy translation"),
        ({"queue": gettext_lazy("daily")}, "queue is a lazy translation"),
        ({"userdata": {"a": {1}}}, "userdata must be serializable as JSON"),
        ({"userdata": {1: "a"}}, "userdata must have strings as keys"),
        ({"userdata": {"a": "\0"}}, "userdata must not contain the NUL character"),
        ({"timeout": [1]}, "timeout must be a timedelta"),
        ({"max_attempts": 2.0}, "max_attempts must be a whole number"),
    ],
)
def test_a_template_accepts_no_invalid_value(wrong, message):
    Task.run_once(jobs.noop, {"n": 1}, label="daily", queue="daily", max_attempts=2)
    Task.run_once(jobs.noop)
    for _ in range(2):
        with pytest.raises(ValueError, match=f"^{message}"):
            Task.run_once(jobs.noop, **wrong)
    assert Task.objects.count() == Run.objects.count() == 2


def test_a_submission_after_a_rejected_one_is_stored():
    for label in ("", "good"):
        if label:
            task = Task.run_once(jobs.noop, label=label)
        else:
            with pytest.raises(ValueError, match="label must be"):
                Task.run_once(jobs.noop, label=label)
    assert stored(task)[0].label == "good"


@isolate_apps("tests.app")
@pytest.mark.parametrize("has_own_init", [False, True])
def test_a_proxy_of_task_gets_tasks_of_its_own(has_own_init):
    class OwnTask(Task):
        class Meta:
            proxy = True
            app_label = "app"

    if has_own_init:

        def init(self, *args, **kwargs):
            Task.__init__(self, *args, **kwargs)
            if self._state.adding:
                self.priority = 3

        OwnTask.__init__ = init
    Task.run_once(jobs.noop)
    for _ in range(2):
        own = OwnTask.run_once(jobs.noop, {"n": 1})
        assert type(own) is OwnTask
        run = stored(own)[1]
        assert (run.payload, run.priority) == ({"n": 1}, 3 if has_own_init else 0)
    assert type(Task.run_once(jobs.noop)) is Task


def test_enqueued_runs_have_templates_of_their_own():
    Task.run_once(django_jobs.add, {"a": 1, "b": 2})
    django_jobs.add.enqueue(1)
    django_jobs.add.using(priority=4).enqueue(2)
    Task.run_once(django_jobs.add, {"a": 1, "b": 2})
    runs = list(Run.objects.order_by("pk").values_list("origin", "priority"))
    assert runs == [(Origin.ONCE, 0), (Origin.ENQUEUED, 0), (Origin.ENQUEUED, 4), (Origin.ONCE, 0)]


@pytest.mark.django_db(transaction=True)
def test_a_template_serves_two_databases(tmp_path, settings):
    chosen = "default"

    class Chosen:
        def db_for_read(self, model, **hints):
            return chosen

        db_for_write = db_for_read

    with second_database("second", tmp_path / "second.sqlite3"):
        settings.DATABASE_ROUTERS = [Chosen()]
        for chosen in ("default", "second", "default"):
            assert Task.run_once(jobs.noop, {"in": chosen})._state.db == chosen
        for alias, count in (("default", 2), ("second", 1)):
            payloads = Run.objects.using(alias).values_list("payload", flat=True)
            assert list(payloads) == [{"in": alias}] * count


@pytest.mark.django_db(transaction=True)
def test_a_submission_that_was_rolled_back_can_be_saved_again():
    Task.run_once(jobs.noop)
    with transaction.atomic():
        task = Task.run_once(jobs.noop, {"n": 1})
        transaction.set_rollback(True)
    task.schedule = "0 0 * * *"
    task.save()
    assert Task.objects.get(pk=task.pk).userdata == {"n": 1}
    assert Run.objects.count() == 1


def test_only_so_many_templates_are_kept(monkeypatch):
    monkeypatch.setattr(template, "MAX_KNOWN", 3)
    for seconds in range(1, 9):
        Task.run_once(jobs.noop, timeout=timedelta(seconds=seconds))
        assert 1 <= len(template._known) <= 3
    assert Task.objects.count() == 8


@pytest.mark.skipif(connection.vendor != "postgresql", reason="others take several statements")
def test_functions_with_the_same_policies_share_a_statement():
    texts = set()
    for target in (jobs.noop, jobs.anoop, jobs.returns):
        with CaptureQueriesContext(connection) as queries:
            task = Task.run_once(target, on_lost=OnLost.FAIL)
        assert stored(task)[1].target_path == task.target_path
        texts.add(queries[0]["sql"].replace(task.target_path, ""))
    assert len(texts) == 1
