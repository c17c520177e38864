"""Do the pages hang together?"""

import re

import pytest

from tests.docs.pages import DOCS, blocks_of, name_of, pages

LINK = re.compile(r"(?<!`)\[[^\]]+\]\((?P<target>[^)\s]+)\)")


def heading_anchors(page):
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_each_relative_link_leads_to_a_file_and_a_heading(page):
    for match in LINK.finditer(page.read_text()):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.is_file(), match[0]
        assert not anchor or anchor in heading_anchors(file), match[0]


def test_every_page_of_the_manual_is_in_its_table_of_contents():
    (listed,) = {
        frozenset(
            line
            for block in blocks_of(DOCS / "index.md")
            if block.language == "{toctree}"
            for line in block.text.splitlines()
            if line and not line.startswith(":")
        )
    }
    there = {
        str(page.relative_to(DOCS).with_suffix("")) for page in pages() if DOCS in page.parents
    }
    assert there - {"index"} == listed


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_each_page_begins_with_its_one_title(page):
    if page.name == "changelog.md":
        return
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
