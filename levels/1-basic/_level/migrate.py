"""Level 1 at every move: the lock file follows what the move changed in pyproject.toml."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


def stay(project: Path) -> Iterator[str]:
    """Lock again where a lock file is kept in git and the move changed pyproject.toml. Yields a line where it did, or why it couldn't."""
    if not _git(project, "ls-files", "uv.lock") or not _git(project, "diff", "--name-only", "HEAD", "--", "pyproject.toml"):
        return
    uv = shutil.which("uv")
    locked = uv is not None and subprocess.run([uv, "lock", "--quiet"], cwd=project, capture_output=True, check=False).returncode == 0
    yield "uv.lock follows pyproject.toml" if locked else "uv.lock doesn't follow pyproject.toml yet: run `make install` and commit it"


def _git(project: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=False).stdout.strip()
