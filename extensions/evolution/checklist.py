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
    project: Path, recorded: Mapping[str, Any], level: int | None = None, *, now: datetime | None = None, offline: bool = False
) -> list[Item]:
    """The items of the levels up to `level`, or to the recorded one, in the order of the manifests.

    Raises Refused for a config/evolution.yml that can't be read, and for an exemption from something that is no item.
    """
    manifests = layers.manifests(root())
    exempt = roadmap.read(project, len(manifests)).exempt
    known = [entry["key"] for manifest in manifests for entry in manifest["checks"]]
    for key, reason in exempt.items():
        roadmap.refuse_unknown(reason.where, "exempt:", key, known)
    facts = Facts(project, recorded, now or datetime.now(UTC), offline)
    applying = layers.applying(root(), {**recorded, "services": facts.services})
    up_to = recorded["level"] if level is None else level
    return [
        _item(manifest["level"], entry["key"], facts, exempt)
        for manifest in applying
        if manifest["level"] <= up_to
        for entry in manifest["checks"]
    ]


def _item(level: int, key: str, facts: Facts, exempt: Mapping[str, roadmap.Line]) -> Item:
    one = checks.of_level(level, key)
    answer = one(facts)
    if key in exempt and answer.state in ("todo", "unknown"):
        answer = checks.Answer("exempt", exempt[key].text)
    return Item(level, key, checks.title(one), answer.state, checks.why(one), answer.fix, answer.detail)


def report(project: Path, recorded: Mapping[str, Any], level: int | None, *, offline: bool = False) -> dict[str, Any]:
    """The document of `levels todo --json`: the items up to `level` count; those up to the target level are looked ahead to."""
    manifests = layers.manifests(root())
    aim = roadmap.read(project, len(manifests))
    held = recorded["level"] if level is None else level
    target = min(recorded["level"] + 1, len(manifests)) if aim.next_level else aim.target_level
    highest = max(held, target)
    items = check(project, recorded, highest, offline=offline)
    return {
        "project": recorded["project_name"],
        "level": recorded["level"],
        "held_to": held,
        "target_level": target or None,
        "passed": all(item.state != "todo" for item in items if item.level <= held),
        "counts": dict(Counter(item.state for item in items if item.level <= held)),
        "items": [{**asdict(item), "ahead": item.level > held} for item in items],
        "wanted": [_wanted(name, manifests, recorded["level"]) for name in aim.wanted],
        "titles": {manifest["level"]: manifest["title"] for manifest in manifests if manifest["level"] <= highest},
    }


def _wanted(name: str, manifests: list[layers.Manifest], level: int) -> dict[str, Any]:
    """A feature that the person wants on the road, with the level that brings it, or that will in a later version."""
    flag = FLAG_OF.get(name, name)
    brought = next((manifest["level"] for manifest in manifests if flag in manifest["features"]), None)
    later = next((manifest["level"] for manifest in manifests if flag in manifest["later"]), None)
    return {"feature": name, "flag": flag, "level": brought, "here": brought is not None and brought <= level, "later": later}


def text(seen: Mapping[str, Any], recorded: Mapping[str, Any]) -> str:
    """A report for people. What comes from the project is escaped."""
    make = answers.make(recorded)
    names: dict[State, str] = {"done": "done", "todo": "to do", "unknown": "unknown", "exempt": "exempt", "n/a": "don't apply"}
    counts = [f"{seen['counts'][state]} {name}" for state, name in names.items() if seen["counts"].get(state)]
    lines = [f"{seen['project']}, held to level {seen['held_to']}: {', '.join(counts)}"]
    for level, title in seen["titles"].items():
        items = [item for item in seen["items"] if item["level"] == level]
        ahead = level > seen["held_to"]
        lines += ["", f"Level {level}, {title}" + (f" (ahead: `{make} preview LEVEL={level}`)" if ahead else "")]
        for item in items:
            lines += _lines(item, brief=ahead)
    for wanted in seen["wanted"]:
        if not wanted["here"]:
            where = f"comes with level {wanted['level']}" if wanted["level"] else "no level brings it"
            where = f"a later version brings it, at level {wanted['later']}" if wanted["later"] else where
            lines += ["", f"Wanted: {shown(wanted['feature'])}: {where}"]
    return "\n".join(lines)


def _lines(item: Mapping[str, Any], brief: bool) -> list[str]:
    lines = [f"  {MARKS[item['state']]} {item['title']}"]
    if brief:
        return lines
    if item["state"] not in ("todo", "unknown"):
        return [*lines, *_told("", item["detail"])]
    return [*lines, *_told("why   ", item["why"]), *_told("seen  ", item["detail"]), *_told("do    ", item["fix"])]


def _told(label: str, text: str) -> list[str]:
    """Lines below an item: the first one bears the label."""
    return [f"        {' ' * len(label) if number else label}{shown(line)}" for number, line in enumerate(text.splitlines())]
