"""Which part of a long output is kept, and that no character is cut in two."""

import pytest

from sisy.runtime.journal import COMPACT_AT, HEAD_LIMIT, TAIL_LIMIT, Transcript


def transcript_of(*texts):
    transcript = Transcript()
    for text in texts:
        transcript.add(text, transcript.compact)
    transcript.compact()
    return transcript


def test_a_short_text_is_all_head():
    kept = transcript_of("a", "", "ä\n")
    assert (kept.head, kept.tail, kept.written) == ("aä\n", "", 4)


def test_a_text_that_fits_has_no_gap():
    text = "".join(f"{n:07}\n" for n in range((HEAD_LIMIT + TAIL_LIMIT) // 8))
    kept = transcript_of(*text.splitlines(keepends=True))
    assert kept.head + kept.tail == text
    assert kept.written == len(text) == HEAD_LIMIT + TAIL_LIMIT


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "line by line"])
def test_the_middle_of_a_long_text_is_dropped(at_once):
    text = "".join(f"{n:07}\n" for n in range(100_000))
    kept = transcript_of(*([text] if at_once else text.splitlines(keepends=True)))
    assert (kept.head, kept.tail) == (text[:HEAD_LIMIT], text[-TAIL_LIMIT:])
    assert kept.written == len(text)


@pytest.mark.parametrize("shift", range(4))
def test_no_character_is_cut_in_two(shift):
    text = "x" * shift + "🙂" * 100_000
    kept = transcript_of(text)
    assert text.startswith(kept.head)
    assert text.endswith(kept.tail)
    assert HEAD_LIMIT - 4 < len(kept.head.encode()) <= HEAD_LIMIT
    assert TAIL_LIMIT - 4 < len(kept.tail.encode()) <= TAIL_LIMIT
    assert kept.written == shift + 400_000


def test_a_character_in_pieces_of_one_write_each_is_kept():
    kept = transcript_of(*("x" * (HEAD_LIMIT - 1)), "ä", "ö")
    assert kept.head == "x" * (HEAD_LIMIT - 1)
    assert kept.tail == "äö"


def test_what_databases_reject_is_escaped():
    kept = transcript_of("a\0b\ud800c")
    assert kept.head == "a\\0b\\ud800c"


def test_the_memory_of_an_endless_text_is_bounded():
    transcript = Transcript()
    compacted = []

    def compact():
        compacted.append(len(transcript._pieces))
        transcript.compact()

    for _ in range(100_000):
        transcript.add("0123456789", compact)
    assert max(compacted) <= COMPACT_AT
    assert len(transcript._tail) <= TAIL_LIMIT


def test_many_short_pieces_are_added_together(monkeypatch):
    """Each addition copies the tail, and print() writes several pieces for each line."""
    added, append = [], Transcript._append

    def count(transcript, data):
        added.append(len(data))
        append(transcript, data)

    monkeypatch.setattr(Transcript, "_append", count)
    kept = transcript_of(*["line\n"] * 40_000)
    assert kept.written == sum(added) == 200_000
    assert len(added) <= 200_000 / COMPACT_AT + 1
