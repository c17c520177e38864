"""Tests that run side by side do not disturb each other."""

from tests import settings


def prefix_of(monkeypatch, **environment):
    monkeypatch.delenv("SISY_TEST_DB", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return settings.layer("unix:///socket")["CONFIG"]["prefix"]


def test_workers_of_pytest_that_share_a_valkey_get_only_their_own_messages(monkeypatch):
    prefixes = {
        prefix_of(monkeypatch, PYTEST_XDIST_WORKER=worker) for worker in ("gw0", "gw1", "gw2")
    }
    assert len(prefixes) == 3


def test_all_processes_of_a_site_share_their_messages(monkeypatch):
    names = [
        prefix_of(monkeypatch, PYTEST_XDIST_WORKER=worker, SISY_TEST_DB="site")
        for worker in ("gw0", "gw1")
    ]
    assert names == ["site", "site"]
