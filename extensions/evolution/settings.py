"""What a person says in config/evolution.yml: what nobody can measure (`declared:`), and where figures come from (`sources:`).

Both may be missing. What can't be taken is refused with its line.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from ..answers import Refused, has_credentials
from ..disk import shown
from .registry import BOOLEAN, METRICS, RATIO

FILE = "config/evolution.yml"
DECLARED = {name: metric for name, metric in METRICS.items() if metric.source == "declared"}


@dataclass(frozen=True)
class Settings:
    """`declared` are known values in the registry's units, with the line of each in `lines`; the others are as in docs/measuring.md."""

    declared: dict[str, float | bool] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    environment: str = "production"
    bots: tuple[str, ...] = ()
    workflow: str = ""
    prometheus: str = ""
    queries: dict[str, str] = field(default_factory=dict)  # requests, users, uptime


def read(project: Path) -> Settings:
    """Read the two blocks. Raises Refused, with file and line, for what can't be taken."""
    try:
        text = (project / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError):
        raise Refused(f"{FILE}: expected a text file in UTF-8") from None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        blocks = {key: (value, line) for key, value, line in _entries(root, "")} if root else {}
        declared = list(_block(blocks.get("declared"), "declared", tuple(DECLARED)))
        sources = list(_block(blocks.get("sources"), "sources", ("environment", "bots", "github", "prometheus")))
        values = {key: (loader.construct_object(node, deep=True), line) for key, node, line in declared}
        given = {key: (loader.construct_object(node, deep=True), line) for key, node, line in sources}
    except Refused:
        raise
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Refused(f"{FILE}:{line}: expected YAML, got {shown(error.problem or 'something else')}") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise Refused(f"{FILE}: expected YAML") from None
    known = {name: (_declared(name, value, line), line) for name, (value, line) in values.items() if value is not None}
    return Settings(
        declared={name: value for name, (value, _) in known.items()},
        lines={name: line for name, (_, line) in known.items()},
        **_sources(given),
    )


def _entries(node: yaml.Node, where: str) -> Iterator[tuple[str, yaml.Node, int]]:
    """Keys, values and lines of a mapping. Raises Refused for anything else, and for a key that stands there twice."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise Refused(f"{FILE}:{line}: {where or 'the file'}: expected keys and values")
    seen = set()
    for key, value in node.value:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
        if name in seen:
            raise Refused(f"{FILE}:{key.start_mark.line + 1}: {shown(name)} stands there twice")
        seen.add(name)
        yield name, value, key.start_mark.line + 1


def _block(found: tuple[yaml.Node, int] | None, where: str, names: tuple[str, ...]) -> Iterator[tuple[str, yaml.Node, int]]:
    """The entries of a block, of which only `names` may be there; nothing for a block that is missing or empty. Raises Refused."""
    if found is None or (isinstance(found[0], yaml.ScalarNode) and found[0].tag == "tag:yaml.org,2002:null"):
        return
    for name, value, line in _entries(found[0], where):
        _one_of(f"{FILE}:{line}: {where}", name, names)
        yield name, value, line


def _one_of(where: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        meant = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}"
        raise Refused(f"{where}: knows no {shown(name)!r}; {meant}")


def _declared(name: str, value: Any, line: int) -> float | bool:
    """A declared value in the registry's unit. Raises Refused."""
    dimension = DECLARED[name].dimension
    if dimension is BOOLEAN:
        if isinstance(value, bool):
            return value
        expected = "true or false"
    elif dimension is RATIO:
        percent = re.fullmatch(r"(\d{1,3}(?:\.\d{1,10})?)\s*%", value) if isinstance(value, str) else None
        if percent and float(percent[1]) <= 100:
            # Computed as in a trigger: the same text must give the same float, or 99.9% were more than 99.9%.
            return float(percent[1]) * RATIO.units["%"]
        expected = "a share of 100 such as 99.9%"
    else:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
            return float(value)
        expected = "a number such as 10000"
    raise Refused(f"{FILE}:{line}: declared.{name}: expected {expected}, or null, got {_got(value)}")


def _got(value: Any) -> str:
    return shown(str(value) if isinstance(value, str | int | float) else type(value).__name__)[:60]


def _sources(given: dict[str, tuple[Any, int]]) -> dict[str, Any]:
    """The settings of the block `sources`, looked at. Raises Refused."""
    settings: dict[str, Any] = {}
    for name, (value, line) in given.items():
        where = f"{FILE}:{line}: sources.{name}"
        if value is None:
            continue
        if name == "environment":
            if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}", value):
                raise Refused(f"{where}: expected the name of an environment such as production, got {_got(value)}")
            settings["environment"] = value
        elif name == "bots":
            if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
                raise Refused(f"{where}: expected a list of names or addresses, as git has them, got {_got(value)}")
            settings["bots"] = tuple(one.strip() for one in value)
        elif name == "github":
            workflow = _texts(where, value, ("workflow",)).get("workflow", "")
            if workflow and not re.fullmatch(r"[A-Za-z0-9._-]+\.ya?ml", workflow):
                raise Refused(f"{where}.workflow: expected a file of .github/workflows such as deploy.yml, got {_got(workflow)}")
            settings["workflow"] = workflow
        else:
            queries = _texts(where, {"url": value} if isinstance(value, str) else value, ("url", "requests", "users", "uptime"))
            settings["prometheus"] = _address(f"{where}.url", queries.pop("url", ""))
            settings["queries"] = queries
    return settings


def _texts(where: str, value: Any, names: tuple[str, ...]) -> dict[str, str]:
    """A mapping of some of `names` to texts. Raises Refused."""
    if not isinstance(value, dict):
        raise Refused(f"{where}: expected {' and '.join(names)} below it, got {_got(value)}")
    for name, text in value.items():
        _one_of(where, str(name), names)
        if not isinstance(text, str) or not text.strip():
            raise Refused(f"{where}.{name}: expected a text, got {_got(text)}")
    return {name: text.strip() for name, text in value.items()}


def _address(where: str, url: str) -> str:
    try:
        fine = urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname) and url.isprintable() and " " not in url
    except ValueError:
        fine = False
    if not fine:
        raise Refused(f"{where}: expected an address such as http://prometheus:9090, got {_got(re.sub('//[^/@]*@', '//...@', url))}")
    if has_credentials(url):
        raise Refused(f"{where}: holds a user or a password, and this file is no place for it; let the network decide who may ask")
    return url.rstrip("/")
