"""The preview of a task's form reads the fields that decide when the task is due."""

import re

from django.contrib.staticfiles import finders

from sisy.admin.upcoming import TimingForm
from sisy.records.task_fields import FIRST_DUE_FIELDS, OWNER_FIELDS

NOT_PREVIEWED = {"wait_for_schedule"}
"""Without its schedule, a task is due the moment it is saved, which no preview can know."""


def test_the_preview_reads_every_field_that_decides_when_a_task_is_due():
    assert TimingForm.base_fields.keys() == (FIRST_DUE_FIELDS & OWNER_FIELDS) - NOT_PREVIEWED


def test_the_script_asks_for_a_preview_with_the_same_fields():
    with open(finders.find("sisy/task_form.js")) as script:
        (names,) = re.findall(r"const TIMING = \[(.*?)\]", script.read())
    assert set(re.findall(r"\w+", names)) == TimingForm.base_fields.keys()
