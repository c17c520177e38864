"""The page that asks before an action changes much, or for good."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.actions.confirming import Question
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import Page

CONFIRM = "confirm"
"""The field of a form that the person has confirmed."""
OURS = {CONFIRM, "csrfmiddlewaretoken"}


class ConfirmationPage(Page):
    """Answers a form with a question. Its button posts the same form again, confirmed."""

    name = "confirmation"
    title = _("Confirm")

    def refusals_of(self, page_request: PageRequest) -> list[str]:
        """Return nothing: the page of the form checks its address."""
        return []

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        back = page_request.keys["back"]
        return {
            "question": page_request.keys["question"],
            "fields": [*_fields(page_request), (CONFIRM, "yes")],
            "back": back,
            "back_words": gettext("Back"),
            # The address of a form may accept no GET.
            "full_path": back,
        }


def is_confirmed(page_request: PageRequest) -> bool:
    """Return whether the form was sent by the button of a question."""
    return CONFIRM in page_request.request.POST


def ask(page_request: PageRequest, question: Question, back: str, tab: str) -> HttpResponse:
    """Return the page that asks a question.

    Args:
        back: the address of the page to which the person returns without confirming.
        tab: the page whose tab is highlighted.
    """
    page_request.keys.update(question=question, back=back)
    page = ConfirmationPage(dashboard=page_request.dashboard)
    page.tab = tab  # type: ignore[misc]  # of this page only
    with timezone.override(page_request.zone):
        return page.whole(page_request).render()


def _fields(page_request: PageRequest) -> list[tuple[str, str]]:
    """Return the fields of the form, which the confirmed one repeats."""
    return [
        (name, value)
        for name, values in page_request.request.POST.lists()
        if name not in OURS
        for value in values
    ]
