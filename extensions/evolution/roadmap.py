"""config/evolution.yml, read with its lines: where the project is heading, and what it does without.

What metrics need: settings.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import Refused
from ..project.git_and_files import shown
from .document import compose, is_null, mapping, meant, where

NEXT = "next"  # the level after the project's: the line need not change with the level
KEYS = ("current_level", "target_level", "features", "roadmap", "exempt", "declared", "sources")


@dataclass(frozen=True)
class Line:
    """A text of the file, and where it stands: `config/evolution.yml:12`."""

    text: str
    where: str


@dataclass(frozen=True)
class Heading:
    """What a person has put there.

    `target_level` is 0 where none is set, or `next`; `wanted` are the features that are true.
    """

    target_level: int = 0
    next_level: bool = False
    wanted: tuple[str, ...] = ()
    roadmap: dict[int, Line] = field(default_factory=dict)
    exempt: dict[str, Line] = field(default_factory=dict)


def read(project: Path, levels: int) -> Heading:
    """Where the project at `project` is heading, in a template of so many levels; nowhere in particular where
    the file is missing.

    Raises Refused, with the line, for what can't be read or isn't known. What stands under `declared` and
    `sources` is not looked at here: settings.py does.
    """
    top = compose(project)
    sections = {} if top is None else _known(top)
    target = sections.get("target_level")
    following = target is not None and _scalar(target) == NEXT
    return Heading(
        target_level=0 if target is None or following or is_null(target) else _level(target, levels),
        next_level=following,
        wanted=tuple(name for name, node in _section(sections, "features").items() if _truth(name, node)),
        roadmap=_roadmap(_section(sections, "roadmap"), levels),
        exempt={key: _reason(key, node) for key, node in _section(sections, "exempt").items()},
    )


def refuse_unknown(place: str, what: str, name: str, known: Iterable[str]) -> None:
    """Raises Refused with a did-you-mean for a name that isn't among the known ones."""
    known = list(known)
    if name not in known:
        raise Refused(f"{place}: {what} {shown(name[:60])} is not known; {meant(name, known)}")


def _known(top: yaml.Node) -> dict[str, yaml.Node]:
    found = mapping(top, "the file")
    for name, (key, _) in found.items():
        refuse_unknown(where(key), "the key", name, KEYS)
    return {name: value for name, (_, value) in found.items()}


def _section(sections: dict[str, yaml.Node], name: str) -> dict[str, yaml.Node]:
    node = sections.get(name)
    return (
        {}
        if node is None or is_null(node)
        else {key: value for key, (_, value) in mapping(node, name).items()}
    )


def _scalar(node: yaml.Node) -> Any:
    """What a plain value is to YAML; None for what is none, such as a list or the 31st of June."""
    try:
        return yaml.SafeLoader("").construct_object(node) if isinstance(node, yaml.ScalarNode) else None
    except (ValueError, yaml.YAMLError):
        return None


def _level(node: yaml.Node, levels: int) -> int:
    value = _scalar(node)
    if type(value) is not int or not 1 <= value <= levels:
        raise Refused(f"{where(node)}: target_level: expected {NEXT} or a level from 1 to {levels}")
    return value


def _truth(name: str, node: yaml.Node) -> bool:
    value = _scalar(node)
    if not isinstance(value, bool):
        raise Refused(f"{where(node)}: features: {shown(name[:60])}: expected true or false")
    return value


def _roadmap(section: dict[str, yaml.Node], levels: int) -> dict[int, Line]:
    names = {f"level_{level}_trigger": level for level in range(2, levels + 1)}
    found = {}
    for name, node in section.items():
        refuse_unknown(where(node), "the trigger", name, names)
        if is_null(node):  # nothing is written there: the manifest's own counts
            continue
        if not isinstance(node, yaml.ScalarNode):
            raise Refused(f"{where(node)}: {name}: expected a condition such as team_size > 2")
        found[names[name]] = Line(node.value, f"{where(node)}: {name}")
    return found


def _reason(key: str, node: yaml.Node) -> Line:
    value = _scalar(node)
    if not isinstance(value, str) or not value.strip():
        raise Refused(
            f"{where(node)}: exempt: {shown(key[:60])}: expected the reason, as in `{shown(key[:60])}: we"
            " have no API`"
        )
    return Line(" ".join(value.split()), where(node))
