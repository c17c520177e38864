"""The runs around a run: what blocked it, what it makes good, what came before and after."""

from dataclasses import dataclass

from sisy.models import Run, RunState
from sisy.models.run_queries import RunQuerySet


def has_returned(run: Run) -> bool:
    """Return whether what is stored as the return value of ``run`` is what its function returned.

    None is stored, too, of one that failed or has not ended, and of one that succeeded and whose
    value could not be stored, as its reason then says.
    """
    return run.result is not None or (run.state == RunState.SUCCEEDED and not run.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """Runs that have to do with a run; None where there is none."""

    blocked_by: Run | None
    retry_of: Run | None
    retries: list[Run]
    before: Run | None
    after: Run | None


def related(run: Run) -> Related:
    """Return the runs that have to do with ``run``."""
    runs = Run.objects.using(run._state.db).defer("payload", "result", "error")
    named: dict[int | None, Run] = {
        each.pk: each for each in runs.filter(pk__in=[run.blocked_by_id, run.retry_of_id])
    }
    siblings = runs.filter(task=run.task_id) if run.task_id is not None else runs.none()
    return Related(
        blocked_by=named.get(run.blocked_by_id),
        retry_of=named.get(run.retry_of_id),
        retries=list(retries_of(run)),
        before=siblings.filter(pk__lt=run.pk).order_by("-pk").first(),
        after=siblings.filter(pk__gt=run.pk).order_by("pk").first(),
    )


def retries_of(run: Run) -> RunQuerySet:
    """Return the runs that were asked for as retries of ``run``, oldest first.

    They have its task: an index leads to the runs of a task, but none to what retries a run.
    """
    runs = Run.objects.using(run._state.db)
    later = runs.filter(retry_of=run, pk__gt=run.pk).order_by("pk")
    return later if run.task_id is None else later.filter(task=run.task_id)
