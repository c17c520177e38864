"""The settings of the test project: SQLite, or what DATABASE_URL and VALKEY_URL name."""

import os
import tempfile
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


def database(url: str) -> dict:
    """Return Django's settings for the database that a URL names.

    ``postgresql://user@/name?host=/socket/folder``, or ``mysql://user@/name?unix_socket=/socket``.
    """
    parts = urlsplit(url)
    engine = {"postgresql": "postgresql", "mysql": "mysql"}[parts.scheme]
    more = parse_qs(parts.query)
    host = (more.get("host") or more.get("unix_socket") or [parts.hostname or ""])[0]
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": unquote(parts.path[1:]),
        "USER": parts.username or {"postgresql": "postgres", "mysql": "root"}[engine],
        "PASSWORD": parts.password or "",
        "HOST": host,
        "PORT": parts.port or "",
        "CONN_HEALTH_CHECKS": True,
        "TEST": {"NAME": os.environ.get("SISY_TEST_DB", "test_sisy")},
    }


def sqlite() -> dict:
    """Return Django's settings for a file that several processes write."""
    folder = Path(os.environ.get("SISY_TEST_FOLDER") or tempfile.gettempdir())
    name = os.environ.get("SISY_TEST_DB", f"sisy-test-{os.getuid()}-{os.getpid()}")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": folder / f"{name}.sqlite3",
        "TEST": {"NAME": folder / f"{name}.test.sqlite3"},
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def layer(url: str) -> dict:
    """Return the settings of a layer that all processes of a site share."""
    host = {"address": url, "socket_timeout": None}
    # Workers of pytest that share a Valkey do not hear each other.
    ours = f"sisy-test-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    return {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [host], "prefix": os.environ.get("SISY_TEST_DB", ours)},
    }


SECRET_KEY = "for tests only"
DEBUG = False
# Django 6.1 wants it; earlier versions ignore it.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
USE_TZ = os.environ.get("SISY_TEST_USE_TZ", "1") == "1"
TIME_ZONE = os.environ.get("SISY_TEST_TIME_ZONE", "UTC")
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.urls"
LOGIN_URL = "admin:login"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "sisy",
    "tests.app",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
DATABASES = {
    "default": database(os.environ["DATABASE_URL"]) if "DATABASE_URL" in os.environ else sqlite()
}
DATABASES["default"]["TIME_ZONE"] = os.environ.get("SISY_TEST_DATABASE_TIME_ZONE")
TASKS_OF_DJANGO = "django.tasks" if find_spec("django.tasks") else "django_tasks"
TASKS = {
    "default": {"BACKEND": "sisy.backends.SisyBackend"},
    "patient": {
        "BACKEND": "sisy.backends.SisyBackend",
        "OPTIONS": {"max_attempts": 2, "retry_delay": timedelta(seconds=10)},
    },
    "immediate": {"BACKEND": f"{TASKS_OF_DJANGO}.backends.immediate.ImmediateBackend"},
    "forgetful": {"BACKEND": f"{TASKS_OF_DJANGO}.backends.dummy.DummyBackend"},
}
SISY_ENGINES = {"default": "sisy", "at once": "immediate", "some day": "forgetful"}
CHANNEL_LAYERS = {
    "default": layer(os.environ["VALKEY_URL"])
    if "VALKEY_URL" in os.environ
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "loggers": {"sisy": {"handlers": ["stderr"], "level": "INFO"}},
}
