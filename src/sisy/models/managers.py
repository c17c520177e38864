"""Makes managers that have what their query sets have."""

from typing import Any

from django.db import models


def manager_from(query_set: type[models.QuerySet[Any]]) -> Any:
    """Return the class of managers that Django makes from a query set, such as ``TaskManager``.

    The plugin of django-stubs goes by its name and its module. By those that Django gives it, it
    would not find the class that stands there for checkers of types, but make up one that lacks
    what is not written as a function, such as async twins.
    """
    name = query_set.__name__.replace("QuerySet", "Manager")
    made: tuple[Any] = (models.Manager.from_queryset(query_set),)
    return type(name, made, {"__module__": query_set.__module__})
