"""Small questions to the disk and to git, answered without surprises: nothing here raises for what stands in a project."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

LARGEST = 1_000_000  # bytes: a larger text is data, and reading it in would take seconds


def shown(text: str) -> str:
    """`text` fit for one line: line ends, control characters and stray bytes are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a loop of symlinks
        return False


def is_folder(entry: os.DirEntry[str], follow: bool = True) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False


def text_of(file: str) -> str:
    """The beginning of a small text file; empty where there is none."""
    try:
        if not os.path.isfile(file):
            return ""
        with open(file, "rb") as stream:
            return stream.read(LARGEST).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def git_environment() -> dict[str, str]:
    """The environment of a git that is only asked: it speaks English, locks nothing, and takes its repository from where it is run."""
    local = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE")
    return {key: value for key, value in os.environ.items() if key not in local} | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}


def ask_git(root: Path, *command: str, given: str = "") -> tuple[int, str, str]:
    """Run git at `root`, only to ask. Exit code, output, complaint; -1 where it didn't run."""
    try:
        done = subprocess.run(
            # fsmonitor is a program of the repository's choice.
            ["git", "-C", os.fspath(root), "-c", "core.fsmonitor=false", *command],
            input=os.fsencode(given),
            capture_output=True,
            timeout=20,
            env=git_environment(),
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return -1, "", ""
    return done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr)


def git_says(root: Path, *command: str, given: str = "") -> str:
    """What git prints at `root`, given `given` as its input; nothing where it fails."""
    code, output, _ = ask_git(root, *command, given=given)
    return output if code == 0 else ""
