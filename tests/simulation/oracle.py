"""Compares the ledger with what should have happened."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sisy.lifecycle.transition import LONGEST_LEAD
from sisy.models import Missed, OnLost, Origin, Run, RunState, Task
from sisy.planning.timing import ON_TIME_TOLERANCE
from tests.simulation.expected import due_moments
from tests.simulation.history import CANCELLING, FORBIDDING, Era, Execution, History, Story
from tests.support.small_tables import disagreements

FUZZ = timedelta(seconds=0.1)  # readings of the clock around a change
STAYS = FUZZ + LONGEST_LEAD  # what is due so soon after a change may have been started before
A_LOOK = timedelta(seconds=5)  # in which a pass surely sees what is due
ENDED = {RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT}
LIVE = {RunState.QUEUED, RunState.RUNNING}
COLUMNS = [
    "pk",
    "label",
    "origin",
    "state",
    "due_at",
    "due_until",
    "count",
    "planned_at",
    "ready_at",
    "started_at",
    "finished_at",
    "attempt",
    "priority",
    "times_lost",
    "reason",
    "result",
    "blocked_by",
    "cancel_requested_at",
]


class Oracle:
    """Reads the ledger now and then, and knows what it must hold."""

    def __init__(self, history: History, missed_limit: int, lost_limit: int) -> None:
        self.history = history
        self.rows: dict[int, dict[str, Any]] = {}
        self._missed_limit, self._lost_limit = missed_limit, lost_limit

    def read(self) -> None:
        """Read the ledger: what has ended must stay as it was, and the small tables agree."""
        rows = list(Run.objects.values(*COLUMNS))
        for pk in self.rows.keys() - {row["pk"] for row in rows}:
            self._may_be_gone(pk)
        for row in rows:
            before = self.rows.get(row["pk"])
            if before is not None and before["state"] not in LIVE and before != row:
                self._wrong(f"Run {row['pk']} had ended, and changed: {before} became {row}")
            self.rows[row["pk"]] = row
        for difference in disagreements():
            self._wrong(difference)

    def _may_be_gone(self, pk: int) -> None:
        """Forget a run that was withdrawn. One that has ended may have been pruned."""
        row = self.rows[pk]
        if row["state"] in LIVE:
            if pk not in self.history.withdrawn:
                self._wrong(f"{_named(row)} was live, and is gone")
            del self.rows[pk]

    def judge(self) -> None:
        """Compare all that there was with what should have been."""
        self.read()
        by_label: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows.values():
            by_label.setdefault(row["label"], []).append(row)
        tasks = Task.objects.in_bulk()
        for label, story in self.history.stories.items():
            rows = by_label.get(label, [])
            scheduled = [row for row in rows if row["due_at"]]
            self._each_moment_is_in_the_ledger_once(story, scheduled)
            self._missed_ones_are_dealt_with_by_policy(story, scheduled)
            self._iterations_are_exact(story, scheduled, tasks.get(story.pk))
            self._is_asked_for(story, rows)
            self._is_planned_as_it_was_when_due(story, scheduled)
            self._runs_do_not_overlap(story, rows)
        for row in self.rows.values():
            self._is_explained(row, self.history.stories.get(row["label"]))
        for pk in self.rows.keys() & self.history.withdrawn:
            self._wrong(f"{_named(self.rows[pk])} was withdrawn, and is not gone")
        for pk in self.history.executions.keys() & self.history.withdrawn:
            self._wrong(f"Run {pk} was withdrawn, and carried out")
        once = sum(row["origin"] == Origin.ONCE for row in self.rows.values())
        if once != self.history.once:
            self._wrong(f"{self.history.once} were submitted once, and {once} are in the ledger")

    def _wrong(self, what: str) -> None:
        self.history.wrong(what)

    def _each_moment_is_in_the_ledger_once(self, story: Story, rows: list[dict]) -> None:
        required, allowed = self._moments_of(story, _used_up_at(story, rows))
        if (at_once := _fired_at_once(story, rows)) is not None:
            allowed.add(at_once)
        found: Counter[datetime] = Counter()
        for row in rows:
            if row["state"] == RunState.MISSED:
                inside = [one for one in allowed if row["due_at"] <= one <= row["due_until"]]
                surely = [one for one in inside if one in required]
                found.update(inside)
                if not len(surely) <= row["count"] <= len(inside):
                    self._wrong(f"{story.label}: a gap counts {row['count']}, not {len(inside)}")
                if not inside or {row["due_at"], row["due_until"]} - set(inside):
                    gap = f"{_named(row)} until {row['due_until']}"
                    self._wrong(f"{story.label}: a gap that is none: {gap}")
            else:
                found[row["due_at"]] += 1
        for due, count in sorted(found.items()):
            if due not in allowed:
                self._wrong(f"{story.label} has a row for {due}, at which it was not due")
            elif count > 1:
                self._wrong(f"{story.label} has {count} rows for {due}")
        absent = sorted(required - found.keys())
        for due in (one for one in absent if not _was_used_up(story, one, rows)):
            self._wrong(f"{story.label} has nothing in the ledger for {due}")

    def _moments_of(
        self, story: Story, used_up_at: datetime | None
    ) -> tuple[set[datetime], set[datetime]]:
        """Return what must be in the ledger, and what may be."""
        required: set[datetime] = set()
        allowed: set[datetime] = set()
        eras = _without_changes_of_other_things(story.eras)
        reached: datetime | None = None
        for era, following in zip(eras, [*eras[1:], None], strict=True):
            before, reached = reached, _latest(reached, era.seen)
            if era.times is None:
                continue
            until = self.history.passes[-1][1] if following is None else following.settled
            until = max(filter(None, (until, era.seen)))
            until = min(filter(None, (until + STAYS, used_up_at)))
            for due in due_moments(era.times, era.begun - FUZZ, until):
                allowed.add(due)
                # What the clock had reached before it was set back does not fall due again.
                is_inside = max(era.settled, before or era.settled) + FUZZ < due
                is_before = following is None or due < following.begun - FUZZ
                if is_inside and is_before:
                    required.add(due)
        if story.at_once is not None and len(story.eras) == 1:
            required.add(story.at_once)
        return required, allowed

    def _missed_ones_are_dealt_with_by_policy(self, story: Story, rows: list[dict]) -> None:
        """Check each pass that found more than one due moment, or a late one.

        What it planned ahead was not late.
        """
        if story.iterations is not None:
            return
        at_once = _fired_at_once(story, rows)
        passes: dict[datetime, list[dict]] = {}
        for row in rows:
            passes.setdefault(row["planned_at"], []).append(row)
        for now, made in passes.items():
            first = min(row["due_at"] for row in made)
            last = max(row["due_until"] or row["due_at"] for row in made)
            timeline = self.history.planned_in(made[0]["pk"])
            era = _era_at(story, first, timeline)
            # What was planned ahead, and stayed, was not changed before it was due.
            if era is None or _is_changed_within(story, first, max(now, last), timeline):
                continue
            due = due_moments(era.times, first - FUZZ, last)
            if at_once is not None and first <= at_once <= last:
                due = sorted({*due, at_once})
            run = {row["due_at"] for row in made if row["state"] != RunState.MISSED}
            # Another heartbeat may have planned some of them at the same time.
            by_others = {row["due_at"] for row in rows if row["planned_at"] != now}
            wanted = set(self._wanted(story, due, now)) - by_others
            if run != wanted:
                self._wrong(
                    f"{story.label} (missed={story.missed}) ran {sorted(map(str, run))} "
                    f"at {now}, not {sorted(map(str, wanted))}"
                )

    def _wanted(self, story: Story, due: list[datetime], now: datetime) -> list[datetime]:
        ahead = [one for one in due if one > now]
        return self._wanted_of_due(story, [one for one in due if one <= now], now) + ahead

    def _wanted_of_due(self, story: Story, due: list[datetime], now: datetime) -> list[datetime]:
        late = [one for one in due if one < now - ON_TIME_TOLERANCE]
        fresh = [one for one in due if one >= now - ON_TIME_TOLERANCE]
        if not late:
            return fresh
        caught_up = {
            Missed.LATEST: due[-1:],
            Missed.SKIP: fresh,
            Missed.ALL: late[-self._missed_limit :] + fresh,
        }[Missed(story.missed)]
        if story.missed_window is None:
            return caught_up
        oldest = now - max(story.missed_window, ON_TIME_TOLERANCE)
        return [one for one in caught_up if one >= oldest]

    def _iterations_are_exact(self, story: Story, rows: list[dict], task: Task | None) -> None:
        planned = sum(row["state"] not in (RunState.MISSED, RunState.SKIPPED) for row in rows)
        if task is not None and task.runs_planned != planned:
            self._wrong(f"{story.label} counts {task.runs_planned} runs; there were {planned}")
        if story.iterations is None:
            return
        if planned > story.iterations or (task is None and planned < story.iterations):
            self._wrong(f"{story.label} ran {planned} of {story.iterations} times")

    def _is_planned_as_it_was_when_due(self, story: Story, rows: list[dict]) -> None:
        """Check that what runs copy from their task is not what it had before they fell due.

        What was planned later may have what the task has had since.
        """
        for row in rows:
            if row["state"] == RunState.MISSED or row["origin"] != Origin.SCHEDULE:
                continue
            # Who planned it may have been killed before it said so.
            planned = self.history.planned_at.get(row["pk"]) or row["started_at"]
            latest = max(filter(None, (row["due_at"], row["planned_at"], planned)))
            allowed = {
                era.priority
                for era, following in zip(story.eras, [*story.eras[1:], None], strict=True)
                if era.begun - FUZZ <= latest
                and (following is None or row["due_at"] <= _until(following, era))
            }
            if allowed and row["priority"] not in allowed:
                self._wrong(f"{_named(row)} has priority {row['priority']}, not {sorted(allowed)}")

    def _is_asked_for(self, story: Story, rows: list[dict]) -> None:
        found = sum(row["origin"] == Origin.MANUAL for row in rows)
        if found != story.asked_for:
            self._wrong(f"{story.label} was asked for {story.asked_for} times, and ran {found}")

    def _runs_do_not_overlap(self, story: Story, rows: list[dict]) -> None:
        """Check the ledger's own word; the world has looked at what was really carried out."""
        if story.overlap not in FORBIDDING:
            return
        spans = sorted(
            (timeline, row["started_at"], row["finished_at"], row["pk"])
            for row in rows
            if row["state"] in ENDED and row["started_at"]
            if (timeline := self.history.timeline_of(row["pk"])) is not None
        )
        for (before, _, end, pk), (after, start, _, other) in pairwise(spans):
            if before == after and start + FUZZ < end:
                self._wrong(f"{story.label}: run {other} began before run {pk} had ended")

    def _is_explained(self, row: dict, story: Story | None) -> None:
        executions = self.history.executions.get(row["pk"], [])
        state = row["state"]
        if row["origin"] == Origin.SCHEDULE and row["due_at"] is None:
            self._wrong(f"{_named(row)} lost its moment, as if a clock had been set back by hours")
        if state in LIVE:
            self._wrong(f"{_named(row)} is {state}, and nobody will end it")
        elif state in ENDED:
            self._has_the_outcome_of_its_last_attempt(row, executions)
        elif state == RunState.LOST:
            may_end = story is None or story.is_over or story.on_lost == OnLost.FAIL
            if not row["times_lost"] or not (may_end or row["times_lost"] > self._lost_limit):
                self._wrong(f"{_named(row)} is lost, against the policy")
        elif state == RunState.CANCELLED:
            by_user = story is None or story.is_over or story.queued_cancelled
            if not by_user and not (row["cancel_requested_at"] and story.overlap in CANCELLING):
                self._wrong(f"{_named(row)} was cancelled, by nobody")
        elif state == RunState.SKIPPED:
            self._was_in_the_way(row, story)
        self._was_not_over_before_it_was_due(row)
        self._was_carried_out_as_often_as_it_says(row, executions)

    def _was_carried_out_as_often_as_it_says(self, row: dict, executions: list[Execution]) -> None:
        never = row["state"] in (RunState.SKIPPED, RunState.MISSED) and not row["attempt"]
        if executions and never and all(one.end != "handed back" for one in executions):
            self._wrong(f"{_named(row)} was carried out")
        begun = sum(one.end != "handed back" for one in executions)
        if begun > row["attempt"]:
            self._wrong(
                f"{_named(row)} was carried out {begun} times in {row['attempt']} attempts"
            )

    def _was_not_over_before_it_was_due(self, row: dict) -> None:
        due, over = row["due_at"], row["finished_at"]
        # What fell due before the clock was set back is due no more.
        if due and over and max(over + STAYS, self.history.furthest) < due:
            self._wrong(f"{_named(row)} was over before it was due, at {over}")

    def _has_the_outcome_of_its_last_attempt(self, row: dict, executions: list[Execution]) -> None:
        last = [one for one in executions if one.attempt == row["attempt"]]
        ended = [one for one in last if one.end in ("done", "failed")]
        if not ended:
            self._wrong(f"{_named(row)} has an outcome, and was never carried out")
        elif row["result"] not in [one.token for one in ended]:
            self._wrong(f"{_named(row)} has the outcome of another attempt than its own")
        elif (row["state"] == RunState.SUCCEEDED) != (ended[-1].end == "done"):
            self._wrong(f"{_named(row)} has another outcome than its execution: {ended[-1].end}")

    def _was_in_the_way(self, row: dict, story: Story | None) -> None:
        blocker = self.rows.get(row["blocked_by"])
        if blocker is None or blocker["label"] != row["label"]:
            self._wrong(
                f"{_named(row)} was skipped, but nothing was in its way: {_named(blocker)}"
            )
        elif story is None or story.overlap not in FORBIDDING:
            self._wrong(f"{_named(row)} was skipped, against the policy of {story}")
        elif not self._can_be_compared(row, blocker):
            pass
        elif story.overlap in CANCELLING:
            if (blocker["ready_at"], blocker["pk"]) < (row["ready_at"], row["pk"]):
                self._wrong(f"{_named(row)} was skipped for an older one: {_named(blocker)}")
        elif not blocker["attempt"] and row["blocked_by"] not in self.history.executions:
            self._wrong(f"{_named(row)} was skipped for one that never ran: {_named(blocker)}")
        elif (
            blocker["state"] in ENDED
            and blocker["finished_at"]
            and self._was_known_to_have_ended(blocker) + A_LOOK < row["finished_at"]
        ):
            self._wrong(f"{_named(row)} was skipped when that had ended: {_named(blocker)}")

    def _was_known_to_have_ended(self, row: dict) -> datetime:
        """Return when the end of a run was in the ledger: its worker may have been frozen."""
        finished = row["finished_at"]
        return max(finished, self.history.recorded_at.get(row["pk"], finished))

    def _can_be_compared(self, row: dict, other: dict) -> bool:
        """Return whether moments tell which of two runs was first."""
        timelines = {self.history.timeline_of(each["pk"]) for each in (row, other)}
        return len(timelines) == 1 and None not in timelines


