"""The output and the progress of runs on the pages, and what reaches open pages."""

import re

import pytest
from django.test import override_settings

from sisy.lifecycle.release import release_running
from sisy.messaging import dashboard_events, messages
from sisy.messaging.dashboard_events import Announcer
from sisy.models import Run, RunState
from sisy.reports.output import ShownProgress, output_of, outputs_of, progress_of, readable, size
from sisy.runtime.journal import Report
from sisy.runtime.progress import Progress
from sisy.store.run_output import write_while_running
from sisy.worker.claim import claim
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.roles.steps import finish, held_run
from tests.support.moments import DAY, NOON
from tests.support.records import stored, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def run():
    return held_run(worker(), label="import", max_attempts=2)


def printed(run, text, *progress, tail="", written=None):
    reported = Progress(*progress, at=0.0) if progress else None
    written = len((text + tail).encode()) if written is None else written
    report = Report(head=text, tail=tail, written=written, progress=reported)
    write_while_running("default", [(run, report)], NOON)
    return report


def part_of(run, *permissions):
    client = browser_of("view_task", *permissions) if permissions else browser_of_superuser()
    return client.get(f"/sisy/runs/{run.pk}/?parts=output")


def test_the_page_shows_what_a_run_prints(run):
    printed(run, "<b>reading</b> the file\n")
    html = part_of(run).content.decode()
    assert "&lt;b&gt;reading&lt;/b&gt; the file\n" in html
    assert 'data-sisy-on="runs output"' in html


def test_a_running_run_has_no_output_yet(run):
    assert "No output yet." in text_of(part_of(run))
    finish(run, NOON)
    assert "Output" not in text_of(part_of(run))


def test_the_page_says_how_much_was_left_out(run):
    printed(run, "first\n", tail="half a line\nlast\n", written=500_000)
    assert "first … 500 kB left out … last" in " ".join(text_of(part_of(run)).split())


def test_the_page_shows_the_bar(run):
    printed(run, "", 1234, 4000, "row 1,234")
    html = part_of(run).content.decode()
    assert re.search(r'<progress max="100" value="30"', html)
    assert "30 % · 1,234 of 4,000 · row 1,234" in text_of(part_of(run))


def test_progress_without_a_total_has_no_bar(run):
    printed(run, "", 1234, None, "")
    assert "<progress" not in part_of(run).content.decode()
    assert "1,234" in text_of(part_of(run))


def test_the_last_progress_stays_on_the_page(run):
    finish(run, NOON, report=Report(progress=Progress(7, 9, "", 0.0)))
    assert "77 % · 7 of 9" in text_of(part_of(run))


def test_earlier_attempts_can_be_opened(run):
    finish(run, NOON, RunState.FAILED, report=printed(run, "first attempt\n"))
    from sisy.worker.claim import claim

    [again] = claim(worker(NOON + DAY), ["default"], 1, NOON + DAY)
    printed(again, "second attempt\n")
    html = part_of(run).content.decode()
    assert html.index("second attempt") < html.index("<details>") < html.index("first attempt")


def test_only_who_may_see_details_reads_output_and_messages(run):
    printed(run, "the address of a customer\n", 1, 2, "Jane")
    some = part_of(run, "view_run")
    assert "1 of 2" in text_of(some)
    assert "customer" not in some.content.decode()
    assert "Jane" not in some.content.decode()
    assert "sisy.view_run_details" in text_of(some)
    assert "customer" in text_of(part_of(run, "view_run", "view_run_details"))


@pytest.mark.parametrize(
    "address", ["/sisy/?parts=latest", "/sisy/runs/?parts=list", "/sisy/tasks/{}/?parts=ledger"]
)
def test_lists_show_the_bars_of_running_runs(run, address):
    printed(run, "", 1, 4, "a quarter")
    page = browser_of_superuser().get(address.format(run.task_id))
    assert '<progress max="100" value="25"' in page.content.decode()
    assert "a quarter" in text_of(page)
    page = browser_of("view_task", "view_run").get(address.format(run.task_id))
    assert "a quarter" not in page.content.decode()
    finish(run, NOON)
    page = browser_of_superuser().get(address.format(run.task_id))
    assert "<progress" not in page.content.decode()


