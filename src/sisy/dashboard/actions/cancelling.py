"""The messages about cancelled runs."""

from django.utils.translation import gettext, ngettext

from sisy.models.run_queries import RunQuerySet


def told(count: int, runs: RunQuerySet, *, by_force: bool = False) -> str:
    """Return how many of ``runs`` were cancelled, and what becomes of those that still go on."""
    done = ngettext("Cancelled %d run.", "Cancelled %d runs.", count) % count
    if not runs.running().exclude(cancel_requested_at=None).exists():
        return done
    if by_force:
        rest = gettext(
            "Running ones in a pool of processes are killed. Other running ones stop when their "
            "function checks for it."
        )
    else:
        rest = gettext("Running ones stop when their function checks for it.")
    return f"{done} {rest}"
