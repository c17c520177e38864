"""What was looked up once is found again, and missed once it is gone."""

import sys

import pytest

from sisy.callables import Target
from sisy.exceptions import TargetMissing


def test_a_module_that_was_unloaded_and_deleted_is_reported_missing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "fleeting_jobs.py"
    source.write_text("def tidy(message):\n    pass\n")
    target = Target(path="fleeting_jobs.tidy")
    assert target.resolve() is sys.modules["fleeting_jobs"].tidy
    source.unlink()
    monkeypatch.delitem(sys.modules, "fleeting_jobs")
    with pytest.raises(TargetMissing, match="there is no module 'fleeting_jobs'"):
        target.resolve()
