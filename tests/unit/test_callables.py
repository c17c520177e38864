"""What can be called, by object and by path, and how it is described."""

import pytest

from sisy.callables import Target, target_of
from tests.app import jobs, models, odd_jobs
from tests.app.models import Counter

ODD = "tests.app.odd_jobs"
MODELS = "tests.app.models"
UUID = "b8f52a3a-63d6-4b2e-9f52-0a8f6a1c8a11"


@pytest.mark.parametrize(
    ("target", "path", "kind"),
    [
        (jobs.noop, "tests.app.jobs.noop", "function"),
        (jobs.anoop, "tests.app.jobs.anoop", "function"),
        (odd_jobs.decorated, f"{ODD}.decorated", "function"),
        (odd_jobs.positional_only, f"{ODD}.positional_only", "function"),
        (odd_jobs.Plain.static, f"{ODD}.Plain.static", "staticmethod"),
        (odd_jobs.Plain.of_class, f"{ODD}.Plain.of_class", "classmethod"),
        (odd_jobs.Plain.Inner.deep, f"{ODD}.Plain.Inner.deep", "staticmethod"),
        (Counter.sweep, f"{MODELS}.Counter.sweep", "classmethod"),
        (Counter.static_sweep, f"{MODELS}.Counter.static_sweep", "staticmethod"),
        (Counter().sweep, f"{MODELS}.Counter.sweep", "classmethod"),
        (models.SpecialCounter.sweep, f"{MODELS}.SpecialCounter.sweep", "classmethod"),
    ],
)
def test_a_callable_by_object_equals_the_one_by_path(target, path, kind):
    found = target_of(target)
    assert found == target_of(path) == Target(path=path)
    assert found.info()["func_type"] == kind
    assert getattr(found.resolve(), "__func__", found.resolve()) is getattr(
        target, "__func__", target
    )


def test_an_inherited_class_method_is_called_on_the_class_that_was_named():
    assert target_of(models.SpecialCounter.sweep).resolve()({}) == "SpecialCounter"
    assert target_of(Counter.sweep).resolve()({}) == "Counter"


def test_a_path_of_an_instance_method_needs_the_primary_key_and_no_database():
    assert target_of(f"{MODELS}.Counter.tick", 7) == Target(path=f"{MODELS}.Counter.tick", pk="7")


@pytest.mark.parametrize(
    ("model", "pk", "text"),
    [
        ("Counter", 7, "7"),
        ("Counter", "007", "7"),
        ("SpecialCounter", 7, "7"),
        ("ProxyCounter", 7, "7"),
        ("UUIDCounter", UUID.replace("-", ""), UUID),
        ("NamedCounter", "a name, with / and ü", "a name, with / and ü"),
        ("NamedCounter", "", ""),
    ],
)
def test_a_primary_key_is_kept_as_its_field_writes_it(model, pk, text):
    assert target_of(f"{MODELS}.{model}.tick", pk).pk == text


def test_the_info_of_a_function_names_its_parts():
    assert target_of(jobs.noop).info() == {
        "func_type": "function",
        "module_name": "tests.app.jobs",
        "class_name": None,
        "class_path": None,
        "model_pk": None,
        "func_name": "noop",
        "func_path": "tests.app.jobs.noop",
    }


def test_the_info_of_a_method_names_its_class_and_object():
    assert target_of(f"{MODELS}.UUIDCounter.tick", UUID).info() == {
        "func_type": "instancemethod",
        "module_name": "tests.app.models",
        "class_name": "UUIDCounter",
        "class_path": "tests.app.models.UUIDCounter",
        "model_pk": UUID,
        "func_name": "tick",
        "func_path": f"{MODELS}.UUIDCounter.tick",
    }


def test_the_info_of_a_nested_class_names_it_in_full():
    info = target_of(odd_jobs.Plain.Inner.deep).info()
    assert (info["class_name"], info["class_path"]) == ("Plain.Inner", f"{ODD}.Plain.Inner")
