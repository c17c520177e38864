"""Connections that break at a statement: at the right one, and with the right loss."""

from contextlib import contextmanager

import pytest
from django.db import Error, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from sisy.heartbeat import tick
from sisy.models import Process, Run
from sisy.worker.claim import claim
from tests.chaos.drops import KINDS, OF_ROLES, Dropper, Order, Orders, actions_of
from tests.roles.steps import finish
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled, worker

on_each_database = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def orders(tmp_path):
    return Orders(tmp_path / "orders")


@pytest.fixture
def dropping(orders, monkeypatch):
    """Let this process obey as ``worker-1``, on new connections."""
    # Both are put back as they were.
    monkeypatch.setattr(BaseDatabaseWrapper, "_commit", BaseDatabaseWrapper._commit)
    monkeypatch.setattr(connection_created, "receivers", [*connection_created.receivers])
    Dropper(orders.file("worker-1")).install()
    connection_created.sender_receivers_cache.clear()
    connection.close()
    yield
    connection.close()
    connection.execute_wrappers.clear()


def drop(orders, text):
    orders.give("worker-1", Order.of(text))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ('INSERT INTO "sisy_run" ("state") VALUES (1)', {("insert", "sisy_run")}),
        ("UPDATE sisy_process SET lease_until = 1", {("update", "sisy_process")}),
        ("DELETE FROM `sisy_task` WHERE id = 1", {("delete", "sisy_task")}),
        ("SELECT 1 FROM sisy_task LIMIT 1", set()),
        ("SELECT 1 FROM sisy_run FOR UPDATE SKIP LOCKED", {("lock", "sisy_run")}),
        (
            "WITH new AS (INSERT INTO sisy_task (id) VALUES (1)) INSERT INTO sisy_run (id) SELECT",
            {("insert", "sisy_task"), ("insert", "sisy_run")},
        ),
        (
            "DELETE entry FROM sisy_run STRAIGHT_JOIN sisy_queued_run entry ON entry.run_id = id",
            {("delete", "sisy_queued_run")},
        ),
        ("INSERT INTO auth_user (id) VALUES (1)", set()),
    ],
)
def test_a_statement_is_known_by_its_verbs_and_tables(sql, expected):
    assert actions_of(sql) == expected


class TestStatementsOfSisy:
    pytestmark = [*on_each_database, pytest.mark.usefixtures("noon")]

    def test_roles_send_a_statement_of_each_kind(self):
        sent = []

        def note(execute, sql, *others):
            sent.append(sql)
            return execute(sql, *others)

        with connection.execute_wrapper(note):
            scheduled(iterations=1)
            tick("default", NOON + MINUTE)
            process = worker()
            [run] = claim(process, ["default"], 1, NOON + MINUTE)
            finish(run, NOON + MINUTE)
            process.renew(NOON + MINUTE, HOUR)
            process.leave()
        done = [actions_of(sql) for sql in sent]
        absent = {kind for kind, is_of in KINDS.items() if not any(map(is_of, done))}
        # Commits are not statements here. On SQLite, nothing is locked but the whole database.
        assert absent <= ({"commit", "claim"} if connection.vendor == "sqlite" else {"commit"})

    def test_statements_that_start_runs_do_not_finish_them(self):
        sent = []
        scheduled()
        tick("default", NOON + MINUTE)
        with connection.execute_wrapper(
            lambda execute, sql, *others: (sent.append(sql), execute(sql, *others))[1]
        ):
            [run] = claim(worker(), ["default"], 1, NOON + MINUTE)
        assert any(KINDS["start"](actions_of(sql)) for sql in sent)
        assert not any(KINDS["finish"](actions_of(sql)) for sql in sent)
        assert run.attempt == 1


class TestDropping:
    pytestmark = [*on_each_database, pytest.mark.usefixtures("dropping")]

    @pytest.mark.parametrize(("when", "is_gone"), [("before", False), ("after", True)])
    def test_a_statement_is_executed_only_if_the_connection_breaks_after_it(
        self, orders, when, is_gone
    ):
        worker()
        drop(orders, f"{when} delete 1")
        with broken():
            delete_processes()
        assert Process.objects.exists() is not is_gone
        [dropped] = orders.drops()
        assert (dropped.who, dropped.when, dropped.kind) == ("worker-1", when, "delete")

    @pytest.mark.parametrize(("when", "is_kept"), [("before", False), ("after", True)])
    def test_a_transaction_is_kept_only_if_the_connection_breaks_after_its_commit(
        self, orders, when, is_kept
    ):
        drop(orders, f"{when} commit 1")
        with broken(), transaction.atomic():
            worker()
        assert Process.objects.exists() is is_kept

    def test_a_break_after_a_statement_rolls_its_transaction_back(self, orders):
        drop(orders, "after delete 1")
        worker()
        with broken(), transaction.atomic():
            delete_processes()
        assert Process.objects.exists()

    def test_an_order_is_obeyed_once_and_at_its_number(self, orders):
        drop(orders, "before delete 3")
        for _ in range(2):
            delete_processes()
        with broken():
            delete_processes()
        for _ in range(4):
            delete_processes()
        assert len(orders.drops()) == 1

    def test_an_order_can_be_withdrawn(self, orders):
        drop(orders, "before delete 1")
        orders.withdraw()
        delete_processes()
        assert orders.drops() == []

    def test_a_commit_of_nothing_is_none(self, orders):
        drop(orders, "before commit 1")
        with transaction.atomic():
            Run.objects.exists()
        assert orders.drops() == []


@contextmanager
def broken():
    """Expect that the connection breaks, and open another one, as all parts of Sisy do."""
    with pytest.raises(Error):
        yield
    connection.close()


def delete_processes():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sisy_process")


def test_each_kind_of_a_role_is_known():
    assert {kind for kinds in OF_ROLES.values() for kind in kinds} == set(KINDS)
