"""What an attempt reports until it has ended, and how that is passed on."""

import os
import signal
import threading

import pytest

from sisy.runtime.flusher import Flusher
from sisy.runtime.journal import Journal, Report
from tests.support.waiting import wait_until


@pytest.fixture
def flusher_of():
    """Return a function that makes a flusher, and end them all."""
    made = []

    def make(write):
        made.append(Flusher(write, interval=0.01))
        return made[-1]

    yield make
    for flusher in made:
        flusher.close()


def test_a_journal_notes_itself_once_until_it_is_read():
    noted = []
    journal = Journal("run", noted.append)
    journal.write("a")
    journal.write("b")
    journal.advance(1, 2, "half")
    assert noted == [journal]
    report = journal.take()
    assert (report.head, report.written, report.progress.done) == ("ab", 2, 1)
    assert journal.take() is None
    journal.write("c")
    assert noted == [journal, journal]
    assert journal.take().head == "abc"


def test_a_journal_that_got_nothing_reports_nothing():
    journal = Journal()
    journal.write("")
    assert journal.take() is None
    assert journal.close() is None


def test_what_comes_after_the_end_is_dropped():
    noted = []
    journal = Journal("run", noted.append)
    journal.write("a")
    last = journal.close()
    journal.write("b")
    journal.advance(1, None, "")
    assert journal.take() is None
    assert journal.close() is last
    assert last.head == "a"
    assert len(noted) == 1


def test_what_a_child_process_reported_counts_if_it_dies():
    journal = Journal("run")
    journal.adopt(Report(head="from the child", written=14))
    assert journal.take().head == "from the child"
    assert journal.close().head == "from the child"


def test_threads_lose_nothing():
    journal = Journal()
    line = "x" * 99 + "\n"

    def write():
        for _ in range(2000):
            journal.write(line)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        journal.take()
    for thread in threads:
        thread.join()
    report = journal.close()
    assert report.written == 4 * 2000 * 100
    whole = report.head.splitlines()[:-1] + report.tail.splitlines()[1:]
    assert set(whole) == {line.strip()}


def test_a_flusher_passes_on_what_is_new(flusher_of):
    written = []
    flusher = flusher_of(written.extend)
    journal = Journal("run", flusher.note)
    journal.write("a")
    wait_until(lambda: written)
    journal.write("b")
    wait_until(lambda: len(written) == 2)
    assert [(run, report.head) for run, report in written] == [("run", "a"), ("run", "ab")]


def test_a_flusher_has_no_thread_before_something_is_printed(flusher_of):
    flusher = flusher_of(lambda reports: None)
    before = threading.active_count()
    Journal("run", flusher.note).close()
    assert threading.active_count() == before


def test_a_flusher_passes_on_all_that_waits_when_it_closes(flusher_of):
    written = []
    flusher = flusher_of(written.extend)
    for number in range(5):
        Journal(number, flusher.note).write(f"{number}")
    flusher.close()
    assert {run for run, _ in written} == set(range(5))


def test_a_flusher_tries_again_after_a_failure(flusher_of, monkeypatch, caplog):
    monkeypatch.setattr("sisy.runtime.flusher.RETRY_INTERVAL", 0.01)
    tries, written = [], []

    def write(reports):
        tries.append(reports)
        if len(tries) < 3:
            raise OSError("no database")
        written.extend(reports)

    journal = Journal("run", flusher_of(write).note)
    journal.write("a")
    wait_until(lambda: written)
    assert written[0][1].head == "a"
    assert caplog.text.count("Storing the output of runs failed") == 1


def test_what_ended_in_the_meantime_is_not_tried_again(flusher_of, monkeypatch):
    monkeypatch.setattr("sisy.runtime.flusher.RETRY_INTERVAL", 0.01)
    tries = []

    def write(reports):
        tries.append(reports)
        journal.close()
        raise OSError("no database")

    flusher = flusher_of(write)
    journal = Journal("run", flusher.note)
    journal.write("a")
    wait_until(lambda: tries)
    flusher.close()
    assert len(tries) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_a_fork_of_a_function_passes_nothing_on(flusher_of):
    flusher = flusher_of(lambda reports: None)
    journal = Journal("run", flusher.note)
    pid = os.fork()
    if pid == 0:
        journal.write("in the copy")
        os._exit(0 if flusher._thread is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_signal_handler_may_print(flusher_of):
    flusher = flusher_of(lambda reports: None)
    journal = Journal("run", flusher.note)
    before = signal.signal(signal.SIGALRM, lambda number, frame: journal.write("in the handler"))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for _ in range(20_000):
            journal.write("x")
            journal.take()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
