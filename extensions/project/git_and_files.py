"""Small questions to the disk and to git, answered without surprises: nothing here raises for what stands in
a project.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

# What git sets for a hook or for `git -C`: `git rev-parse --local-env-vars` and what belongs with it. It says
# which repository is meant, which another folder's isn't. GIT_CONFIG_COUNT and its like stay: that is how CI
# hands over credentials and safe.directory.
OF_ONE_REPOSITORY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
LARGEST = 1_000_000  # bytes: a larger text is data, and reading it in would take seconds


def shown(text: str) -> str:
    """`text` fit for one line: line ends, control characters and stray bytes are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: "1 test", "2 tests"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


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
    """The environment of a git that is only asked: it speaks English, locks nothing, and takes its repository
    from where it is run.
    """
    kept = {key: value for key, value in os.environ.items() if key not in OF_ONE_REPOSITORY}
    return kept | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}


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
    except FileNotFoundError:
        return -1, "", "git isn't there: install it, or put it on PATH"
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return -1, "", f"git didn't run: {error}"
    return done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr)


def git_says(root: Path, *command: str, given: str = "") -> str:
    """What git prints at `root`, given `given` as its input; nothing where it fails."""
    code, output, _ = ask_git(root, *command, given=given)
    return output if code == 0 else ""


def git_refuses(root: Path) -> str:
    """Git's own reason why it doesn't work with the repository at `root`, in one line; empty where it does,
    or where there is none.

    Such as another owner ("dubious ownership"), objects that are damaged or not readable, or no git on this
    machine.
    """
    if not any(os.path.lexists(folder / ".git") for folder in (root.absolute(), *root.absolute().parents)):
        return ""
    code, _, complaint = ask_git(root, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules")
    return reason(complaint) if code else ""


def reason(complaint: str) -> str:
    """What git complains of, as one line: its fatal line, with the command that it proposes."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    said = next(
        (line for line in lines if line.startswith(("fatal:", "error:"))),
        lines[0] if lines else "no reason given",
    )
    way_out = next(
        (line for line in lines if line.startswith("git config --global --add safe.directory")), ""
    )
    said = re.sub(r"^(fatal|error): ", "", said)
    return shown(f"{said.rstrip('.')}: `{way_out}` allows it, if you trust it" if way_out else said)
