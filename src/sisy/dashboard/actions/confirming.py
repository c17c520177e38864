"""The questions that a person must confirm before an action changes much, or for good."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import router
from django.db.models import Count, Max, Min, QuerySet
from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from sisy.alerting.capacity import Fleet, unserved_in_words
from sisy.dashboard import declared
from sisy.models import Process, Run, RunState, Task
from sisy.models.run import RunQuerySet
from sisy.records.choices import LIVE_STATES
from sisy.reports import formatting
from sisy.reports.repeats import repeated_in_words, repeats_of

MAX_PARTS_NAMED = 20  # tasks or runs of one question

CANCEL_EFFECT = _(
    "Queued runs will not start. Running ones are asked to stop. You can retry each of them later."
)
RETRY_EFFECT = _(
    "Each is submitted again, with the same input, in addition to the schedule. If a run cannot "
    "be retried, Sisy tells you why."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An action that a person must confirm.

    Attributes:
        words: the question, which says how much changes.
        parts: what changes, in lines.
        effect: what happens then.
        button: the label of the button; empty if there is nothing to do.
        is_harmful: True if the action cannot be undone.
    """

    words: str
    parts: Sequence[str] = ()
    effect: str = ""
    button: str = ""
    is_harmful: bool = False


def cancel_runs_of(tasks: Iterable[Task]) -> Question | None:
    """Ask before the runs of tasks are cancelled; None if there are none."""
    runs = Run.objects.using(router.db_for_write(Run)).live_of([task.pk for task in tasks])
    return cancel(runs)


def cancel(runs: RunQuerySet) -> Question | None:
    """Ask before runs are cancelled; None if all have finished, or were asked to stop."""
    live = runs.using(router.db_for_write(Run)).filter(state__in=LIVE_STATES)
    return _of_live(
        live.exclude(state=RunState.RUNNING, cancel_requested_at__isnull=False),
        ngettext_lazy("Cancel %d run?", "Cancel %d runs?"),
        ngettext_lazy("Cancel %d run", "Cancel %d runs"),
        str(CANCEL_EFFECT),
    )


def cancel_force(runs: RunQuerySet) -> Question | None:
    """Ask before runs are cancelled by force; None if all have finished."""
    live = runs.using(router.db_for_write(Run)).filter(state__in=LIVE_STATES)
    return _of_live(
        live.exclude(state=RunState.RUNNING, cancel_force=True),
        ngettext_lazy("Force cancel %d run?", "Force cancel %d runs?"),
        ngettext_lazy("Force cancel %d run", "Force cancel %d runs"),
        gettext(
            "Runs in a process pool are killed, and cannot clean up. Elsewhere, async functions "
            "are cancelled, and plain functions stop at their next current_run().check()."
        ),
    )


def _of_live(runs: RunQuerySet, words: Any, button: Any, effect: str) -> Question | None:
    """Return a question about queued and running runs; None if there are none.

    Args:
        words, button: lazy texts with the number of runs.
    """
    number = runs.count()
    if not number:
        return None
    first = runs.only("pk", "label", "state", "started_at").first() if number == 1 else None
    return Question(
        words=words % number,
        parts=_summary(runs) if first is None else [_run_in_words(first)],
        effect=effect,
        button=button % number,
        is_harmful=True,
    )


def _run_in_words(run: Run) -> str:
    """Return which run it is, and since when it has been running."""
    since = ""
    if run.state == RunState.RUNNING and run.started_at is not None:
        now = formatting.now()
        named = {
            "moment": formatting.brief(run.started_at, now),
            "ago": formatting.distance(run.started_at, now),
        }
        since = gettext(" since %(moment)s, %(ago)s") % named
    return f"#{run.pk} {run.label}: {formatting.name_of_state(run.state)}{since}"


def _summary(runs: RunQuerySet) -> list[str]:
    """Return how many runs are in each state and of each task, and when they are due."""
    states: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for state, label, count in runs.order_by().values_list("state", "label").annotate(Count("pk")):
        states[state] += count
        labels[label] += count
    parts = [f"{n} {formatting.name_of_state(state)}" for state, n in sorted(states.items())]
    span = runs.aggregate(first=Min("due_at"), last=Max("due_at"))
    if span["first"] is not None:
        due = {name: formatting.short(moment) for name, moment in span.items()}
        one, many = gettext("due at %(first)s"), gettext("due from %(first)s to %(last)s")
        parts.append((one if span["first"] == span["last"] else many) % due)
    return parts + by_label(labels)


def by_label(labels: Counter[str]) -> list[str]:
    """Return how many runs each task has, the most common first."""
    return _named([f"{label}: {count}" for label, count in labels.most_common()])


def retry(runs: RunQuerySet) -> Question | None:
    """Ask before several runs are retried, or one that was repeated already; otherwise None."""
    found = list(runs.defer("payload", "result", "error"))
    number, repeats = len(found), repeats_of(runs.db, found)
    if number < 2 and not repeats:
        return None
    return Question(
        words=ngettext("Retry %d run?", "Retry %d runs?", number) % number,
        parts=[
            *formatting.counted_states(Counter(run.state for run in found)),
            *by_label(Counter(run.label for run in found)),
            *_named(repeated_in_words(repeats)),
        ],
        effect=str(RETRY_EFFECT),
        button=ngettext("Retry %d run", "Retry %d runs", number) % number,
        is_harmful=True,
    )


