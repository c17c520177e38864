"""The actions on runs."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.db import router
from django.utils.translation import gettext, ngettext

from sisy.dashboard.actions.cancelling import cancelled_in_words
from sisy.dashboard.actions.result import Result, done, note, refusal, to_runs
from sisy.lifecycle.cancel import cancel_or_request
from sisy.models import Origin, Run, RunState
from sisy.models.run import RunQuerySet
from sisy.records.choices import LIVE_STATES
from sisy.reports import formatting

MAX_REFUSALS_NAMED = 20  # errors of one action that are shown one by one


def unfit(run: Run) -> set[str]:
    """Return the actions that would not change ``run``.

    A finished run cannot be cancelled, and only a finished run can be retried.
    """
    if run.state not in LIVE_STATES:
        return {"cancel", "cancel_force"} | ({"retry"} if run.count > 1 else set())
    names = {"retry"}
    if run.cancel_requested_at is not None:
        names.add("cancel")
    if run.state == RunState.QUEUED or run.cancel_force:
        names.add("cancel_force")
    return names


def cancel(user: Any, runs: RunQuerySet) -> Iterator[Result]:
    """Cancel queued runs, and ask running ones to stop."""
    yield _cancelled(user, runs, by_force=False)


def cancel_force(user: Any, runs: RunQuerySet) -> Iterator[Result]:
    """Cancel queued runs, and kill running ones in a process pool."""
    yield _cancelled(user, runs, by_force=True)


def retry(user: Any, runs: RunQuerySet) -> Iterator[Result]:
    """Submit a new run for each finished one; report those that cannot be retried."""
    submitted: list[int] = []
    refusals = []
    for run in runs.using(router.db_for_write(Run)).order_by("pk"):
        try:
            again = run.retry()
        except ValueError as error:
            refusals.append(_naming(run, refusal(error)))
        else:
            note(user, run, f"Retried as run {again.pk}.")
            submitted.append(again.pk)
    for sentence in refusals[:MAX_REFUSALS_NAMED]:
        yield Result(sentence, messages.ERROR)
    if more := len(refusals[MAX_REFUSALS_NAMED:]):
        rest = ngettext("%d more run cannot be retried.", "%d more runs cannot be retried.", more)
        yield Result(rest % more, messages.ERROR)
    count = len(submitted)
    words = ngettext("Submitted %d retry.", "Submitted %d retries.", count) % count
    yield done(
        words if count else gettext("No runs were retried."),
        count,
        to_runs(submitted, Origin.RETRY),
    )


def _cancelled(user: Any, runs: RunQuerySet, *, by_force: bool) -> Result:
    going = list(runs.using(router.db_for_write(Run)).live())
    reason = gettext("Cancelled by %s.") % user
    # By key: a list that is filtered by state would no longer find these runs.
    chosen = Run.objects.using(router.db_for_write(Run)).filter(pk__in=[run.pk for run in going])
    cancelled, asked = cancel_or_request(chosen, reason, formatting.now(), by_force=by_force)
    for run in going:
        if run.pk in cancelled:
            note(user, run, "Cancelled.")
        elif run.pk in asked:
            note(user, run, "Force cancel requested." if by_force else "Cancel requested.")
    before = chosen.running().exclude(pk__in=asked).exclude(cancel_requested_at=None).count()
    paths = [run.target_path for run in going if run.pk in asked]
    said = cancelled_in_words(len(cancelled), len(asked), before, by_force=by_force, paths=paths)
    return done(said, len(cancelled) + len(asked))


def _naming(run: Run, sentence: str) -> str:
    return sentence if str(run) in sentence else f"{run}: {sentence}"
