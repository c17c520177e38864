"""The site in the look of Unfold, which keeps no strict policy itself."""

from tests.browser.settings import *  # noqa: F403
from tests.browser.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS.insert(0, "unfold")
INSTALLED_APPS.append("sisy.contrib.unfold")
MIDDLEWARE.remove("tests.browser.policy.StrictPolicy")
