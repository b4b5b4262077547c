"""Level 1 at every move: the lock file follows what the move changed in pyproject.toml."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# By the project's own ci/uv.py: it finds the uv of .cache or gets one, and knows the package index.
LOCK = "import sys; sys.path.insert(0, 'ci'); import uv; sys.exit(uv.call([uv.find(), 'lock', '--quiet']).returncode)"


def stay(project: Path) -> Iterator[str]:
    """Lock again where a lock file is kept in git and the move changed pyproject.toml.

    Yields a line where the lock changed, and where it couldn't be made, with the reason.
    """
    if not _git(project, "ls-files", "uv.lock") or not _git(project, "diff", "--name-only", "HEAD", "--", "pyproject.toml"):
        return
    before = _bytes(project / "uv.lock")
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    if os.environ.get("UV"):  # uv names itself to what it runs
        env["PATH"] = os.pathsep.join([str(Path(os.environ["UV"]).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        [sys.executable, "-c", LOCK], cwd=project, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        yield f"pyproject.toml changed, and uv.lock could not be made anew ({said[-1][:200]}): run the make target `install` and commit it"
    elif _bytes(project / "uv.lock") != before:
        yield "uv.lock follows pyproject.toml"


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""


def _git(project: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=False).stdout.strip()
