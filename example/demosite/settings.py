"""Settings of the demo. It uses SQLite; set DATABASE_URL and VALKEY_URL to run a fleet."""

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

BASE_DIR = Path(__file__).parent.parent

SECRET_KEY = "only for the demo, which listens on this machine only"
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "demosite.urls"
LOGIN_URL = "admin:login"
ASGI_APPLICATION = "demosite.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Mails are stored, and shown at mails/.
EMAIL_BACKEND = "shop.mails.DatabaseBackend"
ADMINS = ["you@localhost"]
SISY_SITE_URL = os.environ.get("DEMO_ADDRESS", "http://127.0.0.1:8000")
SISY_QUEUE_ALERT_SECONDS = 60  # five times as impatient as by default, so that you can watch it
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "sisy",
    "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "shop.visitors.SignIn",
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


def postgresql(url: str) -> dict:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username or "postgres",
        "PASSWORD": parts.password or "",
        "HOST": parse_qs(parts.query).get("host", [parts.hostname or ""])[0],
        "PORT": parts.port or "",
    }


DATABASES = {
    "default": postgresql(os.environ["DATABASE_URL"])
    if "DATABASE_URL" in os.environ
    else {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DEMO_DATABASE", BASE_DIR / "shop.sqlite3"),
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [{"address": os.environ["VALKEY_URL"], "socket_timeout": None}]},
    }
    if "VALKEY_URL" in os.environ
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        "sisy": {"handlers": ["stderr"], "level": "INFO"},
        "shop": {"handlers": ["stderr"], "level": "INFO"},
    },
}
