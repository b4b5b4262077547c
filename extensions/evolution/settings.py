"""What a person says in config/evolution.yml: what nobody can measure (`declared:`), and where figures come
from (`sources:`).

Both may be missing. What can't be taken is refused with its line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from ..errors import Refused
from ..project.git_and_files import shown
from ..template.answers import has_credentials
from .document import FILE, compose, is_null, mapping, meant, where
from .registry import BOOLEAN, METRICS, RATIO

DECLARED = {name: metric for name, metric in METRICS.items() if metric.source == "declared"}


@dataclass(frozen=True)
class Settings:
    """`declared` are known values in the registry's units, with the line of each in `lines`; the others are
    as in docs/measuring.md.
    """

    declared: dict[str, float | bool] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    environment: str = "production"
    bots: tuple[str, ...] = ()
    workflow: str = ""
    prometheus: str = ""
    queries: dict[str, str] = field(default_factory=dict)  # requests, users, uptime


def read(project: Path) -> Settings:
    """Read the two blocks. Raises Refused, with file and line, for what can't be taken."""
    top = compose(project)
    blocks = {} if top is None else mapping(top, "the file")
    values = _block(blocks, "declared", tuple(DECLARED))
    given = _block(blocks, "sources", ("environment", "bots", "github", "prometheus"))
    known = {
        name: (_declared(name, value, line), line)
        for name, (value, line) in values.items()
        if value is not None
    }
    return Settings(
        declared={name: value for name, (value, _) in known.items()},
        lines={name: line for name, (_, line) in known.items()},
        **_sources(given),
    )


def _block(
    blocks: Mapping[str, tuple[yaml.Node, yaml.Node]], name: str, names: tuple[str, ...]
) -> dict[str, tuple[Any, int]]:
    """The values of a block and their lines; nothing for one that is missing or empty.

    Raises Refused where not only `names` are there.
    """
    if name not in blocks or is_null(blocks[name][1]):
        return {}
    found = {}
    for key, (node, value) in mapping(blocks[name][1], name).items():
        _one_of(f"{where(node)}: {name}", key, names)
        try:
            found[key] = yaml.SafeLoader("").construct_object(value, deep=True), node.start_mark.line + 1
        except (yaml.YAMLError, ValueError) as error:  # such as the 31st of June
            raise Refused(
                f"{where(node)}: {name}.{key}: expected YAML:"
                f" {shown(str(getattr(error, 'problem', None) or error))}"
            ) from None
    return found


def _one_of(place: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise Refused(f"{place}: knows no {shown(name)!r}; {meant(name, names)}")


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
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and value >= 0
        ):
            return float(value)
        expected = "a number such as 10000"
    raise Refused(f"{FILE}:{line}: declared.{name}: expected {expected}, or null, got {_got(value)}")


def _got(value: Any) -> str:
    return shown(str(value) if isinstance(value, str | int | float) else type(value).__name__)[:60]


def _sources(given: dict[str, tuple[Any, int]]) -> dict[str, Any]:
    """The settings of the block `sources`, looked at. Raises Refused."""
    settings: dict[str, Any] = {}
    for name, (value, line) in given.items():
        place = f"{FILE}:{line}: sources.{name}"
        if value is None:
            continue
        if name == "environment":
            if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}", value):
                raise Refused(
                    f"{place}: expected the name of an environment such as production, got {_got(value)}"
                )
            settings["environment"] = value
        elif name == "bots":
            if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
                raise Refused(
                    f"{place}: expected a list of names or addresses, as git has them, got {_got(value)}"
                )
            settings["bots"] = tuple(one.strip() for one in value)
        elif name == "github":
            workflow = _texts(place, value, ("workflow",)).get("workflow", "")
            if workflow and not re.fullmatch(r"[A-Za-z0-9._-]+\.ya?ml", workflow):
                raise Refused(
                    f"{place}.workflow: expected a file of .github/workflows such as deploy.yml, got"
                    f" {_got(workflow)}"
                )
            settings["workflow"] = workflow
        else:
            queries = _texts(
                place,
                {"url": value} if isinstance(value, str) else value,
                ("url", "requests", "users", "uptime"),
            )
            if "url" in queries:  # from level 3 on it is known without
                settings["prometheus"] = _address(f"{place}.url", queries.pop("url"))
            settings["queries"] = queries
    return settings


def _texts(place: str, value: Any, names: tuple[str, ...]) -> dict[str, str]:
    """A mapping of some of `names` to texts. Raises Refused."""
    if not isinstance(value, dict):
        raise Refused(f"{place}: expected {' and '.join(names)} below it, got {_got(value)}")
    for name, text in value.items():
        _one_of(place, str(name), names)
        if not isinstance(text, str) or not text.strip():
            raise Refused(f"{place}.{name}: expected a text, got {_got(text)}")
    return {name: text.strip() for name, text in value.items()}


def _address(place: str, url: str) -> str:
    try:
        fine = (
            urlsplit(url).scheme in ("http", "https")
            and bool(urlsplit(url).hostname)
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        fine = False
    if not fine:
        raise Refused(
            f"{place}: expected an address such as http://prometheus:9090, got"
            f" {_got(re.sub('//[^/@]*@', '//...@', url))}"
        )
    if has_credentials(url):
        raise Refused(
            f"{place}: holds a user or a password, and this file is no place for it; let the network decide"
            " who may ask"
        )
    return url.rstrip("/")
