"""The timeline: past and upcoming runs of tasks on one stretch of time."""

from sisy.reports.timeline.tracks import Bar, Track, timeline
from sisy.reports.timeline.window import Window

__all__ = ["Bar", "Track", "Window", "timeline"]
