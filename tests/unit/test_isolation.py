"""Which errors are of the connection to the database, and what becomes of the others."""

from pathlib import Path

import pytest
from django.db import DataError, InterfaceError, InternalError, OperationalError

import sisy
from sisy.store.isolation import database_is_away, isolating

SOURCE = Path(sisy.__file__).parent


class Driver(Exception):
    def __init__(self, sqlstate):
        self.sqlstate = sqlstate


def of_the_driver(error, sqlstate):
    error.__cause__ = Driver(sqlstate)
    return error


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("the server has gone away"),
        InterfaceError("the connection is closed"),
        of_the_driver(InternalError("idle-in-transaction timeout"), "25P03"),
        of_the_driver(InternalError("transaction timeout"), "25P04"),
    ],
)
def test_a_database_outage_is_not_blamed_on_a_row(error):
    assert database_is_away(error)


@pytest.mark.parametrize(
    "error",
    [
        DataError("value too long"),
        of_the_driver(InternalError("current transaction is aborted"), "25P02"),
        ValueError("no date"),
    ],
)
def test_a_rejected_value_is_blamed_on_its_row(error):
    assert not database_is_away(error)


def test_work_that_fails_as_a_batch_is_done_row_by_row():
    assert isolating(lambda: "all", lambda error: "each") == "all"
    assert isolating(lambda: int("x"), lambda error: type(error).__name__) == "ValueError"


def test_an_unreachable_database_is_not_queried_again():
    def attempt():
        raise OperationalError("the server has gone away")

    def instead(error):
        pytest.fail("the database is away, and so is each row")

    with pytest.raises(OperationalError):
        isolating(attempt, instead)


def test_one_place_distinguishes_bad_rows_from_outages():
    users = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "database_is_away(" in path.read_text()
    }
    assert users == {"store/isolation.py", "store/database_thread.py"}
