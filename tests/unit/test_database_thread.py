"""Which errors are of the connection to the database, and not of what was said over it."""

import pytest
from django.db import DataError, InterfaceError, InternalError, OperationalError

from sisy.database_thread import database_is_away


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
def test_a_database_that_is_away_is_no_rows_fault(error):
    assert database_is_away(error)


@pytest.mark.parametrize(
    "error",
    [
        DataError("value too long"),
        of_the_driver(InternalError("current transaction is aborted"), "25P02"),
        ValueError("no date"),
    ],
)
def test_what_a_row_makes_the_database_refuse_is_the_rows_fault(error):
    assert not database_is_away(error)
