"""Commands, SisyASGI, routes and workers reject the same values."""

import pytest

from sisy.asgi import SisyASGI
from sisy.management.serving import queue_names
from sisy.routing import channels_for
from sisy.runtime.worker_options import MAX_GRACE
from sisy.worker import Worker


async def application(scope, receive, send):
    raise AssertionError("nothing is asked of it")


WRONG = [
    ("queues", "default", "queues must be a list of names such as ['default'], not 'default'."),
    ("queues", None, "queues must be a list of names such as ['default'], not None."),
    ("queues", [], "queues must name at least one queue, such as 'default'."),
    (
        "queues",
        ["a b"],
        "'a b' is not a valid queue name. Use 1 to 60 ASCII letters, digits, '-', '_' or '.'.",
    ),
    (
        "queues",
        ["default", 7],
        "7 is not a valid queue name. Use 1 to 60 ASCII letters, digits, '-', '_' or '.'.",
    ),
    *(
        (
            "concurrency",
            value,
            f"concurrency must be a whole number from 1 to 1000, not {value!r}.",
        )
        for value in (0, -1, 1001, 1.5, True, "4", None)
    ),
    *(
        ("grace", value, f"grace must be a number of seconds from 0 to 86400, not {value!r}.")
        for value in (-1, MAX_GRACE + 1, float("nan"), True, "30", None)
    ),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_value_that_the_command_line_rejects_is_rejected_everywhere(name, value, message):
    for make in (lambda **given: SisyASGI(application, **given), Worker):
        with pytest.raises(ValueError, match=r"must|is not a valid") as rejection:
            make(**{name: value})
        assert str(rejection.value) == message


def test_routes_reject_invalid_queues():
    with pytest.raises(ValueError, match="'a b' is not a valid queue name"):
        channels_for("default", "a b")
    with pytest.raises(ValueError, match="queues must name at least one queue"):
        channels_for()


def test_valid_options_are_kept():
    worker = Worker(queues=["mail", "mail", "default"], concurrency=1000, grace=0)
    assert (worker.queues, worker.concurrency, worker.grace) == (("mail", "default"), 1000, 0)
    assert queue_names("mail, mail,default,") == ("mail", "default")


async def test_a_server_does_not_start_with_wrong_settings(settings):
    settings.SISY_POLL_INTERVAL = "1"
    sent = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        sent.append(message)

    await SisyASGI(application)({"type": "lifespan"}, receive, send)
    assert sent == [
        {
            "type": "lifespan.startup.failed",
            "message": "SISY_POLL_INTERVAL must be a number from 0.05 to 60, not '1'.",
        }
    ]
