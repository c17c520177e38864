"""Alerts with one of their guards taken away, to see that the judge would find it missing."""

from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from unittest import mock

from sisy.alerting import failures, judge, opening


@contextmanager
def no_unique_key():
    """Let each heartbeat open an alert whenever it finds a problem, with a key of its own."""
    numbers, alert_of = count(), opening._alert_of

    def with_own_key(problem, before, now):
        alert = alert_of(problem, before, now)
        alert.open_key = f"{alert.open_key}:{next(numbers)}"
        return alert

    with mock.patch.object(opening, "_alert_of", with_own_key):
        yield


@contextmanager
def no_recovery():
    """Let no problem be over."""
    with mock.patch.object(judge, "_over", return_value=()):
        yield


@contextmanager
def no_threshold():
    """Let the first failure be an alert, whatever ``alert_after`` says."""
    with mock.patch.object(failures, "_threshold", return_value=1):
        yield


@contextmanager
def rare_rounds():
    """Look for problems every ten minutes only."""
    rarely = timedelta(minutes=10)
    with (
        mock.patch.object(judge, "INTERVAL", rarely),
        mock.patch.object(judge.Judge, "_interval", return_value=rarely),
    ):
        yield


@contextmanager
def no_message():
    """Open and close alerts, and notify nobody."""
    with mock.patch.object(judge, "notify", return_value=0):
        yield
