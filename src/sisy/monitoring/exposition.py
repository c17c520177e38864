"""Write the metrics of a site in the format that a client asks for.

Import this module only if prometheus_client is installed.
"""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.exposition import ALLOWUTF8, UNDERSCORES

from sisy.monitoring.collector import SisyCollector

Encoder = Callable[..., bytes]


def exposition(accept: str = "") -> tuple[bytes, str]:
    """Return the metrics and their content type.

    Args:
        accept: the header ``Accept`` of the client.
    """
    # Not the registry of the process: its metrics belong to one web process of many.
    registry = CollectorRegistry()
    registry.register(SisyCollector())
    encode, content_type = choose_encoder(accept)
    return _quick(encode)(registry), content_type


def _quick(encode: Encoder) -> Encoder:
    """Return an encoder that writes the same text in half the time."""
    # By default, the library replaces each character of a name that older versions of Prometheus
    # reject, and looks for one in each name of each series. Our names have none.
    is_default = getattr(encode, "keywords", {}).get("escaping", UNDERSCORES) == UNDERSCORES
    return partial(encode, escaping=ALLOWUTF8) if is_default else encode
