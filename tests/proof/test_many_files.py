"""A large repository is adopted as a small one is: its service is found, and none of its files is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.projects import Project, git
from tests.support.scale import scaled

pytestmark = pytest.mark.soak


def test_a_repository_of_10_000_files_is_adopted_and_moved(project: Project, tmp_path: Path) -> None:
    count = scaled(10_000)
    for number in range(count):
        project.write(
            f"shop/part{number // 100}/module{number}.py",
            f"def double_{number}(value: int) -> int:\n    return value * 2\n",
        )
    project.write(
        "shop/__init__.py", "from flask import Flask\n\n\ndef create_app():\n    return Flask(__name__)\n"
    )
    git(project.folder, "init", "--quiet")
    theirs = project.commit("theirs").tree()
    assert len(theirs) == count + 1
    project.copy(seed_tests="none")
    (service,) = project.answers()["services"]
    assert (service["path"], service["code"], service["app"]) == ("shop", "theirs", "shop:create_app()")
    for level in (4, 1):
        project.move(level).commit()
        after = project.tree()
        assert {path: after[path] for path in theirs} == theirs
