import pytest

pytest.register_assert_rewrite("tests.processes.ledger", "tests.processes.process")
