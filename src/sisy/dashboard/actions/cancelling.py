"""The messages about cancelled runs."""

from django.utils.translation import gettext, ngettext


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


def told(cancelled: int, asked: int, asked_before: int, *, by_force: bool = False) -> str:
    """Return what a request to cancel did, and what happens to the runs that are still running.

    Args:
        asked_before: the number of running runs that an earlier request asked to stop.
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
    rest = gettext(
        "An async function is cancelled. A plain function stops at its next current_run().check()."
    )
    if by_force:
        rest = gettext(
            "Runs in a process pool are killed. Elsewhere, async functions are cancelled, and "
            "plain functions stop at their next current_run().check()."
        )
    return f"{counted(cancelled, asked)} {rest}"
