"""The messages about cancelled runs."""

from collections.abc import Iterable
from inspect import iscoroutinefunction

from django.utils.translation import gettext, ngettext

from sisy.callables.lookup import find
from sisy.exceptions import CallableError


def counted(cancelled: int, asked: int) -> str:
    """Return how many queued runs were cancelled, and how many running ones were asked to stop."""
    sentences = []
    if cancelled:
        words = ngettext("Cancelled %d queued run.", "Cancelled %d queued runs.", cancelled)
        sentences.append(words % cancelled)
    if asked:
        words = ngettext(
            "Requested cancellation of %d running run.",
            "Requested cancellation of %d running runs.",
            asked,
        )
        sentences.append(words % asked)
    return " ".join(sentences)


def cancelled_in_words(
    cancelled: int,
    asked: int,
    asked_before: int,
    *,
    by_force: bool = False,
    paths: Iterable[str] = (),
) -> str:
    """Return what a request to cancel did, and what happens to the runs that are still running.

    Args:
        asked_before: the number of running runs that an earlier request asked to stop.
        paths: the paths of the functions of those that this request asked to stop.
    """
    if not cancelled and not asked:
        if not asked_before:
            return gettext("Nothing to cancel.")
        words = ngettext(
            "Nothing to cancel: %d run was already asked to stop, and is still running.",
            "Nothing to cancel: %d runs were already asked to stop, and are still running.",
            asked_before,
        )
        return words % asked_before
    if not asked:
        return counted(cancelled, asked)
    rest = _ends_in_words({_is_async(path) for path in set(paths)})
    if by_force:
        rest = gettext(
            "Runs in a process pool are killed. Elsewhere, async functions are cancelled, and "
            "plain functions stop at their next current_run().check()."
        )
    return f"{counted(cancelled, asked)} {rest}"


def _ends_in_words(are_async: set[bool | None]) -> str:
    """Return when functions stop that are async, plain, or unknown (None)."""
    if are_async == {True}:
        return gettext("The function is async, so it is cancelled at its next await.")
    if are_async == {False}:
        return gettext("The function is not async, so it stops at its next current_run().check().")
    return gettext(
        "An async function is cancelled. A plain function stops at its next current_run().check()."
    )


def _is_async(path: str) -> bool | None:
    try:
        found = find(path).value
    except CallableError:
        return None  # this host does not have the code of its worker
    return iscoroutinefunction(getattr(found, "func", found))
