"""Does a user's project, checked as strictly as can be, see the types of every public name?"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHOP = Path(__file__).parent / "shop"
SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "sisy"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""
MYPY = """
[mypy]
strict = true
plugins = mypy_django_plugin.main
[mypy.plugins.django-stubs]
django_settings_module = mysite_settings
"""
PYRIGHT = """
{
    "include": ["shop"],
    "typeCheckingMode": "strict",
    "enableTypeIgnoreComments": false,
    "reportMissingModuleSource": false,
    "reportUnnecessaryTypeIgnoreComment": "error"
}
"""


@pytest.fixture
def project(tmp_path):
    """A project of somebody's, that is no part of ours."""
    shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "mysite_settings.py").write_text(SETTINGS)
    (tmp_path / "mypy.ini").write_text(MYPY)
    (tmp_path / "pyrightconfig.json").write_text(PYRIGHT)
    return tmp_path


@pytest.mark.parametrize(
    "checker", [("mypy", "shop"), ("pyright", "--pythonpath", sys.executable)], ids=lambda c: c[0]
)
def test_type_checkers_accept_valid_uses_and_reject_invalid_ones(project, checker):
    ended = subprocess.run(
        [sys.executable, "-m", *checker], cwd=project, capture_output=True, text=True, timeout=600
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_public_name_is_used_there():
    import sisy
    import sisy.models
    import sisy.testing

    used = (SHOP / "uses.py").read_text()
    public = {*sisy.__all__, *sisy.models.__all__, *sisy.testing.__all__}
    assert {name for name in public if name not in used} == set()
