"""The policies of a task, in sentences."""

from datetime import timedelta

from django.utils.translation import gettext, ngettext

from sisy import conf
from sisy.models import Missed, OnLost, Overlap, Task
from sisy.reports import formatting


def in_words(task: Task) -> list[tuple[str, str]]:
    """Return each policy's name, and a sentence about it for this task."""
    found = [
        (gettext("Overlap"), overlap(task)),
        (gettext("Missed"), missed(task)),
        (gettext("Failed"), retries(task)),
        (gettext("Lost"), lost(task)),
        (gettext("Timeout"), timeout(task)),
        (gettext("Stalled"), stalled(task)),
        (gettext("Runs in"), where(task)),
        (gettext("Limits"), limits(task)),
        (gettext("Spread"), spread(task)),
        (gettext("Alerts"), alerts(task)),
        (gettext("History"), history(task)),
    ]
    return [(name, words) for name, words in found if words]


def overlap(task: Task) -> str:
    """Return what happens to a run that is due while another one is running."""
    buffered = conf.get_settings().buffer_limit
    if task.runs_once and task.overlap == Overlap.BUFFER_ALL:
        return gettext("Runs are queued while another one is running.")
    sentences: dict[str, str] = {
        Overlap.SKIP: gettext("A new run is skipped while another one is running."),
        Overlap.ALLOW: gettext("Runs may overlap."),
        Overlap.BUFFER_ONE: gettext(
            "One run is queued while another one is running. Others are skipped."
        ),
        Overlap.BUFFER_ALL: ngettext(
            "While a run is running, up to %d other stays queued. Further ones are skipped.",
            "While a run is running, up to %d others stay queued. Further ones are skipped.",
            buffered,
        )
        % buffered,
        Overlap.CANCEL_OTHER: gettext("A new run asks the running one to stop."),
        Overlap.TERMINATE_OTHER: gettext("A new run terminates the running one."),
    }
    return sentences.get(task.overlap, task.overlap)  # a newer version may know others


def missed(task: Task) -> str:
    """Return what happens to occurrences that no heartbeat planned in time."""
    sentences: dict[str, str] = {
        Missed.LATEST: gettext("After an outage, only the most recent missed occurrence runs."),
        Missed.ALL: gettext("After an outage, the most recent missed occurrences run, up to %d.")
        % conf.get_settings().missed_limit,
        Missed.SKIP: gettext("After an outage, missed occurrences do not run."),
    }
    words = sentences.get(task.missed, task.missed)
    if task.missed_window:
        words += " " + gettext("Occurrences older than %s do not run.") % formatting.span(
            task.missed_window
        )
    return words


def retries(task: Task) -> str:
    """Return how many times and when a failed run is retried."""
    more = task.max_attempts - 1
    if more < 1:
        return gettext("No retries.")
    words = ngettext("Retries once.", "Retries up to %d times.", more)
    words = words % more if "%" in words else words
    longest = formatting.span(task.retry_max_delay)
    delay = min(task.retry_delay, task.retry_max_delay)
    named = {"delay": formatting.span(delay), "factor": task.retry_backoff, "longest": longest}
    if more == 1:
        return f"{words} {gettext('Waits up to %(delay)s before the retry.') % named}"
    if task.retry_backoff <= 1 or delay == task.retry_max_delay:
        return f"{words} {gettext('Waits up to %(delay)s before each retry.') % named}"
    grows = gettext(
        "The maximum delay starts at %(delay)s and is multiplied by %(factor)g with each retry, "
        "up to %(longest)s."
    )
    return f"{words} {grows % named}"


def lost(task: Task) -> str:
    """Return what happens to a run whose worker died."""
    if task.on_lost == OnLost.FAIL:
        return gettext("If its worker dies, the run is recorded as lost.")
    limit = conf.get_settings().lost_limit
    words = ngettext(
        "If its worker dies, the run is rerun at most once.",
        "If its worker dies, the run is rerun at most %d times.",
        limit,
    )
    return words % limit if "%" in words else words


def timeout(task: Task) -> str:
    """Return the timeout of a run."""
    if task.timeout is None:
        return gettext("No timeout.")
    words = gettext("%s. Plain functions in threads must call current_run().check().")
    return words % formatting.span(task.timeout)


def stalled(task: Task) -> str:
    """Return when a running run is stalled; empty if none ever is."""
    if task.stalled_after is None:
        return ""
    words = gettext("A run that reports no progress for %s is stalled.")
    return words % formatting.span(task.stalled_after)


def where(task: Task) -> str:
    """Return the queue or engine, and the priority."""
    words = gettext("Queue '%s'") % task.queue
    if conf.get_settings().alias_of(task.engine):
        words = gettext("Engine '%(engine)s', queue '%(queue)s'") % {
            "engine": task.engine,
            "queue": task.queue,
        }
    return words + (gettext(", priority %d.") % task.priority if task.priority else ".")


def limits(task: Task) -> str:
    """Return when the task starts and ends; empty if it has no limits."""
    words = []
    if task.start_running:
        words.append(gettext("Starts at %s.") % formatting.short(task.start_running))
    if task.end_running:
        words.append(gettext("Ends at %s.") % formatting.short(task.end_running))
    if task.iterations is not None:
        left = max(0, task.iterations - task.runs_planned)
        sentence = ngettext(
            "%(left)d of %(all)d runs is left.",
            "%(left)d of %(all)d runs are left.",
            left,
        )
        words.append(sentence % {"left": left, "all": task.iterations})
    return " ".join(words)


def spread(task: Task) -> str:
    """Return the maximum delay by spread; empty without one."""
    if not task.spread:
        return ""
    return gettext(
        "Each start is delayed by up to %s. An occurrence always gets the same delay."
    ) % formatting.span(task.spread)


def alerts(task: Task) -> str:
    """Return when the task opens an alert."""
    own = task.alert_after
    number = conf.get_settings().alert_after if own is None else own
    words = ngettext(
        "Opens an alert when a run has failed.",
        "Opens an alert when %d runs in a row have failed.",
        number,
    )
    found = [
        gettext("Failed runs do not open an alert.")
        if not number
        else (words % number if "%" in words else words)
    ]
    for limit, sentence in (
        (task.start_within, gettext("A run is late if it has not started within %s.")),
        (task.expected_duration, gettext("A run is too slow after %s.")),
        (task.success_every, gettext("The task is silent if no run has succeeded for %s.")),
    ):
        if limit is not None:
            found.append(sentence % formatting.span(limit))
    if task.ping:
        found.append(gettext("Each run pings a monitor."))
    return " ".join(found)


def history(task: Task) -> str:
    """Return how many runs are kept, and for how long."""
    settings = conf.get_settings()
    runs = settings.history_runs if task.history_runs is None else task.history_runs
    found = []
    if runs:
        words = ngettext(
            "Keeps the newest finished run.", "Keeps the newest %d finished runs.", runs
        )
        found.append(words % runs if "%" in words else words)
    if settings.history_days:
        age = formatting.span(timedelta(days=settings.history_days))
        found.append(gettext("Runs are deleted after %s.") % age)
    return " ".join(found) or gettext("Keeps all runs.")
