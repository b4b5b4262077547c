"""What changes a project: starting it, moving it between levels and versions, and what is the template's in
it. Copier does the work.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import copier
import yaml
from copier.errors import DirtyLocalWarning, UserMessageError
from plumbum import ProcessExecutionError, local

from ..errors import Refused
from ..project import environment
from ..project.git_and_files import git_refuses, git_says, reason, shown
from ..rendering import preflight
from ..template import answers, layers
from ..template.place import installed_from, root
from . import migrate, preview, uncommitted


def new(dest: Path, data: dict[str, Any], defaults: bool) -> int:
    """Render into a new or an existing folder. Returns the exit code.

    Raises Refused for a file, and for a project that stands already.
    """
    above = next(folder for folder in (dest, *dest.absolute().parents) if folder.exists())
    if not above.is_dir():
        raise Refused(f"{dest}: expected a folder, new or existing; {above} is a file")
    if recorded := answers.recorded_answers(dest):
        make = answers.make(recorded)
        raise Refused(
            f"{dest}: is a project of this template already: in it, `{make} upgrade` and `{make} service`"
        )
    source, ref, warnings = where_from()
    for warning in warnings:
        print(f"levels: {warning}", file=sys.stderr)
    _copier(
        dest, lambda: copier.run_copy(source, dest, data=data, vcs_ref=ref, defaults=defaults, unsafe=True)
    )
    return 0


def move(project: Path, data: dict[str, Any], newest: bool = False) -> int:
    """Update the project to changed answers, or to the newest version.

    Returns 1 where there are conflicts; migrate has listed them.

    An answers file that a person has edited and not committed is taken as what is asked for.
    """
    answers_file = project / ".copier-answers.yml"
    recorded = answers.recorded_answers(project)
    ref = None if newest else copier.VcsRef.CURRENT
    had_changes = bool(git_says(project, "status", "--porcelain"))
    with uncommitted.put_back(project) as earlier:
        written = answers_file.read_bytes()
        data = {**edited_answers(project), **earlier, **data}
        if changed := preflight.uncommitted(project):
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise Refused(
                f"not committed: {', '.join(map(shown, changed[:3]))}{more}: commit or stash it first"
                " (`git stash -u`), so that what is yours and what the move does can be told apart"
            )
        try:
            _copier(
                project,
                lambda: copier.run_update(
                    project, data=data, vcs_ref=ref, defaults=True, overwrite=True, unsafe=True, quiet=True
                ),
            )
        except BaseException:
            # Nothing was moved: what the person wrote comes back.
            if not git_says(project, "status", "--porcelain"):
                answers_file.write_bytes(written)
            raise
    level = data.get("level", recorded["level"])
    for line in preview.setup_lines(recorded, level) + preview.left_running(recorded, level):
        print(line)
    if migrate.conflicts(project):
        return 1
    uncommitted.note(project)
    make = answers.make(recorded)
    if git_says(project, "status", "--porcelain"):
        print(f"Done. See what changed with `git status`, then run `{make} check` and commit.")
    elif had_changes:  # an earlier move that wasn't committed was taken back
        print("Done. The project is as it was committed.")
    else:
        print("Nothing changed: the project is what these answers and this version give.")
    return 0


def edited_answers(project: Path) -> dict[str, Any]:
    """The answers that differ from the committed ones.

    The file is put back: Copier moves from what is committed, and writes it again.
    """
    committed = yaml.safe_load(git_says(project, "show", "HEAD:./.copier-answers.yml") or "{}")
    now = answers.recorded_answers(project)
    changed = {key: value for key, value in now.items() if key not in committed or committed[key] != value}
    if "_src_path" in changed:
        raise Refused(
            "_src_path: commit the template's new address first (.copier-answers.yml alone); the move then"
            " takes it from there"
        )
    if "_commit" in changed:
        was = committed.get("_commit")
        raise Refused(
            f"_commit: expected {was!r}, as it is committed; `{answers.make(now)} update` takes a new version"
        )
    back = set(committed.get("keep", ())) - set(now.get("keep", ()))
    if back:  # asked of Copier, it would merge two files that have no common past
        raise Refused(
            f"keep: {', '.join(sorted(back))} is given back by `{answers.make(now)} set keep=-{min(back)}`,"
            " or by committing the answers file before the move"
        )
    if changed and git_says(project, "status", "--porcelain", "-z") == " M .copier-answers.yml\0":
        answers.check(changed, len(layers.layer_folders(root())))
        git_says(project, "checkout", "HEAD", "--", ".copier-answers.yml")
        return changed
    return {}


def give_back(project: Path, recorded: dict[str, Any], path: str) -> int:
    """Show how a kept file differs from the template's, and take it out of `keep`: later versions merge into
    it again.
    """
    if path not in recorded["keep"]:
        raise Refused(f"{path}: expected one of keep: {', '.join(recorded['keep']) or 'nothing is kept'}")
    keep = [one for one in recorded["keep"] if one != path]
    with tempfile.TemporaryDirectory(prefix="copier-levels.") as aside:
        rendered = Path(aside, "rendered")
        preview.render({**recorded, "keep": keep}, rendered)
        theirs, yours = (_lines(folder / path) for folder in (rendered, project))
        sys.stdout.writelines(difflib.unified_diff(theirs, yours, f"the template's {path}", f"your {path}"))
        beside = {
            file.path
            for manifest in layers.manifests(root())
            for file in manifest.files
            if file.beside == path
        }
        # They went when the file was taken over, and Copier takes what is missing for deleted by a person.
        for name in beside:
            if (rendered / name).is_file() and not (project / name).exists():
                shutil.copyfile(rendered / name, project / name)
    answers_file = project / ".copier-answers.yml"
    temporary = answers_file.with_name(".copier-answers.yml.new")
    temporary.write_text(answers.file_text({**recorded, "keep": keep}), encoding="utf-8", newline="\n")
    os.replace(temporary, answers_file)
    print(
        f"{path} is merged again from now on, with the lines above as your changes; commit"
        " .copier-answers.yml"
    )
    return 0


def _lines(path: Path) -> list[str]:
    return (
        path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if path.is_file() else []
    )


def where_from() -> tuple[str, str | None, list[str]]:
    """The template's address and version to record, and what to say to the person.

    From an installed package: what it was installed from. From a checkout: its origin, if that has the
    commit; else the folder itself, with a line that others can't update the result.
    """
    installed = installed_from()
    if installed:
        url, commit = installed
        return (url if url.startswith("git+") or url.endswith(".git") else f"git+{url}"), commit, []
    clone = root()
    if why := git_refuses(clone):
        raise Refused(f"{clone}: git: {why}")
    if git_says(clone, "rev-parse", "--show-toplevel").strip() != str(clone.resolve()):
        raise Refused(
            f"{clone}: expected a git clone of the template; a copy without history can't be updated from"
        )
    head = git_says(clone, "rev-parse", "HEAD").strip()
    # As it was written: `git remote get-url` gives what the person's own git makes of it (url.*.insteadOf).
    origin = git_says(clone, "config", "--get", "remote.origin.url").strip()
    others = "so others can't update the result, only this machine can"
    if git_says(clone, "status", "--porcelain").strip():
        return (
            str(clone),
            "HEAD",
            [
                f"{clone} has changes that are not committed, so others can't update the result, and neither"
                " can you: commit first"
            ],
        )
    if not origin:
        return str(clone), "HEAD", [f"{clone} has no origin, {others}"]
    # A shallow clone of a release has its tag, and no branch of the origin.
    if (
        not git_says(clone, "branch", "--remotes", "--contains", "HEAD").strip()
        and not git_says(clone, "tag", "--points-at", "HEAD").strip()
    ):
        return str(clone), "HEAD", [f"{clone} has commits that are not pushed, {others}"]
    return (origin if Path(origin).exists() or ":" in origin else str(clone)), head, []


class _TagsOnce(io.TextIOBase):
    """Standard error for Copier, which says for each copy that it makes of a template that it has no tags."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.said, self.dropping = stream, False, False

    def write(self, text: str) -> int:
        """Pass `text` on, unless it is that line for another time, or the end of it."""
        about = "No git tags found" in text
        if not ((about and self.said) or (self.dropping and text == "\n")):
            self.stream.write(text)
        self.dropping, self.said = about and self.said, about or self.said
        return len(text)

    def flush(self) -> None:
        """Pass on what the stream behind it holds."""
        self.stream.flush()


