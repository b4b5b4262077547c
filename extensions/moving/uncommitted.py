"""Several moves without a commit between them: what the last one left is made again from HEAD, together with
what is asked for now.

Copier updates only a clean work tree. So each move notes what it left, as a tree of git's; where the work
tree still is that very tree, nothing of a person's is in it. Then it may be put back to HEAD, and one move
from there does what both would have done. Where anything else has changed, nothing is put back, and Copier
refuses as always.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ..project.git_and_files import ask_git, git_environment, git_says
from ..template import answers

# In git's own folder: two hashes, of HEAD and of the tree that a move left above it.
NOTE = "copier-levels-moved"


def note(project: Path) -> None:
    """Remember the work tree as what a move has made of HEAD."""
    head, tree = git_says(project, "rev-parse", "HEAD").strip(), _work_tree(project)
    if head and tree:
        with contextlib.suppress(OSError):
            _note(project).write_text(f"{head} {tree}\n", encoding="ascii")


@contextlib.contextmanager
def put_back(project: Path) -> Iterator[dict[str, Any]]:
    """Put the work tree back to HEAD where it holds only what the last move left, and give what that move had
    changed of the answers.

    Gives nothing, and touches nothing, in any other case. Where the block raises, the work tree is afterwards
    what it was.
    """
    head, _, tree = _read(project).partition(" ")
    fits = (
        tree
        and head == git_says(project, "rev-parse", "HEAD").strip()
        and git_says(project, "status", "--porcelain")
    )
    if not fits or tree != _work_tree(project):
        yield {}
        return
    committed = yaml.safe_load(git_says(project, "show", "HEAD:./.copier-answers.yml") or "{}")
    now = answers.recorded_answers(project)
    if any(committed.get(key) != now.get(key) for key in ("_src_path", "_commit")):
        yield {}  # another version of the template: two of its steps are not one
        return
    changed = {key: value for key, value in now.items() if key not in committed or committed[key] != value}
    if not _switch(project, tree, head):
        yield {}
        return
    try:
        yield changed
    except BaseException:
        _switch(project, _work_tree(project), tree, index=head)
        raise


def _note(project: Path) -> Path:
    return project / git_says(project, "rev-parse", "--git-path", NOTE).strip()


def _read(project: Path) -> str:
    try:
        return _note(project).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _work_tree(project: Path) -> str:
    """The work tree as a tree of git's, with what git would track; empty where git can't write it.

    The index is left alone.
    """
    with tempfile.TemporaryDirectory(prefix="copier-levels.") as folder:
        index = Path(folder, "index")
        made = all(
            _git(project, index, *command) is not None
            for command in (("read-tree", "HEAD"), ("add", "--all", ":/"))
        )
        return (_git(project, index, "write-tree") or "").strip() if made else ""


def _switch(project: Path, now: str, then: str, index: str = "") -> bool:
    """Make the tree `then` of a work tree that is the tree `now`, and the index that of `index`.

    Whether it could be done.
    """
    with tempfile.TemporaryDirectory(prefix="copier-levels.") as folder:
        own = Path(folder, "index")
        commands = (
            ("read-tree", now),
            ("update-index", "-q", "--refresh"),
            ("read-tree", "-m", "-u", now, then),
        )
        if any(_git(project, own, *command) is None for command in commands):
            return False
    return ask_git(project, "read-tree", index or then)[0] == 0


def _git(project: Path, index: Path, *command: str) -> str | None:
    """What git prints, with an index of its own; None where it fails."""
    env = {**git_environment(), "GIT_INDEX_FILE": str(index)}
    top = git_says(project, "rev-parse", "--show-toplevel").rstrip("\n")
    try:
        done = subprocess.run(
            ["git", "-C", top, "-c", "core.fsmonitor=false", "-c", "core.safecrlf=false", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=env,
            check=False,
        )
    except OSError:
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None
