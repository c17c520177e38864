"""What a person can do with runs."""

from typing import Any

from django.contrib import admin, messages
from django.db import router
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from sisy import display
from sisy.admin.actions import Actions, may
from sisy.admin.cancelling import told
from sisy.models import Run, RunState
from sisy.models.choices import LIVE_STATES
from sisy.models.run_queries import RunQuerySet

NAMED = 20  # refusals of one action that are told one by one


class RunActions(Actions):
    """Cancel, cancel by force, retry; each is written to the run's history."""

    actions = ("cancel", "cancel_by_force", "retry")

    def unfit_actions(self, row: Any) -> set[str]:
        """A run that is over cannot be cancelled, and one that is not over cannot be retried."""
        if row.state not in LIVE_STATES:
            return {"cancel", "cancel_by_force"} | ({"retry"} if row.count > 1 else set())
        unfit = {"retry"}
        if row.cancel_asked_at is not None:
            unfit.add("cancel")
        if row.state == RunState.WAITING or row.cancel_by_force:
            unfit.add("cancel_by_force")
        return unfit

    @admin.action(description=_("Cancel"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        """Call off the chosen runs that wait, and ask those that go on to end."""
        self._cancel(request, queryset, by_force=False)

    @admin.action(
        description=_("Cancel by force (kills in a pool of processes)"),
        permissions=["cancel"],
    )
    def cancel_by_force(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        """Cancel, and kill the processes of those that go on in a pool of processes."""
        self._cancel(request, queryset, by_force=True)

    @admin.action(description=_("Retry"), permissions=["run"])
    def retry(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        """Submit another run for each that is over; name those that cannot be retried."""
        count, refusals = 0, []
        for run in queryset.using(router.db_for_write(Run)).order_by("pk"):
            try:
                again = run.retry()
            except ValueError as error:
                refusals.append(_naming(run, str(error)))
            else:
                self.log_change(request, run, f"Asked for run {again.pk} as its retry.")
                count += 1
        for refusal in refusals[:NAMED]:
            self.message_user(request, refusal, messages.ERROR)
        if more := len(refusals[NAMED:]):
            rest = (
                ngettext("%d more cannot be retried.", "%d more cannot be retried.", more) % more
            )
            self.message_user(request, rest, messages.ERROR)
        done = ngettext("%d run is retried.", "%d runs are retried.", count) % count
        self._tell(request, done, count)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether the user may cancel runs."""
        return may(request, "sisy.cancel_run")

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whether the user may retry runs."""
        return may(request, "sisy.run_task")

    def _cancel(self, request: HttpRequest, queryset: RunQuerySet, *, by_force: bool) -> None:
        runs = queryset.using(router.db_for_write(Run))
        going = list(runs.live())
        reason = gettext("Cancelled by %s.") % request.user
        # By their keys: those of a list that is filtered by state would no longer be found.
        chosen = Run.objects.using(runs.db).filter(pk__in=[run.pk for run in going])
        count = chosen.cancel(reason, display.now(), by_force=by_force)
        for run in going:
            said = "Cancelled by force." if by_force else "Cancelled."
            self.log_change(request, run, said)
        self._tell(request, told(count, chosen, by_force=by_force), count)


def _naming(run: Run, sentence: str) -> str:
    return sentence if str(run) in sentence else f"{run}: {sentence}"