def _copier(project: Path, run: Callable[[], object]) -> None:
    """Run Copier on `project`; what it refuses becomes one line and exit code 2."""
    try:
        told = _TagsOnce(sys.stderr)
        with warnings.catch_warnings(), local.env(), contextlib.redirect_stderr(told):
            environment.for_copier(project)
            environment.keep_bytes()
            warnings.simplefilter("ignore", DirtyLocalWarning)  # where_from says it in our words
            run()
    except UserMessageError as error:
        raise Refused(str(error.message)) from error
    except ValueError as error:  # such as a commit that the template's repository doesn't have
        raise Refused(
            f"copier: {str(error).splitlines()[0]} (the answers file names the template and its version)"
        ) from error
    except ProcessExecutionError as error:
        raise Refused(_complaint(error)) from error
    except OSError as error:
        raise Refused(f"{error.filename or 'copier'}: {error.strerror or error}") from error


def _complaint(error: ProcessExecutionError) -> str:
    """The git command that stopped, and why.

    Where git itself says nothing, a hook or a filter did, and where those come from is told.
    """
    command = next((word for word in error.argv[1:] if not word.startswith("-") and "=" not in word), "")
    said = str(error.stderr)
    if any(line.startswith(("fatal:", "error:")) for line in said.splitlines()):
        return f"git {command}: {reason(said)}"
    settings = "git config --show-origin --get-regexp 'hookspath|^filter'"
    return (
        f"git {command}: {reason(said)} (not git's own words but a hook's or a filter's: `{settings}` shows"
        " where it is set)"
    )
