"""The live checklist, `levels todo`: what a level needs, and how it stands in this project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..project.git_and_files import shown
from ..template import answers, layers
from ..template.manifest import Manifest
from ..template.place import root
from . import checks, roadmap
from .checks import State
from .facts import Facts

# What the original calls differently in config/evolution.yml and in config/feature-flags.yml.
FLAG_OF = {"automated_testing": "basic_testing", "monitoring": "monitoring_dashboards"}
MARKS: dict[State, str] = {"done": "[x]", "todo": "[ ]", "n/a": "[-]", "unknown": "[?]", "exempt": "[~]"}


@dataclass(frozen=True)
class Item:
    """One item: the level that asks for it, how it stands, why it matters, what to do, and what was seen."""

    level: int
    key: str
    title: str
    state: State
    why: str
    fix: str
    detail: str


def check(
    project: Path,
    recorded: Mapping[str, Any],
    level: int | None = None,
    *,
    now: datetime | None = None,
    offline: bool = False,
) -> list[Item]:
    """The items of the levels up to `level`, or to the recorded one, in the order of the manifests.

    Raises Refused for a config/evolution.yml that can't be read, and for an exemption from something that is
    no item.
    """
    manifests = layers.manifests(root())
    exempt = roadmap.read(project, len(manifests)).exempt
    known = [entry.key for manifest in manifests for entry in manifest.checks]
    for key, reason in exempt.items():
        roadmap.refuse_unknown(reason.where, "exempt:", key, known)
    facts = Facts(project, recorded, now or datetime.now(UTC), offline)
    applying = layers.applying(root(), {**recorded, "services": facts.services})
    up_to = recorded["level"] if level is None else level
    return [
        _item(manifest.level, entry.key, facts, exempt)
        for manifest in applying
        if manifest.level <= up_to
        for entry in manifest.checks
    ]


def _item(level: int, key: str, facts: Facts, exempt: Mapping[str, roadmap.Line]) -> Item:
    one = checks.of_level(level, key)
    answer = one(facts)
    if key in exempt and answer.state in ("todo", "unknown"):
        answer = checks.Answer("exempt", exempt[key].text)
    return Item(level, key, checks.title(one), answer.state, checks.why(one), answer.fix, answer.detail)


@dataclass(frozen=True)
class Wanted:
    """A feature that the person wants on the road.

    `level` brings it, or a later version at level `later` will.
    """

    feature: str
    flag: str
    level: int | None
    here: bool
    later: int | None


@dataclass(frozen=True)
class Report:
    """The checklist of a project: the items up to level `held_to` count, those up to the target level are
    looked ahead to.
    """

    project: str
    level: int
    held_to: int
    target_level: int | None
    items: list[Item]
    wanted: list[Wanted]
    titles: dict[int, str]  # of the levels that have items

    @property
    def counts(self) -> dict[State, int]:
        return dict(Counter(item.state for item in self.items if item.level <= self.held_to))

    @property
    def passed(self) -> bool:
        return not self.counts.get("todo")

    def as_json(self) -> dict[str, Any]:
        """The document of `levels todo --json`."""
        items = [{**asdict(item), "ahead": item.level > self.held_to} for item in self.items]
        return {**asdict(self), "passed": self.passed, "counts": self.counts, "items": items}


def report(project: Path, recorded: Mapping[str, Any], level: int | None, *, offline: bool = False) -> Report:
    """The checklist up to `level`, or to the recorded one. Raises Refused as `check` does."""
    manifests = layers.manifests(root())
    aim = roadmap.read(project, len(manifests))
    held_to = recorded["level"] if level is None else level
    target = min(recorded["level"] + 1, len(manifests)) if aim.next_level else aim.target_level
    highest = max(held_to, target)
    return Report(
        project=recorded["project_name"],
        level=recorded["level"],
        held_to=held_to,
        target_level=target or None,
        items=check(project, recorded, highest, offline=offline),
        wanted=[_wanted(name, manifests, recorded["level"]) for name in aim.wanted],
        titles={manifest.level: manifest.title for manifest in manifests if manifest.level <= highest},
    )


def _wanted(name: str, manifests: list[Manifest], level: int) -> Wanted:
    flag = FLAG_OF.get(name, name)
    brought = next((manifest.level for manifest in manifests if flag in manifest.features), None)
    later = next((manifest.level for manifest in manifests if flag in manifest.later), None)
    return Wanted(name, flag, brought, brought is not None and brought <= level, later)


def text(seen: Report, recorded: Mapping[str, Any]) -> str:
    """A report for people. What comes from the project is escaped."""
    make = answers.make(recorded)
    names: dict[State, str] = {
        "done": "done",
        "todo": "to do",
        "unknown": "unknown",
        "exempt": "exempt",
        "n/a": "don't apply",
    }
    if seen.counts.get("n/a") == 1:
        names["n/a"] = "doesn't apply"
    counts = [f"{seen.counts[state]} {name}" for state, name in names.items() if seen.counts.get(state)]
    lines = [f"{seen.project}, held to level {seen.held_to}: {', '.join(counts)}"]
    for level, title in seen.titles.items():
        ahead = level > seen.held_to
        lines += [
            "",
            f"Level {level}, {title}" + (f" (ahead: `{make} preview LEVEL={level}`)" if ahead else ""),
        ]
        for item in seen.items:
            if item.level == level:
                lines += _lines(item, brief=ahead)
    for wanted in seen.wanted:
        if not wanted.here:
            where = f"comes with level {wanted.level}" if wanted.level else "no level brings it"
            where = f"a later version brings it, at level {wanted.later}" if wanted.later else where
            lines += ["", f"Wanted: {shown(wanted.feature)}: {where}"]
    return "\n".join(lines)


def _lines(item: Item, brief: bool) -> list[str]:
    lines = [f"  {MARKS[item.state]} {item.title}"]
    if brief:
        return lines
    if item.state not in ("todo", "unknown"):
        return [*lines, *_told("", item.detail)]
    return [*lines, *_told("why   ", item.why), *_told("seen  ", item.detail), *_told("do    ", item.fix)]


def _told(label: str, text: str) -> list[str]:
    """Lines below an item: the first one bears the label."""
    return [
        f"        {' ' * len(label) if number else label}{shown(line)}"
        for number, line in enumerate(text.splitlines())
    ]
