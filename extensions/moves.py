"""What changes a project: starting it, moving it between levels and versions, and what is the template's in it. Copier does the work."""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import copier
import yaml
from copier.errors import DirtyLocalWarning, UserMessageError
from plumbum import ProcessExecutionError

from . import answers, layers, migrate, preview, settle
from .answers import Refused
from .disk import git_says
from .template import installed_from, root


def new(dest: Path, data: dict[str, Any], defaults: bool) -> int:
    """Render into a new or an existing folder. Returns the exit code."""
    source, ref, warnings = where_from()
    for warning in warnings:
        print(f"levels: {warning}", file=sys.stderr)
    _copier(lambda: copier.run_copy(source, dest, data=data, vcs_ref=ref, defaults=defaults, unsafe=True))
    return 0


def move(project: Path, data: dict[str, Any], newest: bool = False) -> int:
    """Update the project to changed answers, or to the newest version. Returns 1 where there are conflicts; migrate has listed them.

    An answers file that a person has edited and not committed is taken as what is asked for.
    """
    answers_file = project / ".copier-answers.yml"
    written = answers_file.read_bytes()
    data = {**edited_answers(project), **data}
    recorded = settle.recorded_answers(project)
    ref = None if newest else copier.VcsRef.CURRENT
    try:
        _copier(lambda: copier.run_update(project, data=data, vcs_ref=ref, defaults=True, overwrite=True, unsafe=True, quiet=True))
    except Refused:
        answers_file.write_bytes(written)
        raise
    level = data.get("level", recorded["level"])
    for line in preview.setup_lines(recorded, level) + preview.left_running(recorded, level):
        print(line)
    if migrate.conflicts(project):
        return 1
    print("Done. See what changed with `git status`, then run `make -f levels.mk check` and commit.")
    return 0


def edited_answers(project: Path) -> dict[str, Any]:
    """The answers that differ from the committed ones. The file is put back: Copier moves from what is committed, and writes it again."""
    committed = yaml.safe_load(git_says(project, "show", "HEAD:./.copier-answers.yml") or "{}")
    now = settle.recorded_answers(project)
    changed = {key: value for key, value in now.items() if not key.startswith("_") and committed.get(key, value) != value}
    if changed and git_says(project, "status", "--porcelain", "-z") == " M .copier-answers.yml\0":
        answers.check(changed, len(layers.layer_folders(root())))
        git_says(project, "checkout", "HEAD", "--", ".copier-answers.yml")
        return changed
    return {}


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
    temporary = answers_file.with_name(".copier-answers.yml.new")
    temporary.write_text(head + answers.dump({**recorded, "keep": keep}), encoding="utf-8", newline="\n")
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
    if git_says(clone, "rev-parse", "--show-toplevel").strip() != str(clone.resolve()):
        raise Refused(f"{clone}: expected a git clone of the template; a copy without history can't be updated from")
    head = git_says(clone, "rev-parse", "HEAD").strip()
    # As it was written: `git remote get-url` gives what the person's own git makes of it (url.*.insteadOf).
    origin = git_says(clone, "config", "--get", "remote.origin.url").strip()
    others = "so others can't update the result, only this machine can"
    if git_says(clone, "status", "--porcelain").strip():
        return str(clone), "HEAD", [f"{clone} has changes that are not committed, {others}"]
    if not origin:
        return str(clone), "HEAD", [f"{clone} has no origin, {others}"]
    if not git_says(clone, "branch", "--remotes", "--contains", "HEAD").strip():
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
    except ValueError as error:  # such as a commit that the template's repository doesn't have
        raise Refused(f"copier: {str(error).splitlines()[0]} (the answers file names the template and its version)") from error
    except ProcessExecutionError as error:
        said = [line for line in str(error.stderr).splitlines() if line.strip()] or ["no reason given"]
        raise Refused(f"git: {said[-1]}") from error
