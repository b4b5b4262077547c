"""The page of `make status HTML=`: each commit's road through the environments."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extensions.errors import Refused
from extensions.evolution import road
from tests.support.projects import ROOT, Project, git

FIRST, SECOND, THIRD = "1" * 40, "2" * 40, "3" * 40
NOWHERE = "\N{EN DASH}"
HOSTILE = "<script>alert('x')</script>\x1b[2J"


def event(version: str, release: int, day: int, **more: str) -> dict[str, Any]:
    given = {"kind": "deploy", "outcome": "success", "by": "Anna", **more}
    return {"version": version, "release": release, "at": f"2026-12-0{day}T10:00:00Z", **given}


def seen(name: str, version: str = "", release: int = 0, **more: Any) -> dict[str, Any]:
    found = {"environment": name, "release": release, "version": version, "since": "2026-12-02T10:00:00Z"}
    return {**found, "by": "Anna", "wrong": [], "drift": [], "unknown": "", "log": [], **more}


def document() -> dict[str, Any]:
    staging = [event(FIRST, 1, 1), event(SECOND, 2, 2), event(THIRD, 3, 3, outcome="failure", note=HOSTILE)]
    production = [event(FIRST, 1, 2), event(SECOND, 2, 3), event(FIRST, 1, 4, kind="rollback")]
    return {
        "project": "shop",
        "environments": [
            seen("staging", SECOND, 2, log=staging),
            seen("qa", unknown="config/qa.env isn't on this machine"),
            seen(
                "production", FIRST, 1, log=production, drift=[f"builds: {HOSTILE}"], wrong=["api: not ready"]
            ),
        ],
    }


def states(page: str) -> dict[str, list[str]]:
    """What stands for each commit, environment by environment."""
    found = {}
    for version, row in re.findall(r'<tr data-version="(\w+)">(.*?)</tr>', page, re.DOTALL):
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)
        found[version] = [re.findall(r">([^<]+)<", cell)[0] for cell in cells]
    return found


def test_each_commit_has_its_road_the_last_one_first(tmp_path: Path) -> None:
    page = road.render(document(), tmp_path)
    assert states(page) == {
        FIRST: ["ran", "unknown", "runs"],
        THIRD: ["failed", "unknown", NOWHERE],
        SECOND: ["runs", "unknown", "ran"],
    }
    assert next(iter(states(page))) == FIRST
    assert "rollback 1, success, by Anna" in page and "Drift: builds" in page and "not ready" in page


def test_what_comes_from_hosts_and_people_stays_text(tmp_path: Path) -> None:
    page = road.render(document(), tmp_path)
    assert "<script" not in page and "&lt;script&gt;" in page and "\x1b" not in page

    assert not re.search(
        r"\b(src|href|on\w+|style)=", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    )


def test_a_commit_is_named_where_git_knows_it(project: Project) -> None:
    project.write("a", "")
    git(project.folder, "init", "--quiet")
    version = git(project.commit("Prices <b>go</b> up").folder, "rev-parse", "HEAD").strip()
    found = document()
    found["environments"][0]["log"].append(event(version, 4, 5))
    found["environments"][0]["log"].append(event("--output=x", 5, 5))
    page = road.render(found, project.folder)
    assert "Prices &lt;b&gt;go&lt;/b&gt; up" in page and not (project.folder / "x").exists()


def test_many_commits_are_left_out_and_counted(tmp_path: Path) -> None:
    found = document()
    found["environments"][0]["log"] = [event(f"{number:040}", number, 1) for number in range(road.MOST + 20)]
    assert "22 older are left out." in road.render(found, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"project": "x", "environments": [{}]}', '{"project": 1}']
)
def test_something_else_is_refused_in_one_line(
    fresh: Callable[[int], Project], tmp_path: Path, text: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "extensions", "road", str(tmp_path / "page.html")],
        input=text,
        cwd=fresh(3).folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "") and not (tmp_path / "page.html").exists()
    assert done.stderr.startswith("levels: expected what `make status HTML=FILE` hands on"), done.stderr


def test_nothing_at_all_is_a_page_too(tmp_path: Path) -> None:
    page = road.render({"project": "shop", "environments": [seen("staging")]}, tmp_path)
    assert "Nothing has been deployed anywhere." in page and "nothing yet" in page
    with pytest.raises(Refused):
        road.render(json.loads("[1]"), tmp_path)
