"""The Python files of a project: finding them, and parsing one without importing it."""

from __future__ import annotations

import ast
import io
import os
import posixpath
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

from ..project.git_and_files import LARGEST, is_file, is_folder

# And hidden folders, see walk.
SKIPPED = {"venv", "node_modules", "__pycache__", "build", "dist", "site-packages"}
TESTS = {"tests", "test", "docs", "doc"}
OTHER_REPOSITORY = "a git repository of its own, such as a submodule"


def walk(root: str | Path, refused: list[tuple[str, str]] | None = None) -> Iterator[tuple[str, list[str]]]:
    """Each folder (POSIX path from `root`, which itself is empty) with the names of its Python files; both
    sorted.

    `refused` is given what isn't read, as it is met: path and reason, of a folder or of a name that leads to
    no file. A folder that is a repository of its own (a submodule, a clone, a worktree) isn't the project's.
    """
    refused = [] if refused is None else refused
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except (OSError, ValueError) as error:
            refused.append((folder or ".", getattr(error, "strerror", None) or str(error)))
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):  # a virtual environment under another name
            continue
        if folder and any(entry.name == ".git" for entry in entries):
            refused.append((folder, OTHER_REPOSITORY))
            continue
        python = [e for e in entries if e.name.endswith(".py")]
        files = [e.name for e in python if is_file(e)]
        yield folder, files
        if len(files) < len(python):
            others = [e for e in python if e.name not in files and not is_folder(e)]
            reasons = ("a symlink that leads to no file" if e.is_symlink() else "not a file" for e in others)
            refused += [
                (posixpath.join(folder, e.name), reason) for e, reason in zip(others, reasons, strict=True)
            ]
        below = [
            e.name for e in entries if e.name[0] != "." and e.name not in SKIPPED and is_folder(e, False)
        ]
        folders += [posixpath.join(folder, name) for name in reversed(below)]


def aside(file: str) -> bool:
    """Tests and docs say nothing about services.

    A folder of services/ may bear any name: services/docs is one.
    """
    *folders, name = file.split("/")
    inner = folders[2:] if folders[:1] == ["services"] else folders
    return (
        not TESTS.isdisjoint(inner)
        or name == "conftest.py"
        or name.startswith("test_")
        or name.endswith("_test.py")
    )


def theirs(root: Path, path: str) -> bool:
    """Whether the folder `path` of the project holds Python files already, tests aside."""
    if ".." in path.split("/"):
        return False
    here = "" if path == "." else path
    folders = walk(os.path.join(root, path))
    return any(not aside(posixpath.join(here, folder, name)) for folder, names in folders for name in names)


def parsed(text: bytes, largest: int = LARGEST) -> ast.Module:
    """The tree of a module. Raises whatever ast.parse does, and ValueError for more than `largest` bytes."""
    if len(text) > largest:
        raise ValueError(f"more than {largest:,} bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in their strings
        return ast.parse(text)


def decoded(content: bytes) -> str:
    """The text of a module, by its BOM or PEP 263 cookie, else UTF-8.

    Raises SyntaxError, LookupError or ValueError.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    return content.decode(encoding)
