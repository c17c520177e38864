"""Creates and updates the tasks that code declares."""

from sisy.syncing.discovery import Discovered, discover
from sisy.syncing.sync import Change, Kind, Synced, sync

__all__ = ["Change", "Discovered", "Kind", "Synced", "discover", "sync"]
