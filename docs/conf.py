"""How the manual is built: ``sphinx-build -W docs docs/_build``; needs no network."""

import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]

project = "Sisy"
author = "The Sisy developers"
project_copyright = author
release = version = PROJECT["version"]

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = f"Sisy {release}"
html_show_sourcelink = False
