"""The report of a sync in a terminal."""

from collections.abc import Iterator
from typing import Any

from django.utils.translation import ngettext

from sisy.models.declared import USERDATA_COLUMN
from sisy.records.task_fields import PUBLIC_NAMES
from sisy.reports import disclosure
from sisy.runtime.escaping import escaped
from sisy.syncing.discovery import Discovered
from sisy.syncing.sync import Change, Kind, Synced

SIGNS = {
    Kind.CREATED: ("+", "Create"),
    Kind.CHANGED: ("~", "Change"),
    Kind.UNDECLARED: ("-", "Pause"),
    Kind.REFUSED: ("!", "Reject"),
    Kind.OVER: (" ", "Ignore"),
    Kind.UNCHANGED: (" ", "Keep"),
}


def sentences(found: Discovered, synced: Synced, *, is_brief: bool = False) -> Iterator[str]:
    """Yield the lines about a sync, escaped for a terminal.

    Args:
        is_brief: whether to leave out unchanged tasks.
    """
    return map(escaped, _sentences(found, synced, is_brief=is_brief))


def failure(found: Discovered, synced: Synced) -> str:
    """Return the sentence about the errors of a sync; empty if there were none."""
    rejected, broken = len(synced.of(Kind.REFUSED)), len(found.broken)
    if not rejected and not broken:
        return ""
    parts = []
    if rejected:
        words = ngettext("%d declaration was rejected", "%d declarations were rejected", rejected)
        parts.append(words % rejected)
    if broken:
        words = ngettext(
            "%d module could not be imported", "%d modules could not be imported", broken
        )
        parts.append(words % broken)
    return escaped(
        f"{' and '.join(parts)}. The affected tasks were not changed. Fix the errors and "
        "run the command again, or set SISY_IGNORE_SYNC_ERRORS = True."
    )


def _sentences(found: Discovered, synced: Synced, *, is_brief: bool) -> Iterator[str]:
    shown = [change for change in synced.changes if _is_news(change) or not is_brief]
    if shown:
        yield "Tasks declared in code:"
    for change in shown:
        yield from _of(change)
    for module, why in found.broken.items():
        yield f"  ! Cannot import {module}, so its declarations are unknown: {why}"


def _is_news(change: Change) -> bool:
    return change.kind not in (Kind.UNCHANGED, Kind.OVER)


def _shown(field: str, value: Any) -> str:
    if field == USERDATA_COLUMN:
        return disclosure.as_json(value, on_lines=False)
    return repr(disclosure.masked_field(field, value))


def _of(change: Change) -> Iterator[str]:
    sign, verb = SIGNS[change.kind]
    why = ": it has no upcoming occurrences" if change.kind == Kind.OVER else ""
    yield f"  {sign} {verb} {change.name}{why}"
    for field, (before, after) in change.fields.items():
        was = "" if change.kind == Kind.CREATED else f"{_shown(field, before)} -> "
        yield f"      {PUBLIC_NAMES[field]}: {was}{_shown(field, after)}"
    for one in change.kept:
        name = PUBLIC_NAMES[one.field]
        own, code = _shown(one.field, one.own), _shown(one.field, one.code)
        yield f"      {name}: keeps {own}, which was changed by hand (code: {code})"
    for note in (*change.notes, *filter(None, [change.problem])):
        yield f"      {note}"
