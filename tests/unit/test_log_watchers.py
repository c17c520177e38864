"""Watchers of log records, beside others who replace the same method of loggers."""

import logging

from sisy.runtime import compat


def test_watchers_do_not_displace_what_others_have_put_in_their_place(monkeypatch):
    passed_on, watched = [], []
    monkeypatch.setattr(compat, "_record_watchers", [])
    monkeypatch.setattr(
        logging.Logger, "callHandlers", lambda logger, record: passed_on.append(record.msg)
    )
    compat.watch_log_records(lambda record: watched.append(record.msg))
    compat.watch_log_records(watched.append)
    logging.getLogger("shop").warning("half way")
    assert passed_on == ["half way"]
    assert watched[0] == "half way"
    assert len(watched) == 2
