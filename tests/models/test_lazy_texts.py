"""A lazy translation is rejected by name wherever a task takes a text."""

import pytest
from django.utils.translation import gettext_lazy

from sisy.models import Task, task_with_callable
from tests.app import jobs

LAZY = gettext_lazy("daily")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["label", "schedule", "timezone", "queue", "overlap"])
def test_a_lazy_text_is_rejected_with_the_fix(name):
    message = (
        f"{name} is a lazy translation, but a task stores one text for all languages. Pass a "
        f"plain string, for example {name}=str(...)."
    )
    with pytest.raises(ValueError, match="is a lazy translation") as rejection:
        task_with_callable(jobs.noop, **{name: LAZY}).save()
    assert str(rejection.value) == message
    assert not Task.objects.exists()
