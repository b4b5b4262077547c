"""What the checks look at. Each file is read once, and each question to GitHub is asked once."""

from __future__ import annotations

import functools
import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from ..project.git_and_files import git_says, text_of
from ..source import files
from ..template import answers, layers
from ..template.answers import LOADER
from ..template.place import root
from .code import Code, Tests, read_code, read_tests, start_file
from .sources import github, web


@dataclass(frozen=True)
class Workflow:
    """A workflow of GitHub Actions: its events, what its jobs run, and the secrets that it names."""

    path: str
    events: Mapping[str, Any]
    commands: str
    text: str


@dataclass(frozen=True)
class Said:
    """What GitHub answered: `body` is None where there is no such thing; `why` tells why nothing is known,
    and is empty otherwise.
    """

    body: Any = None
    why: str = ""


class Facts:
    """A project as the checks see it."""

    def __init__(
        self, folder: Path, recorded: Mapping[str, Any], now: datetime, offline: bool = False
    ) -> None:
        self.folder = folder
        self.recorded = recorded
        self.now = now
        self.services = answers.recorded_services(recorded)
        self.web = [service for service in self.services if service["kind"] == "web"]
        self.make = answers.make(recorded)
        self.broken: dict[str, str] = {}  # workflow to why it can't be read
        self.repository = str(recorded.get("repository") or os.environ.get("GITHUB_REPOSITORY", ""))
        self._unreachable = "asked to stay offline" if offline else ""

    @functools.cache  # noqa: B019 (one Facts a run)
    def text(self, path: str) -> str:
        """A file's text; empty where there is none."""
        return text_of(str(self.folder / path))

    def missing(self, path: str) -> str:
        """What to do about a file of the template's that isn't there."""
        level = self._owners.get(path, (0, "", ""))[0]
        if level > self.recorded["level"]:
            return f"`{self.make} upgrade LEVEL={level}` brings {path}"
        if path in self.tracked:
            return f"`git checkout HEAD -- {path}` brings it back"
        deleted = f"git log -1 --diff-filter=D --format=%h -- {path}"
        return (
            f"it was deleted: `git checkout $({deleted})~ -- {path}` brings it back, and with it the"
            " template's changes to come"
        )

    @functools.cached_property
    def tracked(self) -> set[str]:
        """The files that git tracks."""
        return set(git_says(self.folder, "ls-files", "-z").split("\0")) - {""}

    @functools.cached_property
    def workflows(self) -> list[Workflow]:
        """The workflows that can be read; the others are in `broken`."""
        folder = self.folder / ".github" / "workflows"
        names = (
            sorted(path.name for path in folder.iterdir() if path.suffix in (".yml", ".yaml"))
            if folder.is_dir()
            else []
        )
        found = []
        for path in (f".github/workflows/{name}" for name in names):
            text = self.text(path)
            try:
                found.append(_workflow(path, text, yaml.load(text, Loader=LOADER)))
            except (yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError):
                self.broken[path] = f"{path} can't be read as a workflow"
        return found

    @functools.cached_property
    def code(self) -> dict[str, Code]:
        """The person's own code of each service, by the service's name."""
        found: dict[str, list[str]] = {service["name"]: [] for service in self.services}
        # The innermost service has a file: one may stand at ".".
        by_depth = sorted(
            self.services,
            key=lambda service: -1 if service["path"] == "." else len(service["path"]),
            reverse=True,
        )
        for path in self.own_python:
            home = next(
                (s["name"] for s in by_depth if s["path"] == "." or path.startswith(s["path"] + "/")), None
            )
            if home:
                found[home].append(path)
        code = {name: read_code(self.folder, paths) for name, paths in found.items()}
        for service in self.services:
            # Where a wsgi.py beside a package makes its app, the call may stand there.
            start = start_file(self.folder, service)
            if start and start not in found[service["name"]]:
                code[service["name"]].init_calls += read_code(self.folder, [start]).init_calls
        return code

    @functools.cached_property
    def tests(self) -> Tests:
        """What the person's own tests name."""
        ours = {path for path, (_, owner, _) in self._owners.items() if owner == "ours"}
        names = [path for path in self._python if path not in ours and _is_test(posixpath.basename(path))]
        return read_tests(self.folder, names)

    @functools.cached_property
    def _owners(self) -> dict[str, tuple[int, str, str]]:
        """What any level of the template renders: level, owner, why."""
        return layers.owners(root(), self.services, answers.environment_names(self.recorded))

    @functools.cached_property
    def own_python(self) -> list[str]:
        """The Python files that are the person's, without tests and docs."""
        ours = {path for path, (_, owner, _) in self._owners.items() if owner == "ours"}
        return [
            path
            for path in self._python
            if path not in ours and not files.aside(path) and path.split("/")[0] != "ci"
        ]

    @functools.cached_property
    def _python(self) -> list[str]:
        return [posixpath.join(folder, name) for folder, names in files.walk(self.folder) for name in names]

    def ask_github(self, path: str) -> Said:
        """GET repos/OWNER/NAME and `path` of GitHub's API.

        Nothing is asked any more once it gave no answer.
        """
        if not self.repository:
            return Said(why="the project is not on GitHub yet, as far as the answer `repository` says")
        return self._ask(f"repos/{self.repository}{path}")

    @functools.cache  # noqa: B019 (one Facts a run)
    def _ask(self, path: str) -> Said:
        if self._unreachable:
            return Said(why=self._unreachable)
        try:
            body = github.read(path)
        except web.NotMeasured as error:
            self._unreachable = str(error)
            return Said(why=str(error))
        # GitHub says "not found" of what may not be seen, too: then neither is the repository.
        if (
            body is None
            and path != f"repos/{self.repository}"
            and self._ask(f"repos/{self.repository}").body is None
        ):
            return Said(why=f"GitHub knows no {self.repository}, or the token may not see it")
        return Said(body)

    def to_ask(self, command: str) -> str:
        """What a person runs to see what GitHub would have said."""
        if not self.repository:
            return f"push the project to GitHub, and say where: `{self.make} set repository=owner/name`"
        return f"`{command}` shows it; with GITHUB_TOKEN set, or after `gh auth login`, this looks by itself"


def _is_test(name: str) -> bool:
    return name.startswith("test_") or name.endswith("_test.py")


def _workflow(path: str, text: str, content: Any) -> Workflow:
    events = content.get("on", content.get(True))  # to YAML 1.1, `on` is true
    if isinstance(events, str):
        events = [events]
    if isinstance(events, list):
        events = dict.fromkeys(events)
    commands = [
        str(step.get("run", ""))
        for job in content["jobs"].values()
        if job.get("if") not in (False, "false", "${{ false }}")
        for step in job.get("steps") or ()
    ]
    return Workflow(path, dict(events), "\n".join(commands), text)
