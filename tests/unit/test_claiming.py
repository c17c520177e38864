"""What a worker's pool returns is released, even if the database fails in between."""

import asyncio
from collections import defaultdict
from types import SimpleNamespace

import pytest
from django.db import OperationalError

from sisy.worker.claim_loop import Claiming
from sisy.worker.prefetch import InFlight
from tests.unit.test_prefetch import run


class BrokenOnce:
    """A database thread whose first statement fails."""

    def __init__(self):
        self.calls = []

    async def run(self, step, *args):
        self.calls.append(args)
        if len(self.calls) == 1:
            raise OperationalError("the connection is gone")


def test_an_error_while_releasing_one_reason_frees_all_other_slots():
    in_flight = InFlight(4)
    returned = defaultdict(list)
    for pk in range(3):
        in_flight.take(run(pk))
        returned[f"Reason {pk}."].append(run(pk))
    pool = SimpleNamespace(returned=returned, withdraw=list)
    session = SimpleNamespace(release=None)
    database = BrokenOnce()
    claiming = Claiming(
        "default",
        database,
        session,
        in_flight,
        pool,
        cancellation=None,
        loop=None,
        can_be_rung=None,
    )
    with pytest.raises(OperationalError):
        asyncio.run(claiming._release_returned())
    asyncio.run(claiming._release_returned())
    assert len(in_flight) == 0
    assert len(database.calls) == 3
