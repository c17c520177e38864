"""``manage.py sisy_runs``: find runs, show one, follow what it prints, retry and cancel."""

import json
import sys
import textwrap
import threading
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import tzinfo
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import ngettext

from sisy.alerting.capacity import Fleet
from sisy.management import lookup
from sisy.management.arguments import whole
from sisy.management.output import plain
from sisy.management.run_text import (
    data_of,
    error_of,
    facts_of,
    json_of_output,
    json_of_progress,
    next_step,
    progress_in_words,
    tail_of,
)
from sisy.management.run_verbs import RunVerbs
from sisy.management.table import state
from sisy.models import Attempt, Run, RunState
from sisy.records.choices import LIVE_STATES
from sisy.reports import disclosure, skipping
from sisy.reports.explain import why_run
from sisy.reports.following import Follower, News
from sisy.reports.formatting import zone_named
from sisy.reports.output import AttemptOutput, ShownProgress, output_of, outputs_of
from sisy.runtime.escaping import escaped_json

LOOK_INTERVAL = 0.5  # seconds between two looks at a run that is followed


class Command(RunVerbs):
    help = (
        "Finds, shows, retries and cancels runs. RUN is a run's key, such as 7 or '#7'. Exits "
        "with 1 if a run does not exist, if there was nothing to do, or if a run that was "
        "followed did not succeed, and with 2 if you did not confirm."
    )
    examples = (
        "sisy_runs list --since 1h --state failed",
        "sisy_runs list --task 'count products' --text KeyError",
        "sisy_runs list --since 24h --sort delay -n 10",
        "sisy_runs show 7",
        "sisy_runs logs 7 --follow",
        "sisy_runs retry 7 8 9",
        "sisy_runs retry --since 1h --queue mail --yes",
        "sisy_runs cancel --queue mail --state queued",
    )

    def add_verbs(self, verb: Callable[[str, str], ArgumentParser]) -> None:
        super().add_verbs(verb)
        show = verb("show", "show a run: its error, output, input, and what to do next")
        logs = verb("logs", "show only what a run has printed and logged")
        for parser in (show, logs):
            parser.add_argument(
                "run",
                metavar="RUN",
                help="key of the run, or a task, whose newest run is shown",
            )
            parser.add_argument(
                "-f",
                "--follow",
                action="store_true",
                help="show new output until the run ends",
            )
        logs.add_argument(
            "--attempt",
            type=whole(1, 2**31 - 1),
            metavar="N",
            help="the attempt (default: the latest one)",
        )

    def do_show(self, run: str, *, follow: bool, **options: Any) -> None:
        found = lookup.run_named(run, self.using)
        if follow:
            if not self.as_json:
                self.describe(facts_of(found))
            self._follow(found)
            return
        outputs = outputs_of(found)
        earlier = [_line_of_attempt(one) for one in Attempt.before(found)]
        why = why_run(found, _zone_of(found), self.now)
        step = self._next_step(found)
        if self.as_json:
            more = {
                "attempts": earlier,
                "output": [json_of_output(each) for each in outputs],
                "why": why,
                "next": step,
            }
            self.say_json(facts_of(found) | data_of(found) | more)
            return
        self._say_all(found, outputs[-1] if outputs else None, earlier, why)
        self.stdout.write("")
        self.say(step)

    def _next_step(self, run: Run) -> str:
        fleet = Fleet.at(self.using, self.now)
        step = next_step(run, fleet)
        if run.state != RunState.QUEUED or run.engine or fleet.serving(run.queue):
            return step
        words = skipping.warning(self.using, run.queue, self.now, run.task_id)
        return f"{words} {step}".lstrip()

    def _say_all(
        self,
        run: Run,
        output: AttemptOutput | None,
        attempts: list[dict[str, Any]],
        why: str,
    ) -> None:
        progress = output.progress if output is not None else None
        shown = {"progress": progress_in_words(progress)} if progress else {}
        self.describe(facts_of(run) | shown | {"why": why})
        # Indented, so that no line of it looks like a line of the log.
        self._say_part("Error", textwrap.indent(error_of(run), "  "))
        if attempts:
            self._say_part("Earlier attempts", self.table(attempts))
        self._say_part("Input", disclosure.as_json(run.payload) if run.payload else "")
        self._say_part("Result", disclosure.as_json(run.result) if run.result is not None else "")
        if output is not None and output.written:
            tail, before = tail_of(output)
            more = f" (the last lines; all: manage.py sisy_runs logs {run.pk})" if before else ""
            self._say_part(f"Output{more}", tail)

    def _say_part(self, title: str, text: str) -> None:
        if text:
            self.stdout.write(f"\n{title}:\n{text}")

    def do_logs(self, run: str, *, attempt: int | None, follow: bool, **options: Any) -> None:
        found = lookup.run_named(run, self.using)
        if follow and attempt in (None, found.attempt):
            self._follow(found)
            return
        if attempt is not None and attempt > found.attempt:
            made = ngettext("%d attempt", "%d attempts", found.attempt) % found.attempt
            raise CommandError(f"{found} has made {made}.")
        output = output_of(found, attempt)
        if self.as_json:
            self.say_json(None if output is None else json_of_output(output))
        elif output is None or not output.written:
            self.say("No output.")
        else:
            self._say_text(output.text)

    def _follow(self, run: Run) -> None:
        """Print what is new until the run has ended, and exit with 1 if it did not succeed."""
        follower, shown = Follower(run), None
        pause = threading.Event()
        if run.state == RunState.QUEUED and not self.as_json:
            self.explain(why_run(run, _zone_of(run), self.now))
        while True:
            # The state first: what the run prints last is stored with its outcome.
            run.refresh_from_db(using=self.using, fields=["state", "reason", "finished_at"])
            is_over = run.state not in LIVE_STATES
            news = follower.read(is_over=is_over)
            progress = news.output.progress if news.output else None
            self._say_news(news, progress if str(progress) != str(shown) else None)
            shown = progress
            if is_over:
                break
            self.stdout.flush()
            pause.wait(LOOK_INTERVAL)
        if self.as_json:
            self._say_line({"state": run.state, "reason": run.reason})
        else:
            reason = f": {run.reason}" if run.reason else ""
            self.say(f"Run {run.pk} {run.get_state_display()}{reason}")
        if run.state != RunState.SUCCEEDED:
            sys.exit(1)

    def _say_news(self, news: News, progress: ShownProgress | None) -> None:
        if news.output is None:
            return
        attempt = news.output.attempt
        if self.as_json:
            if news.text:
                self._say_line({"attempt": attempt, "text": news.text})
            if progress is not None:
                self._say_line({"attempt": attempt, "progress": json_of_progress(progress)})
            return
        if news.is_next_attempt:
            self.say(f"Attempt {attempt}:")
        self._say_text(news.text)
        if progress is not None:
            self.say(f"[{progress_in_words(progress)}]")

    def _say_text(self, text: str) -> None:
        if text:
            self.stdout.write(text)  # adds a line break if there is none

    def _say_line(self, value: dict[str, Any]) -> None:
        text = json.dumps(value, default=plain, ensure_ascii=False)
        self.stdout.write(escaped_json(text))


def _zone_of(run: Run) -> tzinfo:
    task = run.task
    return zone_named(task.timezone if task else timezone.get_default_timezone_name())


def _line_of_attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "state": state(attempt.state),
        "started": attempt.started_at,
        "finished": attempt.finished_at,
        "reason": attempt.reason,
    }
