"""The charts: positions and sizes that templates render as SVG."""
