"""The subject, the text and the HTML of a message."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from django.template import Context, Engine
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from sisy.alerting.advised_commands import to_see_all
from sisy.alerting.links import link_of
from sisy.alerting.notice import Notice, notices_in
from sisy.alerting.problem import as_sentence, without_numbers
from sisy.models.outbox import OutboxMessage
from sisy.records.choices import Event
from sisy.records.problems import Kind
from sisy.runtime.durations import rounded_text
from sisy.runtime.escaping import escaped, escaped_lines

TEMPLATES = Path(__file__).parents[1] / "templates" / "sisy" / "mail"
MAX_SUBJECT_LENGTH = 150
MAX_DESCRIBED = 50  # alerts of one message
MAX_CAUSES = 3  # causes of several alerts that a message begins with
PREFIX = "[Sisy] "


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A message as people read it. The subject is one line."""

    subject: str
    plain: str
    html: str


def text_of(message: OutboxMessage) -> Text:
    """Return the text of a message about alerts, or of a test."""
    notices = notices_in(message.payload)
    subject = _subject(message, notices)
    paragraphs = [_words_of_test(message.channel)] if message.event == Event.TEST else []
    if len(notices) > MAX_DESCRIBED:
        words = gettext("Showing the first %(number)d of %(all)d alerts.")
        words %= {"number": MAX_DESCRIBED, "all": _number(notices)}
        paragraphs.append(f"{words} {to_see_all(are_over=_are_over(notices))}")
    paragraphs += _common_causes(notices)
    context = Context(
        {
            "subject": subject,
            "paragraphs": paragraphs,
            "alerts": [_alert(notice) for notice in notices[:MAX_DESCRIBED]],
        }
    )
    plain_context = Context(context.flatten(), autoescape=False)
    return Text(
        subject=PREFIX + subject,
        plain=_template("alert.txt").render(plain_context).strip() + "\n",
        html=_template("alert.html").render(context),
    )


def subject_of(message: OutboxMessage) -> str:
    """Return the subject of any message, without its prefix. Never raises."""
    if message.event == Event.PING:
        return gettext("Ping")
    try:
        return _subject(message, notices_in(message.payload))
    except Exception:  # noqa: BLE001 - the payload may be of another version
        return gettext("Unreadable message")


def _subject(message: OutboxMessage, notices: Sequence[Notice]) -> str:
    if message.event == Event.TEST:
        return gettext("Test message")
    if len(notices) != 1:
        return _subject_of_many(notices)
    [notice] = notices
    problem = _capitalized(notice.problem)
    if message.event == Event.RECOVERED:
        problem = gettext("Recovered")
    # A label may contain line breaks, and any text.
    words = f"{problem}: {escaped(notice.what)}" if notice.what else problem
    if message.event == Event.RECOVERED:
        words = f"{_cut(words, MAX_SUBJECT_LENGTH - 30)} ({escaped(notice.problem)})"
    return _cut(words, MAX_SUBJECT_LENGTH)


def _subject_of_many(notices: Sequence[Notice]) -> str:
    counted: Counter[str] = Counter()
    for notice in notices:
        counted[escaped(notice.problem)] += notice.count
    kinds = ", ".join(f"{problem} {number}" for problem, number in counted.most_common())
    number = _number(notices)
    total = ngettext("%d alert", "%d alerts", number) % number
    if _are_over(notices):
        total = ngettext("%d alert recovered", "%d alerts recovered", number) % number
    return _cut(f"{total}: {kinds}", MAX_SUBJECT_LENGTH)


def _are_over(notices: Sequence[Notice]) -> bool:
    return all(notice.ended_at for notice in notices)


def _number(notices: Sequence[Notice]) -> int:
    """Return the number of alerts that a message is about."""
    return sum(notice.count for notice in notices)


def _common_causes(notices: Sequence[Notice]) -> list[str]:
    """Return a sentence for each of the causes that several alerts have, most alerts first."""
    causes: dict[tuple[str, str, str], list[Notice]] = defaultdict(list)
    for notice in notices:
        if notice.ended_at is None and notice.count == 1:
            cause = notice.cause or notice.why
            queue = notice.queue if notice.kind == Kind.LATE else ""
            causes[notice.kind, queue, without_numbers(cause)].append(notice)
    several = sorted(causes.values(), key=len, reverse=True)[:MAX_CAUSES]
    return [
        gettext("%(number)d alerts have the same cause (%(problem)s): %(cause)s")
        % {
            "number": len(alike),
            "problem": escaped(alike[0].problem),
            "cause": escaped(as_sentence(alike[0].cause or alike[0].why)),
        }
        for alike in several
        if len(alike) > 1
    ]


def _words_of_test(channel: str) -> str:
    return gettext(
        "This is a test of the channel '%s'. Messages about tasks and runs will arrive here."
    ) % escaped(channel)


def _alert(notice: Notice) -> dict[str, Any]:
    """Return what the templates show of one alert."""
    title = _capitalized(escaped(notice.problem))
    return {
        "title": f"{title}: {escaped(notice.what)}" if notice.what else title,
        "facts": [(name, value) for name, value in _facts(notice) if value],
        "link": link_of(notice),
    }


def _facts(notice: Notice) -> list[tuple[str, str]]:
    return [
        (gettext("Since"), moment_text(notice.since)),
        (gettext("Until"), _end(notice)),
        (gettext("Why"), escaped(notice.why)),
        (gettext("Fix"), escaped(notice.fix)),
        (gettext("Queue"), escaped(notice.queue)),
        (gettext("Run"), str(notice.run or "")),
        (gettext("Note"), escaped_lines(notice.note)),
    ]


def _end(notice: Notice) -> str:
    if notice.ended_at is None:
        return ""
    return gettext("%(moment)s, after %(duration)s") % {
        "moment": moment_text(notice.ended_at, notice.since),
        "duration": rounded_text(notice.ended_at - notice.since),
    }


def moment_text(moment: datetime, earlier: datetime | None = None) -> str:
    """Return a moment to the second in the project's time zone, with the name of the zone.

    Args:
        earlier: a moment that the reader sees just before. Its zone is not named again.
    """
    zone = timezone.get_default_timezone()
    local = moment.astimezone(zone)
    is_same_zone = earlier is not None and earlier.astimezone(zone).tzname() == local.tzname()
    return f"{local:%Y-%m-%d %H:%M:%S}" if is_same_zone else f"{local:%Y-%m-%d %H:%M:%S %Z}"


def _capitalized(words: str) -> str:
    words = escaped(words)
    return words[:1].upper() + words[1:]


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


# Not the project's template engines: a heartbeat must be able to send whatever they are.
@cache
def _template(name: str) -> Any:
    return Engine(dirs=[str(TEMPLATES)], autoescape=True).get_template(name)
