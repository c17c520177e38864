"""``manage.py sisy_runs``: show runs, and follow what they print."""

import json
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Any

from sisy.management import arguments, lookup
from sisy.management.arguments import whole
from sisy.management.output import plain
from sisy.management.verbs import VerbCommand
from sisy.models import Run, RunState
from sisy.records.choices import LIVE_STATES
from sisy.reports.following import Follower, News
from sisy.reports.output import AttemptOutput, ShownProgress, output_of, outputs_of
from sisy.runtime.escaping import escaped_json

LOOK_INTERVAL = 0.5  # seconds between two looks at a run that is followed


class Command(VerbCommand):
    help = (
        "Shows runs, what they print, and how far they are. RUN is a run's key, such as 7 or "
        "'#7'. Exits with 1 if the run does not exist, or if a run that was followed did not "
        "succeed."
    )

    def add_verbs(self, verb: Callable[[str, str], ArgumentParser]) -> None:
        show = verb("show", "show a run, its progress and its output")
        logs = verb("logs", "show only what a run has printed and logged")
        for parser in (show, logs):
            parser.add_argument("run", type=_key, metavar="RUN", help="key of the run")
            parser.add_argument(
                "-f",
                "--follow",
                action="store_true",
                help="show what is new until the run has ended",
            )
        logs.add_argument(
            "--attempt",
            type=whole(1, 2**31 - 1),
            metavar="N",
            help="the attempt (default: the latest one)",
        )

    def do_show(self, run: int, *, follow: bool, **options: Any) -> None:
        found = lookup.run_with_key(run, self.using)
        outputs = outputs_of(found)
        if follow:
            if not self.as_json:
                self._say_facts(found, None)
            self._follow(found)
        elif self.as_json:
            self.say_json(facts_of(found) | {"output": [_json_of(each) for each in outputs]})
        else:
            latest = outputs[-1] if outputs else None
            self._say_facts(found, latest.progress if latest else None)
            if latest is not None and latest.written:
                self._say_text(f"\n{latest.text}")

    def do_logs(self, run: int, *, attempt: int | None, follow: bool, **options: Any) -> None:
        found = lookup.run_with_key(run, self.using)
        if follow and attempt in (None, found.attempt):
            self._follow(found)
            return
        output = output_of(found, attempt)
        if self.as_json:
            self.say_json(None if output is None else _json_of(output))
        elif output is None or not output.written:
            self.say("No output.")
        else:
            self._say_text(output.text)

    def _follow(self, run: Run) -> None:
        """Print what is new until the run has ended, and exit with 1 if it did not succeed."""
        follower, shown = Follower(run), None
        pause = threading.Event()
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
                self._say_line({"attempt": attempt, "progress": _json_of_progress(progress)})
            return
        if news.is_next_attempt:
            self.say(f"Attempt {attempt}:")
        self._say_text(news.text)
        if progress is not None:
            self.say(f"[{_words(progress)}]")

    def _say_facts(self, run: Run, progress: ShownProgress | None) -> None:
        facts = facts_of(run) | ({"progress": _words(progress)} if progress else {})
        self.answer([{"field": name, "value": value} for name, value in facts.items()])

    def _say_text(self, text: str) -> None:
        if text:
            self.stdout.write(text)  # adds a line break if there is none

    def _say_line(self, value: dict[str, Any]) -> None:
        text = json.dumps(value, default=plain, ensure_ascii=False)
        self.stdout.write(escaped_json(text))


def facts_of(run: Run) -> dict[str, Any]:
    """Return what is stored about a run, without its data."""
    return {
        "id": run.pk,
        "label": run.label,
        "state": run.state,
        "reason": run.reason,
        "due": run.moment,
        "attempt": run.attempt,
        "queue": run.queue,
        "origin": run.origin,
        "worker": run.worker_name,
        "started": run.started_at,
        "finished": run.finished_at,
        "late": run.lateness,
        "took": run.duration,
    }


def _key(text: str) -> int:
    key = arguments.run_key(text)
    if key is None:
        raise ArgumentTypeError(f"{text!r} is not a run. Use its key, such as 7 or '#7'")
    return key


def _words(progress: ShownProgress) -> str:
    return f"{progress} · {progress.message}" if progress.message else str(progress)


def _json_of(output: AttemptOutput) -> dict[str, Any]:
    progress = output.progress
    return {
        "attempt": output.attempt,
        "text": output.text,
        "written": output.written,
        "left_out": output.left_out,
        "progress": None if progress is None else _json_of_progress(progress),
    }


def _json_of_progress(progress: ShownProgress) -> dict[str, Any]:
    return {
        "done": progress.done,
        "total": progress.total,
        "message": progress.message,
        "at": progress.at,
    }
