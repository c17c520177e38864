"""Small tables within a page."""

from collections.abc import Iterable
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


def table(titles: Iterable[Any], rows: Iterable[Iterable[Any]]) -> SafeString:
    """Return a table with a row of titles. Cells are escaped unless they are safe strings."""
    head = format_html_join("", '<th scope="col">{}</th>', ((title,) for title in titles))
    body = format_html_join("", "<tr>{}</tr>", ((_cells(row),) for row in rows))
    return format_html(
        '<div class="sisy-table"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        head,
        body,
    )


def _cells(row: Iterable[Any]) -> SafeString:
    return format_html_join("", "<td>{}</td>", ((cell,) for cell in row))
