"""What becomes of config/variants.json, which version 0.1.0 had, when a project takes this version."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.projects import ROOT, Project, git, release
from tests.support.released import missing, module

OLD, NEW = "config/variants.json", "config/experiments.yml"
MINE = {
    "example": {"control": "old", "weights": {"old": 50, "new": 50}},
    "new-checkout": {"control": "Old", "weights": {"Old": 9, "new": 1}},
    "prices": {"control": "a", "weights": {"a": 0.5, "b": 0.25}},
}


@pytest.fixture
def before(tmp_path: Path) -> Project:
    """A project of version 0.1.0 at level 4, and a template that has that version and this one."""
    first = module.releases()[0]
    if why := missing(first.commit):
        pytest.skip(why)
    clone = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", str(ROOT), str(clone))
    git(clone, "checkout", "--quiet", first.commit)
    git(clone, "tag", "--force", first.tag)
    project = Project(tmp_path / "shop", clone).copy(ref=first.tag, level=4)
    git(clone, "checkout", "--quiet", "--force", git(ROOT, "rev-parse", "HEAD").strip())
    git(clone, "rm", "-rq", "levels", "extensions")
    for name in ("levels", "extensions", "copier.yml"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(clone)], check=True)
    release(clone, "v1000.0.0")
    return project


def test_what_nobody_changed_goes(before: Project, capfd: pytest.CaptureFixture[str]) -> None:
    assert OLD in before.tree()
    before.commit().update("v1000.0.0")
    assert OLD not in before.tree() and NEW in before.tree() and not (before.folder / OLD).exists()
    assert "variants" not in capfd.readouterr().err


def test_a_persons_own_experiments_are_in_the_new_file_and_the_old_one_stays(
    before: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    before.write(OLD, json.dumps({"salt": "7", "experiments": MINE}))
    before.write(
        "services/api/buy.py", 'def buy(app, user):\n    app.extensions["variants"].assign("x", user)\n'
    )
    capfd.readouterr()
    before.commit().update("v1000.0.0")
    said = capfd.readouterr().err
    assert json.loads(before.read(OLD))["experiments"] == MINE, "not lost"
    assert f"kept {OLD}: you changed it" in said
    assert f"level 4: {NEW} has the experiments of {OLD}" in said
    assert "level 4: services/api/buy.py:2: assign(…) is gone" in said
    text = before.read(NEW)
    assert text.startswith((ROOT / "levels/4-enterprise" / NEW).read_text(encoding="utf-8"))
    done = subprocess.run(
        [sys.executable, "ci/experiments.py", ""],
        cwd=before.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)["experiments"]
    assert list(found) == ["example", "new-checkout", "prices"]
    assert (
        found["new-checkout"]["variants"] == {"old": 9, "new": 1}
        and found["new-checkout"]["control"] == "old"
    )
    assert found["prices"]["variants"] == {"a": 500, "b": 250}
    assert "started" not in found["prices"], "nothing runs that nobody planned"
    again = subprocess.run(
        [sys.executable, str(ROOT / "extensions/after_update.py"), str(ROOT)],
        cwd=before.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert before.read(NEW) == text and "has the experiments" not in again.stderr


def test_one_that_cannot_be_read_is_named_and_stays(
    before: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    before.write(OLD, "{ broken")
    before.commit().update("v1000.0.0")
    assert before.read(OLD) == "{ broken"
    assert f"level 4: {OLD} couldn't be read: `git show HEAD:{OLD}` has it" in capfd.readouterr().err
