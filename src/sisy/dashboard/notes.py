"""The notes of tasks: Markdown without HTML, images and unsafe links."""

import re
from collections.abc import Sequence
from typing import Any

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML

SAFE_LINK = re.compile(r"(?:https?://|mailto:|tel:|#|/(?!/))", re.IGNORECASE)
"""The beginning of the addresses to which a note may link."""


def rendered(note: str) -> SafeString:
    """Return a note as HTML. Whatever is not Markdown is escaped."""
    html: str = _parser.render(note)
    return mark_safe(html)


class NoteParser(MarkdownIt):
    """A parser that accepts only safe links."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the name of the base class
        return SAFE_LINK.match(url) is not None


def _link(
    renderer: RendererHTML, tokens: Sequence[Any], number: int, options: Any, env: Any
) -> str:
    # The page that it opens learns neither the address of this page nor its window.
    tokens[number].attrSet("rel", "noopener noreferrer nofollow")
    return renderer.renderToken(tokens, number, options, env)


def _begin_heading(*args: Any) -> str:
    return "<p><strong>"


def _end_heading(*args: Any) -> str:
    return "</strong></p>\n"


def _made() -> NoteParser:
    parser = NoteParser("commonmark", {"html": False, "breaks": True})
    # The browser of a reader would fetch an image, which tells its server who reads the note.
    parser.disable("image")
    parser.add_render_rule("link_open", _link)
    # A heading of its own would break the outline of the page.
    parser.add_render_rule("heading_open", _begin_heading)
    parser.add_render_rule("heading_close", _end_heading)
    return parser


_parser = _made()
