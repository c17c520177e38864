"""Configure Sphinx: ``sphinx-build -W docs docs/_build``. The build needs no network."""

import os
import sys
import tomllib
from pathlib import Path

import django

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

project = "Sisy"
author = "The Sisy developers"
project_copyright = author
release = version = PROJECT["version"]

sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of other packages, which are not in this manual

default_role = "literal"  # docstrings mark names as `name`
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"Sisy {release}"
html_show_sourcelink = False
