"""Functions that tests schedule."""

import asyncio
import time
from pathlib import Path

from django.db import transaction

from sisy import clock, current_run
from sisy.exceptions import RunCancelled
from tests.app.models import Execution, Failure


def noop(message):
    pass


async def anoop(message):
    pass


def fails(message):
    raise RuntimeError("it was to be expected")


def exits(message):
    raise SystemExit(3)


def returns(message):
    return sorted(message["message"])


def returns_unstorable(message):
    return {1, 2}


def record(message):
    Execution.log(message).save()


async def arecord(message):
    await Execution.log(message).asave()


def notes_in_a_file(message):
    """Note the due moment and the time in the file that the user data names.

    It needs no database, so it can be called while none answers.
    """
    due, now = message["message"]["ts"], clock.last_known("default").timestamp()
    with Path(message["task"].userdata["file"]).open("a") as file:
        file.write(f"{due} {now}\n")


class Clerk:
    @classmethod
    def record(cls, message):
        Execution.log(message).save()


def count_in_userdata(message):
    task = message["task"]
    task.userdata["n"] = task.userdata.get("n", 0) + 1
    task.save()


def sleeps_at_first(message):
    """Take for ever in the first attempt, and no time in the next one."""
    Execution.log(message).save()
    if message["message"]["attempt"] == 1:
        time.sleep(600)
    return message["message"]["attempt"]


def sleeps(message):
    Execution.log(message).save()
    time.sleep(message["task"].userdata["seconds"])


async def asleeps(message):
    await Execution.log(message).asave()
    await asyncio.sleep(message["task"].userdata["seconds"])


async def sleeps_in_a_thread(message):
    await Execution.log(message).asave()
    await asyncio.to_thread(time.sleep, message["task"].userdata["seconds"])


def keeps_its_connection(message):
    Execution.log(message).save()
    with transaction.atomic():
        Execution.objects.exists()
        time.sleep(message["task"].userdata["seconds"])


def two_parameters(message, other):
    pass


ended_by = []  # with which reason each run was asked to end


def goes_on_until_asked(message):
    """End only when somebody asks for it."""
    Execution.log(message).save()
    while True:
        try:
            current_run().check()
        except RunCancelled as error:
            ended_by.append(str(error))
            raise
        time.sleep(0.01)


def goes_on_whatever_is_asked(message):
    """Take the request for what it is, and end as usual."""
    try:
        goes_on_until_asked(message)
    except RunCancelled:
        return "done all the same"


def fails_when_asked(message):
    try:
        goes_on_until_asked(message)
    except RunCancelled:
        raise RuntimeError("half done") from None


def fails_at_first(message):
    """Fail on the first attempt that was carried out to its end."""
    Execution.log(message).save()
    if not Failure.objects.filter(run=message["message"]["run"]).exists():
        Failure.objects.create(run=message["message"]["run"])
        raise RuntimeError("it was to be expected")
