"""Pools of threads or processes that execute the runs of a test."""

import pytest

from sisy.execution import ThreadPool
from tests.support.moments import NOON


@pytest.fixture
def pool_of():
    """Return a function that makes a pool whose clock stands at noon; the test's end closes it."""
    pools = []

    def make(pool_class, size, **options):
        pools.append(pool_class(size, lambda: NOON, **options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def pool(pool_of):
    """Return a pool of one thread. Modules that need another pool define their own fixture."""
    return pool_of(ThreadPool, 1)
