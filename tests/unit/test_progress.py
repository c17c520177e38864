"""What a function may report about how far it is."""

import math
from decimal import Decimal

import pytest

from sisy.execution import ThreadPool
from sisy.runtime.current import CurrentRun
from sisy.runtime.progress import MESSAGE_LIMIT
from tests.app import talkative_jobs
from tests.unit.runs import executed, run_of


class Metres(float):
    """A number of a class of its own."""


class Label(str):
    """A text of a class of its own."""


@pytest.fixture
def run():
    return CurrentRun(id=5, label="", due_at=None, attempt=1, started=0, timeout=None)


def progress_of(run):
    found = run.journal._progress
    return None if found is None else (found.done, found.total, found.message)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((3,), (3, None, "")),
        ((0.4, 1), (0.4, 1, "")),
        ((3, 10, "three"), (3, 10, "three")),
        ((11, 10), (11, 10, "")),
        ((0, 0), (0, 0, "")),
        ((Metres(2), Metres(3), Label("two")), (2, 3, "two")),
        ((2**70, 2**71), (2**70, 2**71, "")),
    ],
)
def test_progress_is_kept(run, given, kept):
    run.progress(*given)
    assert progress_of(run) == kept
    assert {type(value) for value in progress_of(run)} <= {float, str, type(None)}


def test_a_long_message_is_shortened(run):
    run.progress(1, message="x" * 1000)
    assert len(progress_of(run)[2]) == MESSAGE_LIMIT
    assert progress_of(run)[2].endswith("x…")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (("3",), TypeError, "done must be a number, not '3'."),
        ((True,), TypeError, "done must be a number, not True."),
        ((None,), TypeError, "done must be a number, not None."),
        ((Decimal(1),), TypeError, "done must be a number"),
        ((-1,), ValueError, "done must be a number, 0 or more, not -1."),
        ((math.nan,), ValueError, "0 or more, not nan."),
        ((1, math.inf), ValueError, "total must be a number or None, 0 or more, not inf."),
        ((10**400,), ValueError, "done must be a number, at most 1e308, not more."),
        ((0.4, "row 4"), TypeError, "or pass the text as message='row 4', not 'row 4'."),
        ((1, 2, 3), TypeError, "message must be a string, not 3."),
    ],
)
def test_a_mistake_says_what_to_pass(run, given, error, words):
    with pytest.raises(error) as raised:
        run.progress(*given)
    assert words in str(raised.value)
    assert progress_of(run) is None


async def test_async_code_reports_as_well(run):
    await run.aprogress(1, 2, "half")
    assert progress_of(run) == (1, 2, "half")


class Hinted:
    """An iterator that knows how many rows are left."""

    def __init__(self, count):
        self._count = count

    def __iter__(self):
        return self

    def __next__(self):
        if not self._count:
            raise StopIteration
        self._count -= 1
        return self._count

    def __length_hint__(self):
        return self._count


class Shelf:
    """A sequence of the old kind."""

    def __getitem__(self, place):
        return ["a", "b"][place]


@pytest.mark.parametrize(
    ("rows", "total"),
    [
        ([7, 8, 9], 3),
        (range(3), 3),
        ({1, 2, 3}, 3),
        (Hinted(3), 3),
        ((n for n in range(3)), None),
        (Shelf(), None),
        ([], 0),
    ],
    ids=["list", "range", "set", "hint", "generator", "sequence", "empty"],
)
def test_rows_are_counted(run, rows, total):
    seen = []
    for row in run.track(rows, message="sorting"):
        seen.append(row)
        assert progress_of(run) == (len(seen) - 1, total, "sorting")
    assert progress_of(run) == (len(seen), total, "sorting")


def test_rows_are_counted_after_they_are_done(run):
    for row in run.track([1, 2, 3]):
        if row == 2:
            break
    assert progress_of(run) == (1, 3, "")


def test_the_total_of_a_generator_can_be_given(run):
    assert list(run.track(iter(()), total=0)) == []
    assert list(run.track((n for n in range(2)), total=2)) == [0, 1]
    assert progress_of(run) == (2, 2, "")


async def rows_of(number):
    for row in range(number):
        yield row


@pytest.mark.parametrize("rows", [rows_of, range], ids=["async", "plain"])
async def test_async_code_tracks_rows_of_both_kinds(run, rows):
    assert [row async for row in run.atrack(rows(3), total=3)] == [0, 1, 2]
    assert progress_of(run) == (3, 3, "")


def test_only_rows_can_be_tracked(run):
    with pytest.raises(TypeError, match="rows must be an iterable, not 3"):
        run.track(3)
    with pytest.raises(TypeError, match=r"Use atrack\(\)"):
        run.track(rows_of(3))
    with pytest.raises(TypeError, match="an iterable or an async iterable, not 3"):
        run.atrack(3)
    with pytest.raises(TypeError, match="total must be a number or None"):
        run.track([], total="3")


async def test_an_outcome_has_the_last_progress(pool_of):
    outcome = await executed(pool_of(ThreadPool, 1), run_of(talkative_jobs.tracks))
    assert (outcome.report.progress.done, outcome.report.progress.total) == (4, 4)
    assert outcome.report.written == 0
