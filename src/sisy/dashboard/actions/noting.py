"""Change the notes of tasks."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.contrib import messages
from django.utils.translation import gettext, ngettext

from sisy.dashboard.actions.result import Result, done, note, refusal
from sisy.models import Task
from sisy.records.authorship import changed_by
from sisy.records.choices import ChangedBy


def note_of(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the note of a form, with the line breaks that code would use."""
    return {"text": "\n".join(form.get("note", "").strip().splitlines())}


def set_note(user: Any, tasks: Iterable[Task], text: str) -> Iterator[Result]:
    """Store a note with each task that has another one."""
    count = 0
    for task in tasks:
        if task.note == text:
            continue
        task.note = text
        try:
            with changed_by(ChangedBy.PERSON, user):
                task.save()
        except ValueError as error:
            yield Result(f"{task}: {refusal(error)}", messages.ERROR)
            return
        note(user, task, "Changed the note.")
        count += 1
    words = ngettext("Saved the note of %d task.", "Saved the note of %d tasks.", count) % count
    yield done(words if count else gettext("Nothing to change: the note is the same."), count)
