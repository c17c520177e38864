"""Log which other processes share the database of a process that a person starts."""

import logging

from django.conf import settings
from django.db import DatabaseError, InterfaceError, router

from sisy import clock
from sisy.models import Process
from sisy.reports import formatting
from sisy.runtime.log import logger

MAX_NAMED = 6  # processes


def log_neighbours() -> None:
    """Log which processes are running on the database that this process is about to join."""
    using = router.db_for_write(Process)
    try:
        running = (
            Process.objects.using(using).alive(clock.now(using)).order_by("host", "pid", "pk")
        )
        found, number = list(running[:MAX_NAMED]), running.count()
    except (DatabaseError, InterfaceError) as error:
        # The roles wait for a database that is away, and log that they do.
        logger.debug("Cannot look for other processes: %s", error)
        return
    if not found:
        return
    names = formatting.first_of(list(map(str, found)), number, most=MAX_NAMED)
    # Several processes are usual in production, and usually a surprise in development.
    advice = " For development, stop them, or use another database." if settings.DEBUG else ""
    logger.log(
        logging.WARNING if settings.DEBUG else logging.INFO,
        "Already running on this database: %s. This process shares their work, so any of them may "
        "execute a run.%s",
        names,
        advice,
    )
