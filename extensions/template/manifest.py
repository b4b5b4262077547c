"""What a layer says of itself in its `_level/level.yml`: what it brings, what it costs, and whom each of its
files belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Entry:
    """Where an entry applies.

    `adopted` and `theirs` are None where it applies either way; see layers.applying.
    """

    adopted: bool | None = field(default=None, kw_only=True)
    theirs: bool | None = field(default=None, kw_only=True)
    # The file without which this one means nothing, and the one whose work it does where that is the
    # person's.
    beside: str | None = field(default=None, kw_only=True)  # `with` in YAML
    instead: str | None = field(default=None, kw_only=True)
    # The group that must not be empty; `for` in YAML.
    services: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class File(Entry):
    path: str  # in the layer, without .jinja
    owner: Literal["yours", "shared", "ours"]
    why: str


@dataclass(frozen=True)
class Target(Entry):
    """A make target."""

    name: str
    does: str
    group: str = ""  # under which `make help` lists it


@dataclass(frozen=True)
class Step(Entry):
    """What a person has to set up once."""

    what: str
    where: str
    why: str


@dataclass(frozen=True)
class Check(Entry):
    """An item of the checklist, by the name of its function in evolution/checks/."""

    key: str


@dataclass(frozen=True)
class Suite:
    """What a commit has to pass at this level: the job of the workflow, what it does, and the make target
    that it runs; of the history it has `depth` commits, all of them for 0.
    """

    job: str
    does: str
    run: str
    depth: int = 2  # the commit before shows what is new


@dataclass(frozen=True)
class Requires:
    """What has to be there: the GitHub plan, and what the person may do."""

    plan: str
    rights: list[str]


@dataclass(frozen=True)
class Manifest:
    level: int
    title: str
    summary: str
    trigger: str | None  # None at the level at which everybody starts
    effort: str
    cost: str
    benefits: list[str]
    requires: Requires
    features: list[str]  # flags that are on from this level
    later: list[str]  # flags that belong to this level and start off
    checks: list[Check]
    setup: list[Step]
    targets: list[Target]
    files: list[File]
    required: list[str] = field(default_factory=list)  # check runs that a merge waits for
    suites: list[Suite] = field(default_factory=list)
    pushes: str | None = None  # the workflow that has the checks of a push from this level on
    dependencies: list[str] = field(default_factory=list)  # that services have beside level 1's
    after_images: str = ""  # steps, as YAML, for the job that has built the images of a push
    not_built: list[str] = field(default_factory=list)  # folders that no image is built from
    runtime: list[str] = field(default_factory=list)  # flags that running services are told of
    # Flags that a script asks for, and the environment for which the workflows have it ask.
    asked: dict[str, str] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)  # of GitHub, which Dependabot leaves to the template
    keeps_running: list[str] = field(default_factory=list)  # after moving down


_NAMES = {"with": "beside", "for": "services"}  # Python reserves the words that YAML has.
_KINDS: dict[str, type[Entry]] = {"checks": Check, "setup": Step, "targets": Target, "files": File}


def manifest(given: Mapping[str, Any]) -> Manifest:
    """The manifest from what its YAML holds.

    Raises TypeError for a key that is missing or that there isn't.
    """
    values = dict(given)
    for key, kind in _KINDS.items():
        values[key] = [
            kind(**{_NAMES.get(name, name): value for name, value in entry.items()}) for entry in given[key]
        ]
    values["suites"] = [Suite(**suite) for suite in given.get("suites", [])]
    values["requires"] = Requires(**given["requires"])
    return Manifest(**values)
