"""The verbs of ``sisy_runs`` that find many runs, and change them."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import ngettext

from sisy import clock
from sisy.dashboard.actions.cancelling import cancelled_in_words
from sisy.lifecycle.cancel import cancel_or_request_live
from sisy.management import lookup, unknown_names
from sisy.management.arguments import one_of
from sisy.management.progress import Progress
from sisy.management.run_filters import add_filters, has_filters, search_of
from sisy.management.run_questions import (
    before_another_retry,
    before_cancel,
    before_retry,
    left_out,
    nothing_to_cancel,
)
from sisy.management.run_text import facts_of, line_of
from sisy.management.verbs import VerbCommand, add_number, add_yes
from sisy.models import Run, RunState
from sisy.records.choices import FAILED_STATES, LIVE_STATES
from sisy.reports import formatting
from sisy.reports.repeats import repeats_of
from sisy.reports.run_filter import DELAY, MAX_SORTED, NEWEST, SORTS, sort_runs
from sisy.reports.run_search import RunSearch, find_all, in_states
from sisy.reports.walk import MAX_LOOKED_AT, Walked
from sisy.runtime.escaping import escaped

BATCH = 100  # runs that are changed between two steps of the progress
MAX_REFUSALS_NAMED = 5
MAX_SECONDS = 5.0  # seconds in which a list looks for runs


class RunVerbs(VerbCommand):
    """The verbs ``list``, ``retry`` and ``cancel``."""

    def add_verbs(self, verb: Callable[[str, str], ArgumentParser]) -> None:
        listing = verb("list", "list runs, newest first or sorted")
        add_filters(listing)
        add_number(listing, "runs", 50)
        listing.add_argument(
            "--sort",
            type=one_of(SORTS),
            choices=SORTS,
            default=NEWEST,
            help=f"newest first, or the longest duration or delay first, among the newest "
            f"{MAX_SORTED:,} matching runs (default: %(default)s)",
        )
        _add_before(listing)
        retry = verb(
            "retry",
            "submit a new run for each finished one; with filters, for those that failed, timed "
            "out or were lost, unless --state is given",
        )
        cancel = verb("cancel", "cancel queued runs, and ask running ones to stop")
        for parser in (retry, cancel):
            parser.add_argument(
                "runs", nargs="*", type=lookup.run_argument, metavar="RUN", help="keys of runs"
            )
            add_filters(parser)
            _add_before(parser)
            add_yes(parser)
        cancel.add_argument(
            "--reason",
            default="Cancelled with sisy_runs.",
            metavar="TEXT",
            help="the reason to store with the runs",
        )
        cancel.add_argument(
            "--force",
            action="store_true",
            help="also kill the runs that are running in a process pool",
        )

    def do_list(self, *, number: int, before: int | None, sort: str, **options: Any) -> None:
        search = search_of(options, self.using, self.now)
        is_sorted = sort != NEWEST
        found = self._found(search, before, MAX_SORTED if is_sorted else number)
        sort_runs(found.runs, sort, search)
        shown = found.runs[:number]
        is_over = not found.runs and not found.is_cut_short
        if is_over and (unknown := unknown_names.in_search(search, self.using, self.now)):
            raise CommandError(f"No runs match.{unknown}")
        if self.as_json:
            self.say_json(
                {
                    "runs": [facts_of(run) for run in shown],
                    "sorted_among": len(found.runs) if is_sorted else None,
                    "looked_at": found.looked_at,
                    "back_to": found.back_to,
                    "next_before": found.next_before,
                }
            )
            return
        is_all = not has_filters(options) and before is None
        nothing = "No runs yet." if is_all else "No runs match."
        if not found.runs and found.is_cut_short:
            nothing = "No matching runs so far."
        rows = [line_of(run, self.now, has_delay=sort == DELAY) for run in shown]
        self.answer(rows, otherwise=nothing)
        if is_sorted and found.runs:
            self._say_sorted(len(found.runs), len(shown))
        self._say_next(found, shown, is_sorted=is_sorted)

    def _found(self, search: RunSearch, before: int | None, most: int) -> Walked:
        """Return the newest runs that match. A page stops sooner, because it is loaded again."""
        began = clock.steady()
        parts = find_all(self.using, search, before=before, most=most)
        found = next(parts)
        while clock.steady() - began < MAX_SECONDS and (part := next(parts, None)):
            found = replace(
                part,
                runs=[*found.runs, *part.runs],
                looked_at=found.looked_at + part.looked_at,
                back_to=part.back_to or found.back_to,
            )
        return found

    def _say_sorted(self, number: int, shown: int) -> None:
        """Say how many runs were sorted, and how to see more of them."""
        words = ngettext(
            "Sorted: the newest matching run.",
            "Sorted: the newest %(n)s matching runs.",
            number,
        )
        more = f" To see all of them, add: -n {number}" if number > shown else ""
        self.say(words % {"n": f"{number:,}"} + more)

    def _say_next(self, found: Walked, shown: Sequence[Run], *, is_sorted: bool) -> None:
        """Say how far the search looked, how to continue, and how to see more of a run."""
        if found.next_before is not None:
            if (found.is_cut_short or is_sorted) and found.back_to is not None:
                self.say(
                    f"Searched the newest {found.looked_at:,} runs, back to "
                    f"{formatting.short(found.back_to)}."
                )
            self.say(f"To continue, add: --before {found.next_before}")
        if shown:
            self.say(f"To see the details of a run: manage.py sisy_runs show {shown[0].pk}")

    def do_retry(self, *, runs: list[int], yes: bool, **options: Any) -> None:
        chosen, older = self._chosen(runs, options, FAILED_STATES)
        repeats = repeats_of(self.using, chosen)
        if not runs and repeats:
            self.stderr.write(left_out(len(repeats)))
            chosen = [run for run in chosen if run.pk not in repeats]
        if not chosen:
            raise CommandError("No runs to retry.")
        if not runs:
            self.confirm(before_retry(chosen), is_confirmed=yes)
        elif repeats:
            self.confirm(before_another_retry(repeats), is_confirmed=yes)
        submitted, refusals = [], []
        with self._progress("Retrying runs", len(chosen)) as progress:
            for done, run in enumerate(chosen, 1):
                try:
                    submitted.append(run.retry().pk)
                except ValueError as error:
                    refusals.append(str(error))
                progress.reach(done, f"{done:,} of {len(chosen):,}")
        self._say_retried(submitted, refusals, older)

    def _say_retried(
        self, submitted: Sequence[int], refusals: Sequence[str], older: int | None
    ) -> None:
        for sentence in refusals[:MAX_REFUSALS_NAMED]:
            self.stderr.write(escaped(sentence))
        if more := len(refusals[MAX_REFUSALS_NAMED:]):
            words = ngettext(
                "%d more run cannot be retried.", "%d more runs cannot be retried.", more
            )
            self.stderr.write(words % more)
        if not submitted:
            raise CommandError("No runs were retried.")
        count = len(submitted)
        words = ngettext("Submitted %d retry.", "Submitted %d retries.", count) % count
        shown = f" It is run {submitted[0]}." if count == 1 else ""
        facts = {"submitted": submitted, "refused": len(refusals), "next_before": older}
        self.say_with(words + shown + (_more_match(older) or _to_follow(submitted)), **facts)

    def do_cancel(
        self, *, runs: list[int], yes: bool, reason: str, force: bool, **options: Any
    ) -> None:
        found, older = self._chosen(runs, options, LIVE_STATES)
        chosen = [run for run in found if run.state in LIVE_STATES]
        if not chosen:
            raise CommandError(nothing_to_cancel(found if runs else ()))
        if not runs:
            self.confirm(before_cancel(chosen, by_force=force), is_confirmed=yes)
        cancelled = asked = 0
        with self._progress("Cancelling runs", len(chosen)) as progress:
            for start in range(0, len(chosen), BATCH):
                keys = [run.pk for run in chosen[start : start + BATCH]]
                rows = Run.objects.using(self.using).filter(pk__in=keys)
                done = cancel_or_request_live(rows, reason, self.now, by_force=force)
                cancelled, asked = cancelled + len(done[0]), asked + len(done[1])
                progress.reach(start + len(keys), f"{start + len(keys):,} of {len(chosen):,}")
        stopping = Run.objects.using(self.using).filter(
            pk__in=[run.pk for run in chosen if run.cancel_requested_at], state=RunState.RUNNING
        )
        words = cancelled_in_words(cancelled, asked, stopping.count(), by_force=force)
        if not cancelled and not asked:
            raise CommandError(words)
        facts = {"cancelled": cancelled, "asked": asked, "next_before": older}
        self.say_with(words + _more_match(older), **facts)

    def _chosen(
        self, keys: Sequence[int], options: dict[str, Any], states: tuple[str, ...]
    ) -> tuple[list[Run], int | None]:
        """Return the runs that are named, or that match the filters, as `_matching` does.

        Raises:
            CommandError: a key does not exist, or both or neither of keys and filters are given.
        """
        if bool(keys) == has_filters(options) or (keys and options["before"] is not None):
            both = "Use either keys of runs or filters, not both."
            neither = "Name runs by their keys, or choose them by filters such as --task."
            raise CommandError(both if keys else neither, returncode=2)
        if keys:
            return self._with_keys(list(dict.fromkeys(keys))), None
        search = in_states(search_of(options, self.using, self.now), states)
        return self._matching(search, options["before"])

    def _with_keys(self, keys: Sequence[int]) -> list[Run]:
        try:
            return [lookup.run_with_key(key, self.using) for key in keys]
        except CommandError as error:
            raise CommandError(f"{error} Nothing was changed." if keys[1:] else error) from error

    def _matching(self, search: RunSearch, before: int | None) -> tuple[list[Run], int | None]:
        """Return the newest runs that match, at most `MAX_LOOKED_AT`.

        The second value is the key below which there are more; None if there are not.
        """
        found: list[Run] = []
        older = None
        with self._progress("Looking for runs", MAX_LOOKED_AT) as progress:
            for part in find_all(self.using, search, before=before, most=MAX_LOOKED_AT):
                found += part.runs
                older = part.next_before
                progress.reach(len(found), f"{len(found):,} found")
        if not found and (hint := unknown_names.in_search(search, self.using, self.now)):
            raise CommandError(f"No runs match.{hint}")
        return found, older

    def _progress(self, what: str, total: int) -> Progress:
        return Progress(sys.stderr, what, total, is_quiet=self.as_json)


def _add_before(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--before",
        type=lookup.run_argument,
        metavar="RUN",
        help="only runs with a smaller key, to continue where an earlier call stopped",
    )


def _to_follow(submitted: Sequence[int]) -> str:
    if submitted[1:]:
        return " To see them: manage.py sisy_runs list --origin retry"
    return f" To follow it: manage.py sisy_runs logs {submitted[0]} --follow"


def _more_match(older: int | None) -> str:
    # Runs that were retried still match, so the same command would retry them again.
    return "" if older is None else f" More runs match. To continue, add: --before {older}"
