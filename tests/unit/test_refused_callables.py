"""What cannot be called, and in which words it is refused."""

import sys
import types

import pytest

from sisy.callables import PATH_LIMIT, target_of
from sisy.exceptions import CallableError, TargetMissing
from tests.app import jobs, models, odd_jobs
from tests.app.models import Counter, NamedCounter, UUIDCounter

ODD = "tests.app.odd_jobs"
MODELS = "tests.app.models"
UUID = "b8f52a3a-63d6-4b2e-9f52-0a8f6a1c8a11"


def refusal(target, pk=None, error=CallableError):
    with pytest.raises(error) as caught:
        target_of(target, pk)
    assert type(caught.value) is error
    return str(caught.value)


def wrong_parameters(name, came):
    return (
        f"{ODD}.{name} must take exactly one parameter, named message, but it takes: {came}.",
        refusal(getattr(odd_jobs, name)),
        refusal(f"{ODD}.{name}"),
    )


def test_a_module_is_rejected():
    message = "tests.app.jobs is a module. Pass a function from it."
    assert refusal(jobs) == message
    assert refusal("tests.app.jobs") == message


def test_a_class_is_rejected():
    message = "Counter is a class. Pass one of its class or static methods."
    assert refusal(Counter) == message
    assert refusal(f"{MODELS}.Counter") == message


def test_a_lambda_is_rejected():
    message = "A worker cannot find a lambda, because it has no name. Define a function."
    assert refusal(lambda message: None) == message
    assert refusal(odd_jobs.anonymous) == message


def test_a_lambda_that_is_named_by_a_path_is_accepted():
    assert target_of(f"{ODD}.anonymous").path == f"{ODD}.anonymous"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (odd_jobs.make_nested(), "make_nested.<locals>.nested"),
        (odd_jobs.decorated_carelessly, "replaced.<locals>.replacement"),
        (odd_jobs.make_local_class().record, "make_local_class.<locals>.Local.record"),
    ],
)
def test_a_nested_function_is_rejected(target, name):
    assert refusal(target) == (
        f"{name} is defined inside a function, where a worker cannot find it. Move it to the top "
        "level of its module."
    )


def test_a_function_of_the_main_script_is_rejected(monkeypatch):
    main = types.ModuleType("__main__")
    source = (
        "def job(message): ...\nclass Clerk:\n    @classmethod\n    def job(cls, message): ..."
    )
    exec(source, main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)
    for target, name in ((main.job, "job"), (main.Clerk.job, "Clerk.job")):
        assert refusal(target) == (
            f"{name} is defined in the main script, which a worker does not run. Move it to an "
            "importable module."
        )


def test_a_method_without_its_object_is_rejected():
    message = (
        f"{MODELS}.Counter.tick is an instance method. Pass the method of a saved object, or set "
        "pk_override to the object's primary key."
    )
    assert refusal(Counter.tick) == message
    assert refusal(f"{MODELS}.Counter.tick") == message


@pytest.mark.parametrize(
    ("unsaved", "name"),
    [(Counter(), "Counter"), (Counter(pk=7), "Counter"), (UUIDCounter(), "UUIDCounter")],
)
def test_a_method_of_an_unsaved_object_is_rejected(unsaved, name):
    assert refusal(unsaved.tick) == (
        f"{name}.tick is a method of an unsaved {name}. "
        "Save the object first, so that a worker can find it."
    )


def test_a_method_of_a_non_model_is_rejected():
    assert refusal(odd_jobs.Plain().method) == (
        "Plain.method is a method of Plain, which is not a Django model, so a worker could not "
        "find "
        "the object again. Use a method of a saved model instance, a class method, or a function."
    )
    by_name = (
        f"{ODD}.Plain.method is a method of Plain, which is not a Django model, so a worker "
        "could not find the object. Make it a class or static method."
    )
    assert refusal(odd_jobs.Plain.method) == by_name
    assert refusal(f"{ODD}.Plain.method") == by_name


def test_a_method_of_an_abstract_model_is_rejected():
    assert refusal(f"{MODELS}.AbstractCounter.tick", 7) == (
        "testapp.AbstractCounter is abstract and has no instances. Name a model that inherits "
        "from it."
    )


def test_a_partial_is_rejected():
    message = (
        "A worker cannot find a functools.partial, because it has no name. Define a function, and "
        "pass the bound arguments in userdata."
    )
    assert refusal(odd_jobs.bound) == message
    assert refusal(f"{ODD}.bound") == message


@pytest.mark.parametrize(
    ("name", "came"),
    [
        ("no_parameter", "none"),
        ("other_name", "event"),
        ("star", "*message"),
        ("double_star", "**message"),
        ("star_as_well", "message, *rest"),
        ("with_default", "message, more=None"),
    ],
)
def test_parameters_other_than_the_one_message_are_rejected(name, came):
    expected, by_object, by_path = wrong_parameters(name, came)
    assert by_object == by_path == expected


