"""Locales and encodings that aren't ours: no letter of a person's is lost in a move."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.as_a_person import edited, for_all_repositories, levels, moved
from tests.support.projects import Project, git

AtLevel = Callable[..., Project]


@pytest.fixture(scope="session")
def japanese(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A locale that isn't UTF-8, as variables."""
    folder = tmp_path_factory.mktemp("locale")
    made = folder / "ja_JP.EUC-JP"
    if shutil.which("localedef"):
        subprocess.run(
            ["localedef", "-i", "ja_JP", "-f", "EUC-JP", str(made)], capture_output=True, check=False
        )
    if not made.is_dir():
        pytest.skip("needs localedef and /usr/share/i18n")
    return {"LOCPATH": str(folder), "LC_ALL": "ja_JP.EUC-JP"}


LINES = {
    "letters of three scripts": "\nGröße, prix en €, 値段. Ende der Zeile und noch etwas.\n".encode(),
    "latin-1": "\nGröße und Maße, nicht in UTF-8 geschrieben, ganz ohne.\n".encode("latin-1"),
    "a byte order mark, stray surrogates and a carriage return": (
        b"\n\xef\xbb\xbfa\xed\xa0\x80b\xff\xfe mixed, a CR at the end\r\n"
    ),
}
PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
@pytest.mark.parametrize("where", ["japanese", "plain C", "UTF-8"])
def test_each_byte_of_a_persons_lines_stays(
    at_level: AtLevel, request: pytest.FixtureRequest, lines: bytes, where: str
) -> None:
    project = edited(at_level(1), lines)
    (project.folder / "docs/größe.md").write_bytes(lines)
    project.commit()
    locale = (
        request.getfixturevalue("japanese")
        if where == "japanese"
        else PLAIN
        if where == "plain C"
        else {"LC_ALL": "C.UTF-8"}
    )
    moved(project, **locale)
    assert (project.folder / "README.md").read_bytes().endswith(lines)
    assert (project.folder / "docs/größe.md").read_bytes() == lines


@pytest.mark.parametrize(
    ("lines", "locale"), [("latin-1", {"LC_ALL": "C.UTF-8"}), ("letters of three scripts", PLAIN)]
)
def test_plain_copier_is_refused_before_it_drops_a_letter(
    at_level: AtLevel, lines: str, locale: dict[str, str]
) -> None:
    project = edited(at_level(1), LINES[lines])
    command = [
        sys.executable,
        "-m",
        "copier",
        "update",
        "--trust",
        "--defaults",
        "--vcs-ref=:current:",
        "--data",
        "level=2",
        "-q",
    ]
    done = subprocess.run(
        command, cwd=project.folder, env={**os.environ, **locale}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "README.md: holds letters that `copier update` would drop in this locale" in done.stderr
    assert "Traceback" not in done.stderr and git(project.folder, "status", "--porcelain") == ""


def test_a_merged_file_that_git_takes_for_data_is_refused_before_anything_is_written(
    at_level: AtLevel,
) -> None:
    project = at_level(1)
    (project.folder / "README.md").write_bytes((project.read("README.md") + "ours\n").encode("utf-16"))
    project.commit()
    done = levels(project.folder, "upgrade", "2")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("levels: README.md: holds NUL bytes, as UTF-16 does")
    assert git(project.folder, "status", "--porcelain") == ""
    assert levels(project.folder, "set", "keep=+README.md").returncode == 0
    project.commit()
    assert levels(project.folder, "upgrade", "2").returncode == 0


def test_a_checkout_with_carriage_returns_is_moved(at_level: AtLevel, tmp_path: Path) -> None:
    project = edited(at_level(1))
    own = for_all_repositories(tmp_path, "[core]\n\tautocrlf = true\n\tsafecrlf = warn\n")
    subprocess.run(
        ["git", "clone", "--quiet", str(project.folder), str(tmp_path / "clone")],
        env={**os.environ, **own},
        check=True,
    )
    clone = Project(tmp_path / "clone", project.template)
    assert b"\r\n" in (clone.folder / "README.md").read_bytes()
    done = levels(clone.folder, "upgrade", "2", **own)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "spaces at the end.  " in clone.read("README.md") and clone.answers()["level"] == 2
    assert list(clone.folder.rglob("*.rej")) == []
