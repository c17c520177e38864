"""A site whose pages browsers look at, under the strictest policy that Sisy promises to keep."""

from tests.processes.settings import *  # noqa: F403
from tests.processes.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

ROOT_URLCONF = "tests.browser.urls"
DATABASES["default"]["CONN_MAX_AGE"] = 0  # under ASGI each request would leave one behind
LOGIN_URL = "/admin/login/"
INSTALLED_APPS.append("django.contrib.staticfiles")
MIDDLEWARE.insert(0, "tests.browser.policy.StrictPolicy")