@pytest.mark.parametrize("name", ["generates", "agenerates"])
def test_a_generator_function_is_rejected(name):
    message = (
        f"{ODD}.{name} is a generator function, so calling it does nothing. Write a function "
        "that does its work and returns."
    )
    assert refusal(getattr(odd_jobs, name)) == message
    assert refusal(f"{ODD}.{name}") == message


def test_two_parameters_are_rejected():
    assert refusal(jobs.two_parameters) == (
        "tests.app.jobs.two_parameters must take exactly one parameter, named message, but it "
        "takes: message, other."
    )


def test_the_message_parameter_may_have_a_default():
    assert target_of(odd_jobs.default_message).path == f"{ODD}.default_message"


def test_a_function_whose_name_resolves_to_another_is_rejected():
    assert refusal(odd_jobs.kept) == (
        f"A worker would call {ODD}.renamed, which is not the function that you "
        f"passed. Pass {ODD}.renamed itself, or give your function its own name in its module."
    )


@pytest.mark.parametrize(
    "path", ["noop", "", "a..b", ".a", "tests app.jobs.noop", "a-b.c", "a.b()"]
)
def test_an_invalid_dotted_path_is_rejected(path):
    assert refusal(path) == (
        f"{path!r} is not a dotted path. Write it as package.module.function or "
        "package.module.Class.method."
    )


def test_a_path_that_is_too_long_is_rejected():
    path = "a." + "b" * PATH_LIMIT
    assert refusal(path).endswith(" has 502 characters, but a path has at most 500.")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "nowhere.at.all",
            "nowhere.at.all does not exist: there is no module 'nowhere'.",
        ),
        (
            "tests.app.jobz.noop",
            "tests.app.jobz.noop does not exist: the module tests.app has no 'jobz'. "
            "Did you mean 'jobs'?",
        ),
        (
            "tests.app.jobs.nop",
            "tests.app.jobs.nop does not exist: the module tests.app.jobs has no 'nop'. "
            "Did you mean 'noop'?",
        ),
        (
            f"{MODELS}.Counter.swep",
            f"{MODELS}.Counter.swep does not exist: Counter has no 'swep'. Did you mean 'sweep'?",
        ),
        (
            "tests.app.jobs.xyzzy_qwerty",
            "tests.app.jobs.xyzzy_qwerty does not exist: the module tests.app.jobs has no "
            "'xyzzy_qwerty'.",
        ),
        (
            "tests.app.broken_jobs.job",
            "Cannot import tests.app.broken_jobs.job: tests.app.broken_jobs raises "
            "RuntimeError: no luck today.",
        ),
        (
            "tests.app.needy_jobs.job",
            "Cannot import tests.app.needy_jobs.job: tests.app.needy_jobs needs "
            "'a_package_that_is_not_there', which is not installed.",
        ),
    ],
)
def test_a_path_that_cannot_be_resolved_says_why(path, message):
    assert refusal(path, error=TargetMissing) == message


def test_a_primary_key_goes_with_instance_methods_only():
    assert refusal("tests.app.jobs.noop", 7) == (
        "tests.app.jobs.noop is a function, not an instance method, so it takes no pk_override. "
        "Remove pk_override."
    )
    assert "is a classmethod, not an instance method" in refusal(f"{MODELS}.Counter.sweep", 7)
    assert "is a staticmethod, not an instance method" in refusal(
        f"{MODELS}.Counter.static_sweep", 7
    )


def test_a_primary_key_goes_with_paths_only():
    assert refusal(jobs.noop, 7) == (
        "pk_override is only for dotted paths. Remove it: a bound method already has its object."
    )


def test_an_invalid_primary_key_is_rejected():
    assert refusal(f"{MODELS}.Counter.tick", "seven") == (
        "'seven' is not a valid primary key of testapp.Counter: “seven” value must be an integer."
    )
    assert refusal(f"{MODELS}.UUIDCounter.tick", "seven") == (
        "'seven' is not a valid primary key of testapp.UUIDCounter: “seven” is not a valid UUID."
    )


def test_a_primary_key_that_is_too_long_is_rejected():
    assert refusal(f"{MODELS}.NamedCounter.tick", "a" * 256) == (
        "The primary key of testapp.NamedCounter has 256 characters, but Sisy stores at most 255. "
        "Use a function that looks up the object."
    )
    named = NamedCounter(name="a" * 256)
    named._state.adding = False
    assert "has 256 characters, but Sisy stores at most 255." in refusal(named.tick)


def test_a_composite_primary_key_is_rejected():
    message = (
        "testapp.Pair has a composite primary key, which Sisy does not support. Use a function "
        "that looks up the object."
    )
    assert refusal(f"{MODELS}.Pair.tick", "[1, 2]") == message
    pair = models.Pair(left=1, right=2)
    pair._state.adding = False
    assert refusal(pair.tick) == message


def test_the_parameters_of_a_method_are_those_beside_self():
    assert refusal(f"{MODELS}.Counter.with_more", 7) == (
        f"{MODELS}.Counter.with_more must take exactly one parameter, named message, but it "
        "takes: message, more=None."
    )
