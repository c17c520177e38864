"""The addresses of pages, for messages that people read outside of the site."""

from django.urls import NoReverseMatch, reverse

from sisy import conf
from sisy.alerting.notice import Notice


def link_of(notice: Notice) -> str:
    """Return the address of the page that shows the problem; empty without ``SISY_SITE_URL``."""
    site = conf.get_settings().site_url.rstrip("/")
    return f"{site}{_path_of(notice)}" if site else ""


def _path_of(notice: Notice) -> str:
    """Return the path of the run, the task or the overview, on the dashboard or in the admin."""
    wanted: list[tuple[str, list[int]]] = []
    if notice.run is not None:
        wanted += [("sisy:run", [notice.run]), ("admin:sisy_run_change", [notice.run])]
    if notice.task is not None:
        wanted += [("sisy:task", [notice.task]), ("admin:sisy_task_change", [notice.task])]
    wanted += [("sisy:overview", []), ("admin:index", [])]
    for name, keys in wanted:
        try:
            return reverse(name, args=keys)
        except NoReverseMatch:
            continue
    return "/"
