"""What a repository says beside its source: installed packages, examples in dotenv files, options in .cfg and
.ini files.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from ..project.git_and_files import text_of
from .clients import schemes

_INI = re.compile(r"^\[([^\]\n]+)\]|^(\w+)[ \t]*[=:][ \t]*([^\n]{0,60})", re.MULTILINE)
# They say nothing of how the service runs.
_TOOLS = {"setup.cfg", "tox.ini", "pytest.ini", "mypy.ini", "alembic.ini"}


def _folders(root: str | Path, path: str) -> list[str]:
    return list(dict.fromkeys([os.path.join(root, path), os.fspath(root)]))


def declared(root: str | Path, path: str) -> set[str]:
    """The names of the packages that the service or the repository always installs; extras are left out."""
    lines: list[str] = []
    for folder in _folders(root, path):
        try:
            names = sorted(os.listdir(folder)) + [
                f"requirements/{name}" for name in sorted(os.listdir(os.path.join(folder, "requirements")))
            ]
        except OSError:
            names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        for name in names:
            if re.fullmatch(
                r"requirements([-_.]\w+)*\.(txt|in)|requirements/[\w.-]+\.(txt|in)", name
            ) and not re.search(r"dev|test|doc|lint", name):
                lines += text_of(os.path.join(folder, name)).splitlines()
        try:
            toml = tomllib.loads(text_of(os.path.join(folder, "pyproject.toml")))
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        project, tool = toml.get("project"), toml.get("tool")
        if isinstance(project, dict) and isinstance(project.get("dependencies"), list):
            lines += [one for one in project["dependencies"] if isinstance(one, str)]
        poetry = tool.get("poetry") if isinstance(tool, dict) else None
        if isinstance(poetry, dict) and isinstance(poetry.get("dependencies"), dict):
            lines += [
                name
                for name, what in poetry["dependencies"].items()
                if not (isinstance(what, dict) and what.get("optional"))
            ]
    declared: set[str] = set()
    for line in lines:
        match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?", line)
        if match:
            declared.add(re.sub(r"[-_.]+", "-", match[1]).lower())
            # Celery[redis].
            declared |= {extra.strip().lower() for extra in (match[2] or "").split(",") if extra.strip()}
    return declared


def examples(root: str | Path, path: str) -> dict[str, set[str]]:
    """The schemes of the variables that a dotenv file gives; nothing else of their values is kept."""
    found: dict[str, set[str]] = {}
    for folder in _folders(root, path):
        for name in (
            ".env.example",
            ".env.sample",
            ".env.template",
            ".env.dist",
            "example.env",
            ".flaskenv",
            ".env",
        ):
            for line in text_of(os.path.join(folder, name)).splitlines():
                match = re.match(r"\s*(?:export\s+)?(\w+)\s*=\s*[\"']?(.{0,60})", line)
                if match:
                    found.setdefault(match[1], set()).update(schemes(match[2]))
    return found


def options(root: str | Path, folders: Iterable[str]) -> dict[str, dict[str, set[str]]]:
    """By section and name, in small letters: the schemes of what the .cfg and .ini files of these folders of
    `root` set.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for folder in folders:
        try:
            names = sorted(os.listdir(os.path.join(root, folder)))
        except OSError:
            continue
        for name in names:
            if name.endswith((".cfg", ".ini")) and name not in _TOOLS:
                here: dict[str, set[str]] = {}
                for match in _INI.finditer(text_of(os.path.join(root, folder, name))):
                    if match[1]:
                        here = found.setdefault(match[1].lower(), {})
                    else:
                        here.setdefault(match[2].lower(), set()).update(schemes(match[3]))
    return found
