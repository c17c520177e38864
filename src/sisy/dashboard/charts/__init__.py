"""What is drawn: places and sizes, for templates to write as SVG."""
