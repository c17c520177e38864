"""The pages that Sisy adds to the admin look like Django's own, on each Django."""

from html.parser import HTMLParser

import pytest

from tests.admin.people import browser_of_superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


ARROW = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"


class Crumbs(HTMLParser):
    """Keeps how the way to a page is built: its elements, and the text between them."""

    def __init__(self):
        super().__init__()
        self.found, self.words, self.depth = [], [], 0

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if self.depth or "breadcrumbs" in (attributes.get("class") or "").split():
            self.depth += 1
            kept = {k: v for k, v in attributes.items() if k in ("class", "aria-current")}
            self.found.append((self.depth, tag, kept))

    def handle_endtag(self, tag):
        self.depth = max(0, self.depth - 1)

    def handle_data(self, data):
        words = data.strip()
        if not self.depth or not words:
            return
        has_arrow = words.startswith(ARROW)
        self.found.append((self.depth, "arrow" if has_arrow else "words"))
        if name := words.removeprefix(ARROW).strip():
            self.words.append(name)


def crumbs_of(path):
    response = browser_of_superuser().get(path)
    assert response.status_code == 200
    parser = Crumbs()
    parser.feed(response.content.decode())
    assert parser.found, path
    return parser


def test_the_breadcrumbs_to_the_dashboard_match_those_to_a_list():
    ours = crumbs_of("/admin/sisy/task/dashboard/")
    assert ours.found == crumbs_of("/admin/sisy/run/").found
    assert ours.words == ["Home", "Sisy", "Overview"]
