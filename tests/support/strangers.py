"""Repositories that somebody else made: files in a folder, and git around them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def project(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def git(root: Path, *command: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *identity, *command], cwd=root, check=True, capture_output=True)


def repository(root: Path, files: dict[str, str]) -> Path:
    project(root, files)
    git(root, "init")
    git(root, "add", "-A")
    git(root, "commit", "--allow-empty", "-m", "first")
    return root