def test_the_output_of_a_released_run_begins_again_with_its_next_worker(run):
    printed(run, "cut off\n", 3, 4, "nearly")
    release_running("default", [run], "Its worker stopped", NOON)
    assert output_of(stored(run)).head == "cut off\n"
    [again] = claim(worker(NOON + DAY), ["default"], 1, NOON + DAY)
    assert again.attempt == run.attempt
    assert (output_of(again), outputs_of(again)) == (None, [])
    assert progress_of("default", [again]) == {}
    printed(again, "anew\n", 1, 4, "a quarter")
    assert output_of(again).head == "anew\n"
    assert progress_of("default", [again])[run.pk].percent == 25


def test_a_list_without_running_runs_asks_nothing_about_progress(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert progress_of("default", [Run(pk=1, state=RunState.SUCCEEDED)]) == {}


def test_a_list_does_not_read_the_output(run, django_assert_num_queries):
    printed(run, "x" * 1000, 1, 4, "")
    with django_assert_num_queries(1) as queries:
        assert progress_of("default", [run])[run.pk].percent == 25
    assert "head" not in queries[0]["sql"]


@pytest.mark.parametrize(
    ("done", "total", "words"),
    [
        (0.5, 1, "50 % · 0.5 of 1"),
        (199, 200, "99 % · 199 of 200"),
        (11, 10, "100 % · 11 of 10"),
        (0, 0, "100 % · 0 of 0"),
        (0.29, 1, "29 % · 0.29 of 1"),
        (1e6, None, "1,000,000"),
    ],
)
def test_progress_in_words(done, total, words):
    assert str(ShownProgress(done=done, total=total, message="", at=None)) == words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07plain", "red plain"),
        ("10 %\r20 %\r\nnext\r\n", "20 %\nnext\n"),
        ("a\x00\u202eb\tc", "a\\x00\\u202eb    c"),
        ("DB_PASSWORD=hunter2 port=5", "DB_PASSWORD=••• port=5"),
        ('{"api_token": "abc", "n": 1}', '{"api_token": •••, "n": 1}'),
        ("token: Bearer abc.def", "token: •••"),
        ("postgres://jane:hunter2@db/shop", "postgres://jane:•••@db/shop"),
        ("nothing secret: 5", "nothing secret: •••"),
        ("monkeys: 5 bananas=3", "monkeys: ••• bananas=3"),
    ],
)
def test_a_text_is_shown_as_a_terminal_would_and_masked(text, shown):
    assert readable(text) == shown


def test_other_words_can_be_masked():
    with override_settings(SISY_MASKED=["iban"]):
        assert readable("iban=DE12 password=x") == "iban=••• password=x"
    with override_settings(SISY_MASKED=[]):
        assert readable("iban=DE12 password=x") == "iban=DE12 password=x"


def test_the_second_half_of_a_secret_is_not_shown_after_a_gap(run):
    printed(run, "password=hun", tail="ter2\nlast\n", written=100_000)
    assert "ter2" not in output_of(run).text


@pytest.mark.parametrize(
    "text",
    ["key" * 30_000, "key   " * 15_000, "://" * 30_000, "\x1b[" * 45_000, '"key=' * 18_000],
    ids=lambda text: repr(text[:6]),
)
def test_masking_takes_time_that_grows_with_the_length_only(text):
    """A quadratic pattern would take minutes for these."""
    import time

    before = time.thread_time()
    readable(text)
    assert time.thread_time() - before < 10


def test_sizes_in_words():
    assert [size(n) for n in (0, 999, 1000, 123_456, 12_345_678)] == [
        "0 B", "999 B", "1 kB", "123 kB", "12 MB",
    ]  # fmt: skip


@pytest.fixture
def events(monkeypatch):
    """Return the events that are told, as soon as they are."""
    told = []
    monkeypatch.setattr(dashboard_events.carriers, "can_publish", lambda: True)
    monkeypatch.setattr(
        dashboard_events.carriers, "publish", lambda group, event, after: told.append(event())
    )
    return told


def test_output_is_an_event_of_its_own_kind(events):
    Announcer().add(3, kind=messages.OUTPUT)
    assert [event["kind"] for event in events] == ["output"]
    Announcer().add(3)
    assert events[-1]["kind"] == "runs"


def test_an_event_about_both_is_one_about_runs(events, monkeypatch):
    later = []
    monkeypatch.setattr(
        dashboard_events.carriers, "publish", lambda group, event, after: later.append(event)
    )
    announcer = Announcer()
    announcer.add(3, kind=messages.OUTPUT)
    announcer.add(4)
    event = later[0]()
    assert (event["kind"], event["tasks"]) == ("runs", [3, 4])
    assert announcer._event()["kind"] == "output"