def _named(row: dict[str, Any] | None) -> str:
    """Return the row in few words."""
    if row is None:
        return "nothing"
    return (
        f"run {row['pk']} of {row['label']} (due {row['due_at']}, {row['state']}, "
        f"attempt {row['attempt']}, {row['reason']!r})"
    )


def _without_changes_of_other_things(eras: list[Era]) -> list[Era]:
    """Return the eras of times alone: no edit of anything else may lose an occurrence."""
    found: list[Era] = []
    for era in eras:
        if found and era.times is not None and era.times == found[-1].times:
            found[-1] = replace(found[-1], seen=_latest(found[-1].seen, era.seen))
        else:
            found.append(era)
    return found


def _latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _until(following: Era, era: Era) -> datetime:
    """Return the last moment at which an era may have been in effect, by any clock."""
    return max(following.settled, era.seen or following.settled) + STAYS


def _era_at(story: Story, moment: datetime, timeline: int):
    current = None
    for era in story.eras:
        if (era.timeline, era.begun - FUZZ) <= (timeline, moment):
            current = era
    return None if current is None or current.times is None else current


def _is_changed_within(story: Story, first: datetime, last: datetime, timeline: int) -> bool:
    """Return whether a change may have happened from one moment to another of a timeline."""
    eras = [era for era in story.eras if era.timeline == timeline]
    return any(era.begun - FUZZ <= last and first <= era.settled + FUZZ for era in eras)


