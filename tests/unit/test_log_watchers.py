"""Watchers of log records, beside others who replace the same method of loggers."""

import logging

from sisy.runtime import compat


def test_watchers_do_not_displace_what_others_have_put_in_their_place(monkeypatch):
    passed_on, watched = [], []
    monkeypatch.setattr(compat, "_record_watchers", [])
    monkeypatch.setattr(
        logging.Logger, "callHandlers", lambda logger, record: passed_on.append(record.msg)
    )

    def watch(record, pass_on):
        watched.append(record.msg)
        pass_on()

    def watch_as_well(record, pass_on):
        watched.append(record.msg)
        pass_on()

    compat.watch_log_records(watch)
    compat.watch_log_records(watch_as_well)
    logging.getLogger("shop").warning("half way")
    assert passed_on == ["half way"]
    assert watched == ["half way", "half way"]
