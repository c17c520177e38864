"""What Sisy uses beyond the documentation of Python, asgiref and Django still does what it is for.

Tried with Python 3.11 to 3.13, asgiref 3.13, and Django 5.2 to 6.1.
"""

import argparse
import asyncio
import contextvars
import multiprocessing
import re
import sys
import threading
from pathlib import Path
from traceback import walk_tb

import pytest
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.db import connection, transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.http import QueryDict
from django.test.utils import _TestState

import sisy
from sisy.runtime import compat
from tests.app.models import Execution

variable = contextvars.ContextVar("variable")


def nothing():
    pass


def test_multiprocessing_forgets_a_child():
    child = multiprocessing.get_context("fork").Process(target=nothing)
    child.start()
    try:
        assert child in multiprocessing.active_children()
        compat.forget_child(child)
        assert child not in multiprocessing.active_children()
    finally:
        child.join(30)


def test_a_parser_lists_its_options_and_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--queue")
    parser.add_argument("task")
    found = compat.actions_of(parser)
    assert [each.option_strings for each in found] == [["-h", "--help"], ["--queue"], []]


def test_a_callback_that_raised_is_found_with_its_context():
    def exits():
        variable.set("here")
        raise SystemExit

    loop = asyncio.new_event_loop()
    loop.call_soon(exits, context=contextvars.copy_context())
    with pytest.raises(SystemExit) as left:
        loop.run_forever()
    loop.close()
    frames = (frame for frame, _ in walk_tb(left.value.__traceback__))
    [handle] = filter(None, map(compat.handle_of, frames))
    assert compat.context_value(handle, variable) == "here"
    assert not compat.closes_a_generator(handle)


def test_async_to_sync_uses_the_lent_loop():
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()

    async def where():
        task = asyncio.current_task()
        return asyncio.get_running_loop(), compat.is_called_by_async_to_sync(task)

    def lend_and_call():
        compat.lend_loop(loop)
        found.append(async_to_sync(where)())

    found = []
    thread = threading.Thread(target=lend_and_call)
    thread.start()
    thread.join(30)
    loop.call_soon_threadsafe(loop.stop)
    running.join(30)
    loop.close()
    assert found == [(loop, True)]


def test_a_context_has_a_thread_of_its_own_that_can_be_taken():
    async def call():
        context = ThreadSensitiveContext()
        compat.enter_thread_context(context)
        ident = await sync_to_async(threading.get_ident)()
        executor = compat.take_thread_of(context)
        try:
            assert executor.submit(threading.get_ident).result(30) == ident
        finally:
            executor.shutdown()
        assert compat.take_thread_of(context) is None

    asyncio.run(call())


def test_a_signal_calls_the_substitutes_of_its_receivers():
    class Upper(compat.InterceptingSignal):
        def to_call(self, receiver, *, is_async):
            return lambda **kwargs: (receiver(**kwargs), is_async)

    signal = Upper()

    @receiver(signal)
    def plain(**kwargs):
        return "plain"

    [(_, answer)] = signal.send(sender=None)
    assert answer == ("plain", False)


def test_a_connection_names_the_thread_that_made_it():
    assert compat.thread_of(connection) == threading.get_ident()


@pytest.mark.django_db
def test_the_blocks_of_a_test_case_are_distinguished_from_others():
    with transaction.atomic():
        blocks = [compat.is_of_a_test_case(block) for block in connection.atomic_blocks]
    assert blocks[-1] is False
    assert True in blocks


class Replica:
    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"


def test_a_query_can_be_sent_where_its_rows_are_written(settings):
    settings.DATABASE_ROUTERS = [f"{__name__}.Replica"]
    rows = Execution.objects.all()
    assert rows.db == "replica"
    assert compat.for_write(rows).db == "default"


@pytest.mark.django_db
def test_rows_are_deleted_by_one_statement(django_assert_num_queries):
    Execution.objects.create(run=1, due=0, attempt=1, pid=1)
    with django_assert_num_queries(1):
        assert compat.delete_bare(Execution.objects.all()) == 1


def test_rows_with_receivers_are_not_deleted_by_one_statement():
    rows = Execution.objects.all()
    assert compat.can_delete_bare(rows)
    post_delete.connect(print, sender=Execution)
    try:
        assert not compat.can_delete_bare(rows)
    finally:
        post_delete.disconnect(print, sender=Execution)


def test_a_model_names_its_properties():
    assert "pk" in compat.property_names(Execution)


def test_a_sealed_query_cannot_be_changed():
    query = compat.sealed(QueryDict("a=1", mutable=True))
    with pytest.raises(AttributeError, match="immutable"):
        query["a"] = "2"


PRIVATE = re.compile(
    r"^\s*from (?!sisy)[\w.]+ import .*\b_[a-z]\w*|"
    r"\._(?!meta\b|state\b|default_manager\b|base_manager\b|exit\b|getframe\b|extra_data\b)[a-z]\w*"
)
OWN = re.compile(r"\b(self|cls|super\(\)|guard|block|write|record|process|task|type\(self\))\._")


def test_private_names_of_other_packages_are_used_nowhere_else():
    root = Path(sisy.__file__).parent
    used = {
        f"{path.relative_to(root)}: {line.strip()}"
        for path in root.rglob("*.py")
        if "runtime/compat" not in path.as_posix()
        for line in path.read_text().splitlines()
        if PRIVATE.search(OWN.sub("", line.split("#")[0]))
    }
    assert used == set()


def test_a_test_run_is_known_until_its_environment_is_torn_down(monkeypatch):
    assert compat.is_in_a_test_run()
    monkeypatch.delattr(_TestState, "saved_data")
    assert not compat.is_in_a_test_run()


def test_a_process_that_imports_no_test_tools_is_in_no_test_run(monkeypatch):
    monkeypatch.delitem(sys.modules, "django.test.utils")
    assert not compat.is_in_a_test_run()
