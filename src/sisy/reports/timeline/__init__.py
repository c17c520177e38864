"""The timeline: the past and upcoming runs of tasks within a window of time."""

from sisy.reports.timeline.bars import Bar
from sisy.reports.timeline.tracks import Track, bars_of_each, timeline
from sisy.reports.timeline.window import Window

__all__ = ["Bar", "Track", "Window", "bars_of_each", "timeline"]
