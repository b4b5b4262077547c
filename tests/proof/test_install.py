"""An adopted project is installed its own way, and its checks start from a recorded baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.projects import Project, git
from tests.support.proofs import Machine, fresh_machine

pytestmark = pytest.mark.proof

APP = """from flask import Flask
import os, itsdangerous
def create_app():
    app = Flask(__name__)
    @app.get("/")
    def index(): return itsdangerous.__name__
    return app
"""
# It needs what only the test dependencies bring.
TEST = """import freezegun
from shop import create_app


@freezegun.freeze_time("2026-01-01")
def test_theirs():
    assert create_app().test_client().get("/").data == b"itsdangerous"
"""
PACKAGE = {"shop/__init__.py": APP, "tests/test_shop.py": TEST}

WAYS: dict[str, dict[str, str]] = {
    "requirements files": {
        "requirements.txt": "flask\n",
        "requirements-dev.txt": "-r requirements.txt\nfreezegun\npytest\n",
        "conftest.py": "",
    },
    "Poetry": {
        "conftest.py": "",
        "pyproject.toml": (
            '[tool.poetry]\nname = "shop"\nversion = "1.0"\ndescription = ""\nauthors = []\n'
            '[tool.poetry.dependencies]\npython = "^3.11"\nflask = "^3.0"\n'
            '[tool.poetry.group.dev.dependencies]\nfreezegun = "~1.5"\n'
            '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
        ),
    },
    "setup.py": {
        "setup.py": (
            'from setuptools import setup\n\nsetup(name="shop", version="1", packages=["shop"],'
            ' install_requires=["flask"], extras_require={"test": ["freezegun"]})\n'
        ),
    },
    "Pipenv": {
        "conftest.py": "",
        "Pipfile": (
            '[[source]]\nurl = "https://pypi.org/simple"\nverify_ssl = true\nname = "pypi"\n\n'
            '[packages]\nflask = "*"\n\n[dev-packages]\nfreezegun = "*"\npytest = "*"\n'
        ),
    },
    "uv": {
        "conftest.py": "",
        "pyproject.toml": (
            '[project]\nname = "shop"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies ='
            ' ["flask"]\n[dependency-groups]\ndev = ["freezegun"]\n[tool.uv]\npackage = false\n'
        ),
    },
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


@pytest.mark.parametrize("way", WAYS)
def test_an_adopted_project_is_installed_its_own_way(
    machine: Machine, tmp_path: Path, template: Path, way: str
) -> None:
    project = Project(tmp_path / "shop", template)
    for path, text in {**PACKAGE, **WAYS[way]}.items():
        project.write(path, text)
    git(project.folder, "init", "--quiet")
    theirs = project.commit("theirs").tree()
    project.copy(services=[{"name": "shop", "path": "shop", "app": "shop:create_app()"}])

    before = machine.run("make -f levels.mk install check", project.folder)
    assert "is left out until `make baseline` records" in before
    said = machine.run("make -f levels.mk baseline check", project.folder)
    assert "findings recorded; commit it" in said
    assert "passed" in said and " failed" not in said
    assert project.read("config/baseline.txt").count("shop/__init__.py") >= 2
    after = project.tree()
    assert {path: after[path] for path in theirs} == theirs

    project.write("shop/new.py", "import os\n\n\ndef broken() -> int:\n    return 'x'\n")
    said = machine.run("make -f levels.mk check", project.folder, code=2)
    assert "shop/new.py:1: F401" in said and "shop/new.py:5: return-value" in said
    assert "shop/__init__.py:" not in said, "what was there before stays quiet"