def run_now(tasks: Iterable[Task]) -> Question | None:
    """Ask before several tasks are run; None for one."""
    return _of_several(
        [task.label for task in tasks],
        ngettext_lazy("Run %d task now?", "Run %d tasks now?"),
        ngettext_lazy("Run %d task", "Run %d tasks"),
        gettext("A run of each is submitted, in addition to its schedule."),
        is_harmful=True,
    )


def pause(tasks: Iterable[Task]) -> Question | None:
    """Ask before several tasks are paused; None for one."""
    return _of_several(
        [task.label for task in tasks],
        ngettext_lazy("Pause %d task?", "Pause %d tasks?"),
        ngettext_lazy("Pause %d task", "Pause %d tasks"),
        gettext("Runs that are already queued will still execute."),
    )


def resume(tasks: Iterable[Task]) -> Question | None:
    """Ask before several tasks are resumed; None for one."""
    return _of_several(
        [task.label for task in tasks],
        ngettext_lazy("Resume %d task?", "Resume %d tasks?"),
        ngettext_lazy("Resume %d task", "Resume %d tasks"),
    )


def back_to_code(tasks: Iterable[Task]) -> Question | None:
    """Ask before tasks lose the changes made by hand; None if there are none."""
    changed = [task for task in tasks if task.overrides()]
    if not changed:
        return None
    one = len(changed) == 1
    number = len(changed)
    words = ngettext("Reset %d task to code?", "Reset %d tasks to code?", number) % number
    return Question(
        words=gettext("Reset %s to code?") % changed[0].label if one else words,
        parts=declared.overrides_in_words(changed[0])
        if one
        else _named([task.label for task in changed]),
        effect=gettext("Changes made by hand are undone. You can revert this under 'Changes'."),
        button=ngettext("Reset %d task", "Reset %d tasks", number) % number,
    )


def drain(processes: "QuerySet[Process]") -> Question | None:
    """Ask before workers are drained, and name the queues that no other worker serves."""
    now = formatting.now()
    fleet = Fleet.at(processes.db, now)
    named = set(processes.values_list("pk", flat=True))
    chosen = [one for one in fleet.workers if one.pk in named and not one.drain_requested_at]
    if not chosen:
        return None
    number = len(chosen)
    words = ngettext("Drain %d worker?", "Drain %d workers?", number) % number
    return Question(
        words=gettext("Drain %s?") % chosen[0] if number == 1 else words,
        parts=[unserved_in_words(queue) for queue in fleet.without([one.pk for one in chosen])],
        effect=ngettext(
            "It claims no more runs, and exits when its current runs have finished. A supervisor "
            "may restart it. You cannot undo this.",
            "They claim no more runs, and exit when their current runs have finished. A "
            "supervisor may restart them. You cannot undo this.",
            number,
        ),
        button=ngettext("Drain %d worker", "Drain %d workers", number) % number,
        is_harmful=True,
    )


def backfill(runs: Counter[str], known: Mapping[str, str]) -> Question | None:
    """Ask before tasks are backfilled; None if no run would be submitted.

    Args:
        runs: how many runs each task will have, by its label.
        known: what is wrong with some of the tasks, by their labels.
    """
    number = runs.total()
    if not number:
        return None
    return Question(
        words=ngettext("Submit %d run?", "Submit %d runs?", number) % number,
        parts=_named(
            [
                f"{label}: {count}{f' ({known[label]})' if known.get(label) else ''}"
                for label, count in (+runs).most_common()
            ]
        ),
        effect=gettext(
            "They start as soon as slots are free, as if they were due now. Occurrences that have "
            "run in the meantime are left out."
        ),
        button=ngettext("Submit %d run", "Submit %d runs", number) % number,
        is_harmful=True,
    )


def spread(labels: Sequence[str], way: str) -> Question | None:
    """Ask before several tasks are spread; None for one.

    Args:
        way: what each of them gets, in words.
    """
    effect = gettext(
        "Each gets %s, from now on. You can revert each change on the page of its task."
    )
    return _of_several(
        labels,
        ngettext_lazy("Spread %d task?", "Spread %d tasks?"),
        ngettext_lazy("Spread %d task", "Spread %d tasks"),
        effect % way,
    )


def _of_several(
    labels: Sequence[str], words: Any, button: Any, effect: str = "", *, is_harmful: bool = False
) -> Question | None:
    """Return the question about several tasks; None if there are fewer.

    Args:
        words, button: lazy texts with the number of tasks.
    """
    number = len(labels)
    if number < 2:
        return None
    return Question(
        words=words % number,
        parts=_named(labels),
        effect=effect,
        button=button % number,
        is_harmful=is_harmful,
    )


def _named(labels: Sequence[str]) -> list[str]:
    """Return labels, and how many more there are."""
    more = len(labels) - MAX_PARTS_NAMED
    named = list(labels[:MAX_PARTS_NAMED])
    return [*named, gettext("and %d more") % more] if more > 0 else named
