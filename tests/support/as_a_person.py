"""The command as a person runs it: in a process of its own, with a person's variables, settings and hooks of
git.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.projects import ROOT, Project

TICKET = "#!/bin/sh\necho 'ticket number missing' >&2\nexit 1\n"


def levels(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does, in a process of its own with these variables."""
    return subprocess.run(
        [sys.executable, "-m", "extensions", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def settings(**values: str) -> dict[str, str]:
    """Settings of git as variables, as CI gives them; the names have _ for the dot."""
    given = {"GIT_CONFIG_COUNT": str(len(values))}
    for number, (key, value) in enumerate(values.items()):
        given |= {f"GIT_CONFIG_KEY_{number}": key.replace("_", ".", 1), f"GIT_CONFIG_VALUE_{number}": value}
    return given


def for_all_repositories(folder: Path, text: str) -> dict[str, str]:
    """A person's own ~/.gitconfig with `text` in it."""
    file = folder / "gitconfig"
    file.write_text(Path(os.environ["GIT_CONFIG_GLOBAL"]).read_text() + text)
    return {"GIT_CONFIG_GLOBAL": str(file)}


def hooks(folder: Path) -> str:
    """A folder in which each hook that a move could run refuses."""
    folder.mkdir()
    for name in (
        "pre-commit",
        "commit-msg",
        "prepare-commit-msg",
        "post-checkout",
        "post-index-change",
        "reference-transaction",
    ):
        (folder / name).write_text(TICKET)
        (folder / name).chmod(0o755)
    return str(folder)


def moved(project: Project, **environment: str) -> None:
    """Move up with an edit in a merged file, and hold what must come out: the edit, the new level, no rest of
    a merge.
    """
    before = (project.folder / "README.md").read_bytes()
    done = levels(project.folder, "upgrade", "2", **environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert project.answers()["level"] == 2
    after = (project.folder / "README.md").read_bytes()
    assert after.replace(b"\r\n", b"\n").endswith(before[-40:].replace(b"\r\n", b"\n"))
    assert list(project.folder.rglob("*.rej")) == []


def edited(project: Project, text: bytes = b"\nOurs, with spaces at the end.  \n\tand a tab\n") -> Project:
    readme = project.folder / "README.md"
    readme.write_bytes(readme.read_bytes() + text)
    return project.commit()
