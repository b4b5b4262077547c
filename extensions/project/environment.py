"""The environment that git runs in: what a hook, a company's settings or a locale put there, and what may
reach a move.

`enter` is called once, where the console and Copier enter. `for_copier` is called where Copier runs.
"""

from __future__ import annotations

import atexit
import codecs
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from .git_and_files import OF_ONE_REPOSITORY, ask_git

# What changes the output of the commands that Copier reads, or what a path means to them.
OF_ONE_COMMAND = (
    "GIT_ATTR_SOURCE",
    "GIT_DIFF_OPTS",
    "GIT_EXTERNAL_DIFF",
    "GIT_GLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
)
# Settings that would stop a move or change what it does to lines. They hold for every git that Copier starts.
SETTINGS = {
    "core.hooksPath": os.devnull,  # a hook for the person's commits has no say in a temporary repository
    "core.fsmonitor": "false",
    "core.safecrlf": "false",
    "core.quotePath": "true",  # Copier reads names as git quotes them
    "status.showUntrackedFiles": "normal",  # Copier finds what it could not merge among the untracked files
    "apply.whitespace": "nowarn",  # else lines of a person lose the spaces at their ends, or aren't applied
    "apply.ignoreWhitespace": "no",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
BYTES = "copier-levels-bytes"
# What holds in the repositories that Copier makes for a moment, and nowhere else: what a person or a company
# has set for all of theirs (ignored files, attributes, line ends) would change what is compared there.
TEMPORARY = """[core]
	excludesFile =
	attributesFile =
	autocrlf = false
	eol = lf
"""
PREFIX = "copier-levels.git."


def enter() -> None:
    """Take out of this process's environment what names another repository than the one that a command is run
    in.
    """
    for name in (*OF_ONE_REPOSITORY, *OF_ONE_COMMAND):
        os.environ.pop(name, None)


def use_utf8() -> None:
    """Start this command again in UTF-8 mode where the locale isn't UTF-8; does nothing elsewhere.

    File names and what programs print are then read as what they nearly always are, and no byte of them is
    lost.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def for_copier(project: Path) -> None:
    """Set the environment in which Copier starts git to move `project`: no setting of a person or a company
    stops it there.

    A second call changes nothing.
    """
    from plumbum import local

    for name in (*OF_ONE_REPOSITORY, *OF_ONE_COMMAND):
        local.env.pop(name, "")
    if not Path(local.env.get("GIT_TEMPLATE_DIR", "")).name.startswith(PREFIX):
        folder = tempfile.mkdtemp(prefix=PREFIX)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        Path(folder, "config").write_text(TEMPORARY, encoding="utf-8")
        local.env.update(_settings(dict(local.env)), GIT_TEMPLATE_DIR=folder)
    # The names of objects in a temporary repository must be of the project's kind.
    if (project / ".git").exists() and (
        kind := ask_git(project, "rev-parse", "--show-object-format")[1].strip()
    ):
        local.env["GIT_DEFAULT_HASH"] = kind


def keep_bytes() -> None:
    """Have Copier keep each byte of what git prints, from the next move on.

    By itself it drops those that aren't of the locale's encoding, and with them letters of a person's lines.
    """
    from plumbum import local

    codecs.register(_codec)
    type(local).custom_encoding = BYTES  # type: ignore[misc]


def holds(content: bytes) -> bool:
    """Whether Copier, as it runs here, keeps each byte of `content` when it reads it from git."""
    from plumbum import local

    encoding = str(local.custom_encoding)
    return content.decode(encoding, "ignore").encode(encoding) == content


def _settings(given: dict[str, str]) -> dict[str, str]:
    """SETTINGS as variables that git reads, after those that stand in `given`."""
    try:
        count = int(given.get("GIT_CONFIG_COUNT") or 0)
    except ValueError:
        return {}  # git says itself what is wrong with it
    added = {"GIT_CONFIG_COUNT": str(count + len(SETTINGS))}
    for number, (key, value) in enumerate(SETTINGS.items(), count):
        added |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    if before := given.get("GIT_CONFIG_PARAMETERS"):  # of a `git -c` in whose hook this runs: it is stronger
        added["GIT_CONFIG_PARAMETERS"] = " ".join(
            [before, *(f"'{key}={value}'" for key, value in SETTINGS.items())]
        )
    return added


def _codec(name: str) -> codecs.CodecInfo | None:
    """UTF-8 in which each byte that isn't of it comes out again as it was, whatever handling of errors is
    asked for.
    """
    if name.replace("_", "-") != BYTES:
        return None

    def encode(text: str, errors: str = "") -> tuple[bytes, int]:
        return text.encode("utf-8", "surrogateescape"), len(text)

    def decode(data: Any, errors: str = "") -> tuple[str, int]:
        return bytes(data).decode("utf-8", "surrogateescape"), len(data)

    return codecs.CodecInfo(encode=encode, decode=decode, name=BYTES)
