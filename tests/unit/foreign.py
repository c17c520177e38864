"""Values and errors of classes that do not behave as those of Python do."""

import asyncio


def leave(*args):
    raise SystemExit("of its class")


class Empty(Exception):
    """An error that is a collection, and is false when it holds nothing."""

    def __len__(self):
        return 0


class NoTruth(Exception):
    __bool__ = leave


class NoClass(Exception):
    __class__ = property(leave)


class NoCause(Exception):
    __traceback__ = __cause__ = __context__ = property(leave)


class NoAttributes(Exception):
    __getattribute__ = leave


class NoWords(Exception):
    __str__ = __repr__ = leave


class Named(type):
    def __getattribute__(cls, name):
        if name in ("__name__", "__qualname__", "__module__"):
            leave()
        return super().__getattribute__(name)


class NoName(Exception, metaclass=Named):
    pass


class NoWordsAtAll(BaseException):
    __str__ = __repr__ = leave


ERRORS = [Empty, NoTruth, NoClass, NoCause, NoAttributes, NoWords, NoName, NoWordsAtAll]


class Values(dict):
    values = items = __iter__ = __len__ = __bool__ = leave


class Classless:
    __class__ = property(leave)


class Worded:
    __str__ = __repr__ = leave


VALUES = [lambda: Values(a=1), lambda: [Classless()], Worded]


def raises(message):
    raise ERRORS[message["task"].userdata["n"]]


async def araises(message):
    await asyncio.sleep(0)
    raises(message)


def returns(message):
    return VALUES[message["task"].userdata["n"]]()


async def areturns(message):
    await asyncio.sleep(0)
    return returns(message)
