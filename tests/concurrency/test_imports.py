"""Worker threads that meet in the import of the same module."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from sisy.callables import Target

SLOW_MODULE = """
from tests.concurrency import test_imports

test_imports.half_imported.set()
test_imports.somebody_went_ahead.wait(0.5)

def first_job(message):
    pass

def second_job(message):
    pass
"""

half_imported = threading.Event()
somebody_went_ahead = threading.Event()


def test_a_module_that_another_thread_still_imports_is_waited_for(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text(SLOW_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(Target(path="slow_to_import.first_job").resolve)
        assert half_imported.wait(10)
        second = threads.submit(Target(path="slow_to_import.second_job").resolve)
        second.add_done_callback(lambda _: somebody_went_ahead.set())
        module = sys.modules["slow_to_import"]
        assert (first.result(60), second.result(60)) == (module.first_job, module.second_job)
