"""What changes a project: starting it, moving it between levels and versions, and what is the template's in it. Copier does the work."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import copier
import yaml
from copier.errors import DirtyLocalWarning, UserMessageError

from . import migrate, preview
from .answers import Refused
from .template import installed_from, root


def new(dest: Path, data: dict[str, Any], defaults: bool) -> int:
    """Render into a new or an existing folder. Returns the exit code."""
    source, ref, warnings = where_from()
    for warning in warnings:
        print(f"levels: {warning}", file=sys.stderr)
    _copier(lambda: copier.run_copy(source, dest, data=data, vcs_ref=ref, defaults=defaults, unsafe=True))
    return 0


def move(project: Path, recorded: dict[str, Any], data: dict[str, Any], newest: bool = False) -> int:
    """Update the project to changed answers, or to the newest version. Lists conflicts. Returns 1 where there are any."""
    ref = None if newest else copier.VcsRef.CURRENT
    _copier(lambda: copier.run_update(project, data=data, vcs_ref=ref, defaults=True, overwrite=True, unsafe=True, quiet=True))
    level = data.get("level", recorded["level"])
    if level > recorded["level"]:
        for line in preview.setup_lines(recorded, level):
            print(line)
    conflicts = migrate.conflicts(project)
    if conflicts:
        print(f"{len(conflicts)} conflict(s), marked in the files: {', '.join(conflicts)}", file=sys.stderr)
        return 1
    print("Done. See what changed with `git status`, then run `make -f levels.mk check` and commit.")
    return 0


def give_back(project: Path, recorded: dict[str, Any], path: str) -> int:
    """Show how a kept file differs from the template's, and take it out of `keep`: later versions merge into it again."""
    if path not in recorded["keep"]:
        raise Refused(f"{path}: expected one of keep: {', '.join(recorded['keep']) or 'nothing is kept'}")
    keep = [one for one in recorded["keep"] if one != path]
    with tempfile.TemporaryDirectory(prefix="copier-levels.") as folder:
        rendered = Path(folder, "rendered")
        preview.render({**recorded, "keep": keep}, rendered)
        theirs = (rendered / path).read_text(encoding="utf-8").splitlines(keepends=True) if (rendered / path).is_file() else []
    yours = (project / path).read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if (project / path).is_file() else []
    sys.stdout.writelines(difflib.unified_diff(theirs, yours, f"the template's {path}", f"your {path}"))
    answers_file = project / ".copier-answers.yml"
    head = answers_file.read_text(encoding="utf-8").splitlines(keepends=True)[0]
    text = head + yaml.safe_dump({**recorded, "keep": keep}, sort_keys=False, allow_unicode=True, width=1000)
    temporary = answers_file.with_name(".copier-answers.yml.new")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temporary, answers_file)
    print(f"{path} is merged again from now on, with the lines above as your changes; commit .copier-answers.yml")
    return 0


def where_from() -> tuple[str, str | None, list[str]]:
    """The template's address and version to record, and what to say to the person.

    From an installed package: what it was installed from. From a checkout: its origin, if that has the commit; else the folder itself,
    with a line that others can't update the result.
    """
    installed = installed_from()
    if installed:
        url, commit = installed
        return (url if url.startswith("git+") or url.endswith(".git") else f"git+{url}"), commit, []
    clone = root()
    if _git(clone, "rev-parse", "--show-toplevel") != str(clone.resolve()):
        raise Refused(f"{clone}: expected a git clone of the template; a copy without history can't be updated from")
    head = _git(clone, "rev-parse", "HEAD")
    # As it was written: `git remote get-url` gives what the person's own git makes of it (url.*.insteadOf).
    origin = _git(clone, "config", "--get", "remote.origin.url")
    others = "so others can't update the result, only this machine can"
    if _git(clone, "status", "--porcelain"):
        return str(clone), "HEAD", [f"{clone} has changes that are not committed, {others}"]
    if not origin:
        return str(clone), "HEAD", [f"{clone} has no origin, {others}"]
    if not _git(clone, "branch", "--remotes", "--contains", "HEAD"):
        return str(clone), "HEAD", [f"{clone} has commits that are not pushed to {origin}, {others}"]
    return (origin if Path(origin).exists() or ":" in origin else str(clone)), head, []


def _copier(run: Any) -> None:
    """Run Copier; what it refuses becomes one line and exit code 2."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DirtyLocalWarning)  # where_from says it in our words
            run()
    except UserMessageError as error:
        raise Refused(str(error.message)) from error
    except subprocess.CalledProcessError as error:
        raise Refused(f"{' '.join(map(str, error.cmd))}: failed with {error.returncode}") from error


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False).stdout.strip()
