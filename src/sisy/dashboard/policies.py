"""What a task's policies say, in sentences."""

from datetime import timedelta

from django.utils.translation import gettext, ngettext

from sisy import conf, display
from sisy.models import Missed, OnLost, Overlap, Task

NOBODY = timedelta(0)


def in_words(task: Task) -> list[tuple[str, str]]:
    """Return what each policy is called, and what it says of this task."""
    found = [
        (gettext("Overlap"), overlap(task)),
        (gettext("Missed"), missed(task)),
        (gettext("Failed"), retries(task)),
        (gettext("Lost"), lost(task)),
        (gettext("Takes too long"), timeout(task)),
        (gettext("Where"), where(task)),
        (gettext("Ends"), end(task)),
        (gettext("Spread"), spread(task)),
    ]
    return [(name, words) for name, words in found if words]


def overlap(task: Task) -> str:
    """Return what happens to a run that comes while another one goes on."""
    buffered = conf.get_settings().buffer_limit
    sentences = {
        Overlap.SKIP: gettext("A run that comes while another one goes on is skipped."),
        Overlap.ALLOW: gettext("Runs may go on side by side."),
        Overlap.BUFFER_ONE: gettext("One run waits for the end of the one that goes on."),
        Overlap.BUFFER_ALL: ngettext(
            "Up to %d run waits for its turn.", "Up to %d runs wait for their turn.", buffered
        )
        % buffered,
        Overlap.CANCEL_OTHER: gettext("A new run asks the one that goes on to end."),
        Overlap.TERMINATE_OTHER: gettext("A new run forces the one that goes on to end."),
    }
    return sentences[Overlap(task.overlap)]


def missed(task: Task) -> str:
    """Return what happens to what fell due while no heartbeat was up."""
    sentences = {
        Missed.LATEST: gettext("Of what fell due while no heartbeat was up, the newest runs."),
        Missed.ALL: gettext("What fell due while no heartbeat was up runs, at most %d of it.")
        % conf.get_settings().missed_limit,
        Missed.SKIP: gettext("What fell due while no heartbeat was up does not run."),
    }
    words = sentences[Missed(task.missed)]
    if task.missed_window:
        words += " " + gettext("What is older than %s does not.") % display.span(
            task.missed_window
        )
    return words


def retries(task: Task) -> str:
    """Return how often a run that failed is tried again, and when."""
    more = task.max_attempts - 1
    if more < 1:
        return gettext("No retries.")
    words = ngettext("Retries once.", "Retries up to %d times.", more)
    words = words % more if "%" in words else words
    delay = display.span(task.retry_delay)
    if more == 1 or task.retry_backoff <= 1:
        return f"{words} {gettext('The maximum delay is %s.') % delay}"
    grows = gettext("The maximum delay starts at %(delay)s and grows %(factor)g-fold each time.")
    return f"{words} {grows % {'delay': delay, 'factor': task.retry_backoff}}"


def lost(task: Task) -> str:
    """Return what happens to a run whose worker died."""
    if task.on_lost == OnLost.FAIL:
        return gettext("A run whose worker died counts as lost.")
    limit = conf.get_settings().lost_limit
    words = ngettext(
        "A run whose worker died runs again, at most once.",
        "A run whose worker died runs again, at most %d times.",
        limit,
    )
    return words % limit if "%" in words else words


def timeout(task: Task) -> str:
    """Return when a run is ended for taking too long."""
    if task.timeout is None:
        return gettext("It may take as long as it does.")
    return gettext("After %s it is ended.") % display.span(task.timeout)


def where(task: Task) -> str:
    """Return which workers run it, and before what."""
    words = gettext("Workers of the queue '%s'") % task.queue
    if conf.get_settings().alias_of(task.engine):
        words = gettext("The engine '%(engine)s', queue '%(queue)s'") % {
            "engine": task.engine,
            "queue": task.queue,
        }
    return words + (gettext(", priority %d.") % task.priority if task.priority else ".")


def end(task: Task) -> str:
    """Return when the task begins and ends; empty if it always goes on."""
    words = []
    if task.start_running:
        words.append(gettext("Not before %s.") % display.short(task.start_running))
    if task.end_running:
        words.append(gettext("Not from %s on.") % display.short(task.end_running))
    if task.iterations is not None:
        left = max(0, task.iterations - task.runs_planned)
        sentence = ngettext(
            "%(left)d of %(all)d run is left.",
            "%(left)d of %(all)d runs are left.",
            task.iterations,
        )
        words.append(sentence % {"left": left, "all": task.iterations})
    return " ".join(words)


def spread(task: Task) -> str:
    """Return by how much runs may start later; empty if they do not."""
    if not task.spread:
        return ""
    return gettext("It starts up to %s later, by a number that stays the same.") % display.span(
        task.spread
    )
