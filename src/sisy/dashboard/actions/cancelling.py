"""What is said about runs that somebody has cancelled."""

from django.utils.translation import gettext, ngettext

from sisy.models.run_queries import RunQuerySet


def told(count: int, runs: RunQuerySet, *, by_force: bool = False) -> str:
    """Return how many of ``runs`` were cancelled, and what becomes of those that still go on."""
    done = ngettext("%d run is cancelled.", "%d runs are cancelled.", count) % count
    if not runs.running().exclude(cancel_asked_at=None).exists():
        return done
    if by_force:
        rest = gettext(
            "Those that go on in a pool of processes are killed; "
            "others end once their function has noticed."
        )
    else:
        rest = gettext("Those that go on end once their function has noticed.")
    return f"{done} {rest}"
