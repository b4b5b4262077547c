"""The template as a repository of its own, and projects made from it: what tests and benchmarks work with."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import copier
import yaml

ROOT = Path(__file__).parents[2]
LEVELS = (1, 2, 3, 4)
TWO_SERVICES = [{"name": "market-data"}, {"name": "telegram-bot", "kind": "worker"}]


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; returns what it prints."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def make_template(folder: Path, tag: str) -> Path:
    """Copy the work tree (what git tracks or would track) to `folder`, commit and tag it."""
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")[:-1]
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    release(folder, tag)
    return folder


def release(template: Path, tag: str) -> None:
    """Commit what stands in a template and tag it."""
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--allow-empty", "--message", tag)
    git(template, "tag", tag)


class Project:
    """A project that was made from the template, in a git repository with everything committed."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder = folder
        self.template = template

    def copy(self, ref: str | None = None, **answers: Any) -> Project:
        """`copier copy` with these answers,
        and a commit. The project's name is the same wherever it stands."""
        data = {"project_name": "shop", "default_branch": "main", **answers}
        copier.run_copy(
            str(self.template), self.folder, data=data, vcs_ref=ref, defaults=True, unsafe=True, quiet=True
        )
        if not (self.folder / ".git").exists():
            git(self.folder, "init", "--quiet")
        return self.commit("copy")

    def update(self, ref: Any = None, **answers: Any) -> Project:
        """`copier update` with these answers; the result is left uncommitted."""
        copier.run_update(
            self.folder, data=answers, vcs_ref=ref, defaults=True, overwrite=True, unsafe=True, quiet=True
        )
        return self

    def move(self, level: int) -> Project:
        """To another level, staying on the version."""
        return self.update(copier.VcsRef.CURRENT, level=level)

    def commit(self, message: str = "an edit") -> Project:
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", message)
        return self

    def tree(self) -> dict[str, str]:
        """Path to mode and content hash of everything that git would track."""
        git(self.folder, "add", "--all")
        lines = git(self.folder, "ls-files", "--stage", "-z").split("\0")[:-1]
        return {line.split("\t", 1)[1]: line.split("\t", 1)[0].rsplit(" ", 1)[0] for line in lines}

    def conflicts(self) -> list[str]:
        return sorted(set(git(self.folder, "diff", "--name-only", "--diff-filter=U").splitlines()))

    def answers(self) -> dict[str, Any]:
        return yaml.safe_load(self.read(".copier-answers.yml"))

    def read(self, path: str) -> str:
        return (self.folder / path).read_text(encoding="utf-8")

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8", newline="\n")

    def replace(self, path: str, old: str, new: str) -> None:
        text = self.read(path)
        assert text.count(old) == 1, f"{path}: expected {old!r} once, found it {text.count(old)} times"
        self.write(path, text.replace(old, new))
