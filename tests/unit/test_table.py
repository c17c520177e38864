"""Tables of commands fit the terminal, and show meanings as colours."""

from datetime import timedelta

import pytest

from sisy.management.table import (
    AtLeast,
    Look,
    cells_of,
    cut,
    description,
    state,
    table,
    wrapped,
)
from tests.support.moments import NOON

ROWS = [
    {"id": 7, "state": state("failed"), "task": "count products", "reason": "KeyError: 'x' " * 20},
    {"id": 12345, "state": state("succeeded"), "task": "tea", "reason": ""},
]


WHY = "Run 894 of the task was still running."


def tagged(text, look):
    return f"<{look}>{text}</>" if look else text


def test_a_table_is_as_wide_as_its_cells_if_there_is_room():
    head, rule, first, second = table(ROWS, 1000).splitlines()
    assert first.endswith("KeyError: 'x'")
    assert second == "12345  succeeded  tea             -"
    assert set(rule) == {"-", " "}
    assert head.startswith("   id  state")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_row_is_one_line_that_fits_the_terminal(width):
    lines = table(ROWS, width).splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= width
    assert lines[2].endswith("…")


@pytest.mark.parametrize("width", [50, 80])
def test_a_column_that_wraps_keeps_its_words_and_its_margin(width):
    text = table(ROWS, width, wraps="reason")
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert text.count("KeyError: 'x'") == 20
    assert "…" not in text
    begin = lines[0].index("reason")
    assert {line[:begin].strip() for line in lines[3:-1]} == {""}


def test_wide_characters_are_wrapped_by_the_cells_they_take():
    rows = [{"id": 1, "reason": "\u6771" * 60}]
    lines = table(rows, 40, wraps="reason").splitlines()
    assert max(map(cells_of, lines)) <= 40
    assert "".join(lines).count("\u6771") == 60


def test_texts_are_narrowed_before_states_and_numbers():
    assert "succeeded" in table(ROWS, 50)
    assert "12345" in table(ROWS, 50)


def test_moments_are_shortened_and_empty_columns_left_out_before_texts_are_cut():
    row = {"task": "a label of forty characters, all of them", "next_run": NOON, "problem": ""}
    assert "2026-05-05 12:00:00 UTC" in table([row], 1000)
    head, _, line = table([row], 56).splitlines()
    assert head.split() == ["task", "next", "run"]
    assert line == "a label of forty characters, all of them  05-05 12:00"


def test_a_terminal_that_is_far_too_narrow_still_gets_a_table():
    assert table(ROWS, 10)


def test_only_the_text_of_a_state_is_coloured_not_its_padding():
    text = table(ROWS, 80, tagged)
    assert "<bad>failed</>     count" in text
    assert "<good>succeeded</>  tea" in text


def test_facts_are_wrapped_behind_their_names():
    facts = {"id": 7, "why": "one two three " * 9, "state": state("lost")}
    text = description(facts.items(), 40, tagged)
    lines = text.splitlines()
    assert lines[0] == "id     7"
    assert all(line.startswith("       ") for line in lines[2:-1])
    assert max(map(len, lines[:-1])) <= 40
    assert lines[-1] == "state  <bad>lost</>"


def test_wide_characters_take_two_cells():
    assert cells_of("日本") == 4
    assert cut("日本語", 5) == "日本…"
    assert cut("日本", 4) == "日本"


def test_values_are_shown_as_people_read_them():
    row = {"n": AtLeast(10_000), "took": timedelta(minutes=90), "is": True, "none": None}
    assert table([row], 80).splitlines()[-1].split() == [
        "10,000+",
        "1",
        "h",
        "30",
        "min",
        "yes",
        "-",
    ]


def test_a_look_is_a_plain_text_for_programs():
    assert Look("failed", "bad") == "failed"


def test_a_small_terminal_gets_fewer_columns_whose_cells_can_be_told_apart():
    rows = [
        {"id": 4105 + n, "state": state("skipped"), "task": f"label {n}", "took": 1, "why": WHY}
        for n in range(2)
    ]
    lines = table(rows, 24).splitlines()
    assert lines[0].split() == ["id", "state", "task"]
    assert lines[2:] == ["4105  skipped  label 0", "4106  skipped  label 1"]
    head = table(rows, 40, wraps="why").splitlines()[0]
    assert head.split() == ["id", "state", "task", "why"]


def test_a_command_to_copy_stays_whole_even_if_its_line_is_too_long():
    quoted = "'manage.py sisy_runs list --task 47 --state failed'"
    text = f"Find what its failed runs have in common: {quoted}. A retry does not end this."
    lines = wrapped(text, 40)
    assert f"{quoted}." in lines
    assert [line for line in lines if len(line) > 40] == [f"{quoted}."]
    assert " ".join(lines) == text


def test_a_command_without_quotes_ends_with_its_sentence():
    text = "Note: wait. All of it: manage.py sisy_tasks show 46. Call Ann if it lasts all night."
    assert wrapped(text, 30) == [
        "Note: wait. All of it:",
        "manage.py sisy_tasks show 46.",
        "Call Ann if it lasts all",
        "night.",
    ]
    assert wrapped("To list them: manage.py sisy_tasks missed", 20)[1] == (
        "manage.py sisy_tasks missed"
    )


def test_a_command_in_a_table_is_not_cut_and_another_long_word_is_broken():
    command = "'manage.py sisy_worker --queues labels'"
    rows = [{"check": "workers", "details": f"Start {command} on {'x' * 40}."}]
    lines = table(rows, 30, wraps="details").splitlines()
    assert command in lines[3]
    assert max(map(len, [*lines[:3], *lines[4:]])) <= 30
