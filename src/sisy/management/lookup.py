"""Find the task or run that a command's arguments name."""

import argparse
import shlex

from django.core.management.base import CommandError
from django.db.models import Q

from sisy.exceptions import did_you_mean
from sisy.management import arguments
from sisy.models import Run, Task
from sisy.reports import formatting, run_search
from sisy.reports.ledger import key_of
from sisy.reports.run_search import RunSearch

MAX_LABELS_COMPARED = 5000  # labels that are compared for a suggestion
MAX_LABELS_NAMED = 3
MAX_SAME_LABEL = 50  # tasks that may have the same label
MAX_DIGITS = 18  # a longer number does not fit into the column of keys


def task_named(text: str, using: str) -> Task:
    """Return the task with a key, a name or a label.

    Raises:
        CommandError: it does not exist, or several tasks have the label.
    """
    tasks = Task.objects.using(using)
    key = key_of(text)
    if key is not None and (found := tasks.filter(pk=key).first()):
        return found
    if found := tasks.filter(name=text).first():
        return found
    labelled = list(tasks.filter(label=text)[:10])
    if len(labelled) == 1:
        return labelled[0]
    if labelled:
        keys = ", ".join(str(task.pk) for task in labelled)
        raise CommandError(
            f"Several tasks have the label {text!r}. Use one of their keys instead: {keys}."
        )
    run, similar = _run_instead(text, using), similar_label(text, using)
    hint = run or similar or " Run 'manage.py sisy_tasks list' to see all tasks."
    may_be_deleted = not run if key is None else Run.objects.using(using).filter(task=key).exists()
    if may_be_deleted and not similar:
        hint += (
            " To see the runs of a deleted one: manage.py sisy_runs list --task "
            f"{shlex.quote(text)}"
        )
    raise CommandError(f"No task has the key, name or label {text!r}.{hint}")


def _run_instead(text: str, using: str) -> str:
    """Return that a text names a run and not a task, with the command that shows it, or empty."""
    key = arguments.run_key(text)
    if key is None or not Run.objects.using(using).filter(pk=key).exists():
        return ""
    return f" There is a run with this key. To show it: manage.py sisy_runs show {key}."


def similar_label(text: str, using: str) -> str:
    """Return the labels of tasks that were probably meant; empty if none is similar."""
    tasks = Task.objects.using(using).order_by("label")
    labels = list(tasks.values_list("label", flat=True)[:MAX_LABELS_COMPARED])
    parts = [label for label in labels if text.casefold() in label.casefold()]
    if not parts:
        return did_you_mean(text, labels)
    if not parts[1:]:
        return f" Did you mean {parts[0]!r}?"
    shown = formatting.first_of(list(map(repr, parts)), most=MAX_LABELS_NAMED)
    return f" These labels contain it: {shown}."


def run_with_key(key: int, using: str) -> Run:
    """Return the run with a key.

    Raises:
        CommandError: it does not exist, or was pruned.
    """
    if (run := Run.objects.using(using).filter(pk=key).first()) is not None:
        return run
    raise CommandError(
        f"Run {key} does not exist, or has been pruned. Run 'manage.py sisy_runs list' to see the "
        "newest runs."
    )


def run_asked_about(subject: str, when: str | None, using: str) -> Run | None:
    """Return the run that the arguments of ``why`` name; None if they do not name a run.

    Raises:
        CommandError: it is not a run of the task, or it does not exist.
    """
    text = subject if when is None else when
    if (key := arguments.run_key(text)) is None:
        return None
    # A bare number is the key of a task, as in the other commands.
    if when is None and text.strip() == str(key) and Task.objects.using(using).filter(pk=key):
        return None
    run = Run.objects.using(using).select_related("task", "process").filter(pk=key).first()
    if when is not None:
        task = task_named(subject, using)
        if run is None or run.task_id != task.pk:
            raise CommandError(f"{task} has no run {key}, or it has been pruned.")
        return run
    label = text.strip().rpartition("#")[0].rstrip()
    if run is not None and label in ("", run.label):
        return run
    # The label or name of a task may look like a run.
    if Task.objects.using(using).filter(Q(label=text) | Q(name=text) | Q(pk=key)).exists():
        return None
    return run_with_key(key, using)


def run_beside_tasks(text: str, using: str) -> Run:
    """Return the run with a key, for a command whose other verbs name a task.

    Raises:
        CommandError: it does not exist; or the text is a bare number that is the key of a task,
            so that it may not be the run that was meant.
    """
    key = arguments.run_key(text)
    if key is None:
        raise arguments.invalid(
            f"{text!r} is not a run. Use its key, such as '#7'. To find it: manage.py sisy_runs "
            f"list --task {shlex.quote(text)}"
        )
    task = Task.objects.using(using).filter(pk=key).first() if text.strip() == str(key) else None
    if task is not None:
        raise arguments.invalid(
            f"{key} is the key of the task {task}. For the run with this key, use '#{key}'. To "
            f"find a run of the task: manage.py sisy_tasks history {key}"
        )
    return run_with_key(key, using)


def run_argument(text: str) -> int:
    """Return the key in the argument of a command: 7, '#7' or 'label #7'."""
    key = arguments.run_key(text)
    if key is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a run. Use its key, such as 7 or '#7'")
    return key


def run_named(text: str, using: str) -> Run:
    """Return the run with a key, or the newest one of a task, even of a deleted one.

    Args:
        text: a key, such as 7 or '#7', or the key, name or label of a task.

    Raises:
        CommandError: it does not exist, or was pruned.
    """
    if (key := arguments.run_key(text)) is not None:
        return run_with_key(key, using)
    tasks, label = tasks_named(text, using)
    search = RunSearch(tasks=tasks, label=label)
    found = run_search.find(using, search, most=1)
    if found.runs:
        return found.runs[0]
    if tasks:
        raise CommandError(f"The task {text!r} has no runs yet.")
    hint = similar_label(text, using) or " Run 'manage.py sisy_runs list' to see the newest runs."
    raise CommandError(
        f"{text!r} is not a run. Use its key, such as 7 or '#7', or the label of its task.{hint}"
    )


def tasks_named(text: str, using: str) -> tuple[tuple[int, ...], str]:
    """Return the keys of the tasks with a key, a name or a label.

    If there are none, the text may be the label of deleted tasks. It is then the second value.
    """
    tasks = Task.objects.using(using)
    key = key_of(text)
    if key is not None:
        runs = Run.objects.using(using).filter(task=key)
        if tasks.filter(pk=key).exists() or runs.exists():
            return (key,), ""
    if (named := tasks.filter(name=text).values_list("pk", flat=True).first()) is not None:
        return (named,), ""
    labelled = tuple(tasks.filter(label=text).values_list("pk", flat=True)[:MAX_SAME_LABEL])
    return labelled, "" if labelled else text
