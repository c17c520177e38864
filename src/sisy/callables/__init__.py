"""What a task calls: from a callable to its dotted path, and back."""

from sisy.callables.given import target_of
from sisy.callables.lookup import PATH_LIMIT, Function, Kind
from sisy.callables.target import Target, kind_at

__all__ = ["PATH_LIMIT", "Function", "Kind", "Target", "kind_at", "target_of"]
