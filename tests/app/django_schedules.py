"""Declares a task of django.tasks; tests import it themselves, since each import counts."""

import sisy
from tests.app import django_jobs

decorated = sisy.schedule("0 4 * * *", name="add", userdata={"first": 2})(django_jobs.add)
