"""A site whose Celery and RQ carry out what Sisy plans, all of them on one Valkey."""

from tests.processes.settings import *  # noqa: F403
from tests.processes.settings import INSTALLED_APPS, VALKEY_URL

INSTALLED_APPS += ["django_tasks_fennel", "django_rq"]
TASKS = {
    "default": {"BACKEND": "sisy.backends.SisyBackend"},
    "celery": {"BACKEND": "django_tasks_fennel.CeleryBackend"},
    "rq": {"BACKEND": "django_tasks_rq.RQBackend"},
}
SISY_ENGINES = {"celery": "celery", "rq": "rq"}
CELERY_BROKER_URL = VALKEY_URL.replace("unix://", "redis+socket://")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
RQ_QUEUES = {"default": {"URL": VALKEY_URL}}
