"""What Sisy refuses to call, and a few things that it only seems it should."""

from functools import partial, wraps

from tests.app.jobs import noop


def wrapped(function):
    @wraps(function)
    def wrapper(message):
        return function(message)

    return wrapper


def replaced(function):
    def replacement(message):
        return function(message)

    return replacement


@wrapped
def decorated(message):
    return "decorated"


@replaced
def decorated_carelessly(message):
    pass


def positional_only(message, /):
    return "positional"


def no_parameter():
    pass


def other_name(event):
    pass


def star(*message):
    pass


def double_star(**message):
    pass


def star_as_well(message, *rest):
    pass


def with_default(message, more=None):
    pass


def default_message(message=None):
    pass


def keyword_only(*, message):
    pass


def make_nested():
    def nested(message):
        pass

    return nested


def make_local_class():
    class Local:
        @classmethod
        def record(cls, message):
            pass

    return Local


class Plain:
    def method(self, message):
        pass

    @staticmethod
    def static(message):
        return "static"

    @classmethod
    def of_class(cls, message):
        return cls.__name__

    class Inner:
        @staticmethod
        def deep(message):
            return "deep"


class Callable:
    def __call__(self, message):
        pass


anonymous = lambda message: None  # noqa: E731 - it is the anonymous one that is refused
bound = partial(noop)
callable_object = Callable()
a_number = 7


def renamed(message):
    return "first"


kept = renamed


def renamed(message):
    return "second"


def generates(message):
    yield message


async def agenerates(message):
    yield message
