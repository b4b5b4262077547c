"""What to propose for the answers that aren't about services, from the project's settings and from git."""

from __future__ import annotations

import keyword
import os
import re
import sys
import tomllib
from pathlib import Path

from ..project.git_and_files import ask_git, text_of
from ..template.answers import DEVICES, YAML_WORDS

RESERVED = {*YAML_WORDS, *DEVICES, *keyword.kwlist}


def kebab(text: str) -> str:
    """`text` as a name that the door takes; empty where nothing of it is left."""
    name = re.sub(r"-+", "-", re.sub(r"[^a-z0-9-]", "", re.sub(r"[_ .]", "-", text.lower()))).strip("-")
    name = f"service-{name}" if name[:1].isdigit() else name
    return f"{name}-service" if name in RESERVED else name[:45].rstrip("-")  # leaves room for a number


def propose(root: Path) -> dict[str, str]:
    """project_name, repository, default_branch, python_version as the project shows them, or defaults.

    Never raises.
    """
    repository, branch = _from_git(root)
    return {
        "project_name": kebab(os.path.basename(os.path.realpath(root))) or "my-service",
        "repository": repository,
        "default_branch": branch,
        "python_version": _python_version(root),
    }


def _from_git(root: Path) -> tuple[str, str]:
    """("owner/name" or "", the default branch), from the repository whose root this is."""
    if not os.path.exists(os.path.join(root, ".git")):
        return "", "main"
    url = ask_git(root, "config", "--get", "remote.origin.url")[1].strip()
    # A token in front of the @ is dropped with the rest of the address.
    host = r"(?:https://(?:[^/@]*@)?(?:www\.)?github\.com/|ssh://(?:[^/@]*@)?github\.com(?::\d+)?/|[\w-]+@github\.com:/?)"
    match = re.fullmatch(
        host + r"([A-Za-z0-9][A-Za-z0-9-]{0,38})/([A-Za-z0-9._-]{1,100}?)(?:\.git)?/?", url, re.IGNORECASE
    )
    repository = f"{match[1]}/{match[2]}" if match and match[2].strip(".") else ""
    named = ask_git(root, "symbolic-ref", "-q", "refs/remotes/origin/HEAD")[1].strip()
    branch = named.removeprefix("refs/remotes/origin/") or _current_branch(root)
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*", branch)
    usable = plain and len(branch) <= 100 and ".." not in branch and not branch.endswith((".", ".lock"))
    return repository, branch if usable else "main"


def _current_branch(root: Path) -> str:
    """The branch that .git/HEAD names, also where it has no commit yet; empty for a detached one."""
    folder = os.path.join(root, ".git")
    if os.path.isfile(folder):  # a worktree or a submodule
        folder = os.path.join(root, text_of(folder).removeprefix("gitdir:").strip())
    head = text_of(os.path.join(folder, "HEAD"))
    return head[16:].strip() if head.startswith("ref: refs/heads/") else ""


def _python_version(root: Path) -> str:
    """The lowest Python that the project says it takes, else the one that runs this; held between 3.11 and
    3.14.
    """
    said = ""
    try:
        toml = tomllib.loads(text_of(os.path.join(root, "pyproject.toml")))
        said = _at(toml, "project", "requires-python") or _at(
            toml, "tool", "poetry", "dependencies", "python"
        )
    except (tomllib.TOMLDecodeError, RecursionError):
        pass
    for file in ("setup.cfg", "setup.py"):
        match = re.search(
            r"^\s*python_requires\s*=\s*[\"']?([^\"'#\n]*)", text_of(os.path.join(root, file)), re.M
        )
        said = said or (match[1] if match else "")
    if not said:
        match = re.match(r"(?:cpython-)?(3\.\d+)", text_of(os.path.join(root, ".python-version")))
        said = match[1] if match else ""
    lowest = []
    for alternative in said.split("||"):
        lower = re.sub(r"(<=?|!=)\s*[\w.*]+", "", alternative)
        bounds = re.findall(r"(?:^|[\s,]|==|~=|>=|[>^~])\s*v?(\d{1,4})(?:\.(\d{1,4}))?", lower)
        lowest += [max((int(major), int(minor or 0)) for major, minor in bounds)] if bounds else []
    here = (sys.version_info[0], sys.version_info[1])  # a new project takes what is here
    major, minor = min(max(min(lowest, default=here), (3, 11)), (3, 14))
    return f"{major}.{minor}"


def _at(value: object, *keys: str) -> str:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
