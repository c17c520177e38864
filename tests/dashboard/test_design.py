"""One set of colours, spaces, sizes of text and icons: the tokens of ``dashboard.css``."""

import re
from pathlib import Path

import pytest

import sisy
from sisy.dashboard.icons import ICONS
from sisy.models import RunState, TaskState

PACKAGE = Path(sisy.__file__).parent
SHEETS = sorted((PACKAGE / "static" / "sisy").glob("*.css"))
TEMPLATES = sorted((PACKAGE / "templates" / "sisy" / "dashboard").rglob("*.html"))
TOKENS = re.compile(r":root \{.*?\n\}", re.DOTALL)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
DECLARATION = re.compile(r"(?<=[{;\s])([a-z-]+): ([^;{}]+)")
SPACED = re.compile(r"(padding|margin|gap|row-gap|column-gap|inset|scroll-margin)(-[a-z-]+)?")
LENGTH = re.compile(r"(?<![\w.-])-?[\d.]+(?:px|rem)")
COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b(?:rgba?|hsla?|oklch)\(|\b(?:white|black|red)\b")
WORDS = set("…·±×−≈")  # noqa: RUF001 - characters of texts, not of icons


def raw_in(text):
    """Yield the declarations outside the tokens that have a value which should be a token."""
    for name, value in DECLARATION.findall(COMMENT.sub("", TOKENS.sub("", text))):
        is_size = name in ("font-size", "border-radius") or SPACED.fullmatch(name)
        if COLOUR.search(value) or (is_size and LENGTH.search(value)):
            yield f"{name}: {value}"


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: path.stem)
def test_colours_spaces_radii_and_sizes_of_text_are_tokens(sheet):
    assert list(raw_in(sheet.read_text())) == []


@pytest.mark.parametrize(
    ("rule", "is_raw"),
    [
        (".a { padding: 4px; }", True),
        (".a { margin-inline-start: -2px; }", True),
        (".a { gap: var(--sisy-space-2) 3px; }", True),
        (".a { color: #fff; }", True),
        (".a { box-shadow: 0 1px 2px rgb(0 0 0 / .1); }", True),
        (".a { font-size: .8rem; border-radius: 3px; }", True),
        (".a { padding: var(--sisy-space-2) 0 0 1.5em; color: var(--sisy-fg); }", False),
        (".a { border: 1px solid currentcolor; width: 24px; border-radius: 50%; }", False),
        (":root {\n  --sisy-fg: #000;\n}", False),
    ],
)
def test_a_raw_value_is_found(rule, is_raw):
    assert bool(list(raw_in(rule))) is is_raw


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: path.stem)
def test_each_token_that_is_used_exists(sheet):
    known = set(re.findall(r"(--sisy-[a-z0-9-]+):", "".join(one.read_text() for one in SHEETS)))
    assert set(re.findall(r"var\((--sisy-[a-z0-9-]+)", sheet.read_text())) <= known


def test_a_style_sheet_and_a_template_have_the_same_icons():
    text = (PACKAGE / "static" / "sisy" / "dashboard.css").read_text()
    icons = re.findall(r'--sisy-icon-([a-z-]+): "([^"\\]+)', text)
    assert icons
    assert {name: ICONS[name.replace("-", "_")] for name, _ in icons} == dict(icons)


@pytest.mark.parametrize("path", [*SHEETS, *TEMPLATES], ids=lambda path: path.stem)
def test_an_icon_is_named_and_not_written(path):
    text = COMMENT.sub("", TOKENS.sub("", path.read_text()))
    written = {one for one in text if not one.isascii() and not one.isalpha()} - WORDS
    assert written == set()


def test_each_state_has_an_icon():
    assert {*RunState, *TaskState} <= set(ICONS)
