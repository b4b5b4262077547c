"""`levels set`, and what a move says of versions and of nothing to do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.support.as_a_person import levels
from tests.support.projects import Project, git

AtLevel = Callable[..., Project]


# Answers


def test_set_changes_answers_and_renders_again(at_level: AtLevel) -> None:
    project = at_level(1)
    shown = levels(project.folder, "set").stdout.splitlines()
    assert "level=1" in shown and "default_branch=main" in shown and "keep=[]" in shown
    assert levels(project.folder, "set", "default_branch=main").stdout == "default_branch=main already\n"
    assert levels(project.folder, "set", "default_branch=trunk", "runner=ubuntu-22.04").returncode == 0
    assert (project.answers()["default_branch"], project.answers()["runner"]) == ("trunk", "ubuntu-22.04")
    assert "trunk" in project.read(".github/workflows/quality.yml")


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("default_branch", "levels: default_branch: expected KEY=VALUE, as default_branch=trunk\n"),
        (
            "defualt_branch=x",
            "levels: defualt_branch=x: there is no such answer; did you mean default_branch?\n",
        ),
        (
            "default_branch=a b",
            'levels: default_branch: expected a branch name of letters, digits and . _ - /, got "a b"\n',
        ),
        ("keep=-Dockerfile", "levels: Dockerfile: expected one of keep: nothing is kept\n"),
        (
            "keep=notes.md",
            "levels: notes.md: expected a file of the template's; the others are yours anyway\n",
        ),
        ("keep=+../x", "levels: keep[0]: expected a path inside the project"),
        ("services=[", "levels: services: expected YAML"),
    ],
)
def test_set_refuses_in_one_line(at_level: AtLevel, pair: str, message: str) -> None:
    project = at_level(1)
    done = levels(project.folder, "set", pair)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(message)
    assert git(project.folder, "status", "--porcelain") == ""


@pytest.mark.parametrize("make", ["make", "bmake"])
def test_make_hands_the_answers_to_set(at_level: AtLevel, make: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from extensions.commands import set as set_

    if shutil.which(make) is None:
        pytest.skip(f"needs {make}")
    script = at_level(1).folder / "ci/levels.py"
    script.write_text(
        "import os\nprint(os.environ['MAKEFLAGS'], end='\\0')\nprint(os.environ['services'], end='')\n"
    )
    given = ["services=[api, {name: bot, kind: worker}]", f"PYTHON={sys.executable}", "runner=x"]
    done = subprocess.run(
        [make, "-s", "-f", "levels.mk", "set", *given],
        cwd=script.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    flags, services = done.stdout.split("\0")
    assert sorted(
        set_.from_make({"MAKEFLAGS": flags, "services": services, "runner": "x", "level": "4"})
    ) == ["runner=x", given[0]]


# Versions that are recorded


def test_a_version_that_git_does_not_know_is_not_recorded(at_level: AtLevel) -> None:
    project = at_level(1)
    git(project.folder, "tag", "v1.2")
    done = levels(project.folder, "record", "deploy", "--version", "nope")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("levels: --version nope: git knows no such commit or tag here")
    assert not (project.folder / "config/deploys.jsonl").exists()
    head = git(project.folder, "rev-parse", "--short", "HEAD").strip()
    for version in ("v1.2", head):
        assert levels(project.folder, "record", "deploy", "--version", version).returncode == 0
    shutil.rmtree(project.folder / ".git")
    assert levels(project.folder, "record", "deploy", "--version", "2026.11").returncode == 0


def test_a_move_that_changes_nothing_says_so(at_level: AtLevel) -> None:
    project = at_level(1)
    said = levels(project.folder, "upgrade", "1").stdout
    assert said == "Nothing changed: the project is what these answers and this version give.\n"


@pytest.mark.parametrize("back", [("set", "default_branch=main"), ("upgrade", "1")], ids=["set", "upgrade"])
def test_a_move_back_before_a_commit_does_not_say_that_nothing_changed(
    at_level: AtLevel, back: tuple[str, ...]
) -> None:
    project = at_level(1)
    move = ("set", "default_branch=trunk") if back[0] == "set" else ("upgrade", "2")
    assert levels(project.folder, *move).returncode == 0
    done = levels(project.folder, *back)
    changed = git(project.folder, "status", "--porcelain")
    expected = "Done. See what changed" if changed else "Done. The project is as it was committed.\n"
    assert done.returncode == 0 and expected in done.stdout and "Nothing changed" not in done.stdout
    assert changed in ("", " M .copier-answers.yml\n")
    assert "main" in project.read(".github/workflows/quality.yml")