def _fired_at_once(story: Story, rows: list[dict]) -> datetime | None:
    """Return when a task fired that does not wait for its schedule, if that can be.

    Its first run comes when it begins to be planned; or anew, if it was changed before that.
    """
    if story.at_once is None:
        return None

    def can_be(due: datetime) -> bool:
        begins = any(era.begun - FUZZ <= due <= era.settled + FUZZ for era in story.eras)
        return begins or any(era.times and era.times.start == due for era in story.eras)

    # A schedule names whole seconds. One of them may also lie within a reading of the change.
    found = filter(can_be, (row["due_at"] for row in rows))
    return min(found, key=lambda due: (not due.microsecond, due), default=None)


def _was_used_up(story: Story, due: datetime, rows: list[dict]) -> bool:
    """Return whether a task may have had all its iterations, if only for a while."""
    return _is_before_a_recount(story, due, rows) or _is_before_a_change(story, due, rows)


def _is_before_a_recount(story: Story, due: datetime, rows: list[dict]) -> bool:
    """Return whether a task may have had all its iterations, until they were changed.

    If some of its runs were then skipped, it has had fewer after all.
    """
    planned = [row["planned_at"] for row in rows if row["due_at"] > due]
    return any(due <= moment < min(planned, default=moment + FUZZ) for moment in story.recounts)


def _is_before_a_change(story: Story, due: datetime, rows: list[dict]) -> bool:
    """Return whether a task had had all its iterations, until its times changed after ``due``.

    If some of its runs were skipped only then, it has had fewer after all. But a pause or an edit
    counts those that it finds queued, and nothing plans later what was due before it.
    """
    eras = _without_changes_of_other_things(story.eras)
    change = next((era for era in eras if due < era.begun - FUZZ), None)
    if story.iterations is None or change is None:
        return False
    counted = [
        row["due_at"]
        for row in rows
        if row["state"] != RunState.MISSED and row["planned_at"] <= change.settled + FUZZ
        if row["state"] != RunState.SKIPPED or row["finished_at"] > change.begun - FUZZ
    ]
    return len(counted) >= story.iterations and max(counted) < due


def _used_up_at(story: Story, rows: list[dict]) -> datetime | None:
    """Return the last due moment of a task that has had all its iterations."""
    planned = sum(row["state"] not in (RunState.MISSED, RunState.SKIPPED) for row in rows)
    if story.iterations is None or planned < story.iterations:
        return None
    return max(row["due_until"] or row["due_at"] for row in rows)
