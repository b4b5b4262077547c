"""The plan of an experiment, as it was made before the first unit saw a variant: config/experiments.yml.

What may stand in the file is checked where the project works with it, with line numbers; here it is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from ..errors import Refused

FILE = "config/experiments.yml"
# The figure of a variant: the share of its units with one conversion at least, or the sum of values a unit.
KINDS = ("rate", "mean")
WITHOUT_PLAN = 5000  # the sample that intervals are tuned for where none was planned: GrowthBook's default


@dataclass(frozen=True)
class Metric:
    """What is counted of each unit after it saw a variant: conversions of this name.

    `worse` is the direction that is, "up" or "down". `at_most` is how much worse a guardrail may get, as a
    share of the control's figure.
    """

    name: str
    kind: str = "rate"
    worse: str = "down"
    at_most: float = 0.0


@dataclass(frozen=True)
class Experiment:
    """One experiment. `variants` are weights by name, the control first. `effect` is the smallest change
    worth finding, as a share of the control's figure, and `sample` the planned number of units in all
    variants together, None where none was planned. It runs from `begins` until before `ends`, in UTC.
    """

    name: str
    hypothesis: str
    owner: str
    unit: str
    flag: str
    variants: Mapping[str, float]
    goal: Metric
    guardrails: tuple[Metric, ...]
    effect: float
    sample: int | None
    begins: datetime
    ends: datetime

    @property
    def control(self) -> str:
        return next(iter(self.variants))

    @property
    def treatments(self) -> tuple[str, ...]:
        return tuple(self.variants)[1:]

    @property
    def tuned(self) -> int:
        """The number of units for which intervals are nearly the narrowest."""
        return self.sample or WITHOUT_PLAN


class _Loader(yaml.SafeLoader):
    """YAML in which `on`, `off` and days are texts: they are names of variants here."""


_PLAIN = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    key: [one for one in pairs if one[0] not in _PLAIN]
    for key, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(project: Path) -> tuple[list[Experiment], list[str]]:
    """The experiments of `project` in the order of its file, and the names of those that lack a goal, a
    minimal effect, a start or an end, so that nothing can be said of them.

    Raises Refused for a file that can't be taken.
    """
    try:
        given = yaml.load((project / FILE).read_text(encoding="utf-8-sig"), _Loader)
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())[:200]
        raise Refused(f"{FILE}: expected a file of YAML ({said})") from None
    named = (given.get("experiments") if isinstance(given, dict) else given) or {}
    if not isinstance(named, dict):
        raise Refused(f"{FILE}: expected `experiments:` with experiments by name")
    planned, rest = [], []
    for name, one in named.items():
        lacks = [key for key in ("goal", "minimal_effect", "start", "end") if not _has(one, key)]
        if lacks:
            rest.append(str(name))
        else:
            planned.append(of(str(name), one))
    return planned, rest


def _has(given: Any, key: str) -> bool:
    return not isinstance(given, dict) or given.get(key) is not None


def of(name: str, given: Any) -> Experiment:
    """One experiment from its keys. Raises Refused."""
    where = f"{FILE}: {name}"
    try:
        control = str(given["control"])
        weights = {str(variant): float(weight) for variant, weight in given["variants"].items()}
        started, ended = given.get("started") or {}, given.get("ended") or {}
        planned = started.get("sample") or (started.get("plan") or {}).get("sample") or given.get("sample")
        one = Experiment(
            name,
            hypothesis=str(given.get("hypothesis", "")),
            owner=str(given.get("owner", "")),
            unit=str(given.get("unit", "user")),
            flag=str(given.get("flag", name)),
            # A variant with the weight 0 is shown to nobody.
            variants={control: weights[control]} | {key: weight for key, weight in weights.items() if weight},
            goal=_metric(given["goal"]),
            guardrails=tuple(_metric(one) for one in given.get("guardrails") or ()),
            effect=_share(given["minimal_effect"]),
            sample=int(planned) if planned else None,
            begins=_time(started.get("at") or given["start"]),
            ends=_time(ended["at"]) if ended.get("at") else _time(given["end"]) + timedelta(days=1),
        )
    except KeyError as error:
        raise Refused(f"{where}: expected the key {error}") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Refused(f"{where}: expected a plan as docs/analytics.md has it ({error})") from None
    if len(one.variants) < 2 or not all(
        math.isfinite(weight) and weight > 0 for weight in one.variants.values()
    ):
        raise Refused(f"{where}: expected the control and another variant, each with a weight above 0")
    if one.effect <= 0 or one.begins >= one.ends:
        raise Refused(f"{where}: expected a minimal_effect above 0, and a start before the end")
    return one


def _metric(given: Any) -> Metric:
    """Raises KeyError, TypeError, ValueError."""
    one = Metric(
        str(given["conversion"]),
        given["kind"],
        given.get("worse", "down"),
        _share(given["at_most"]) if given.get("at_most") is not None else 0.0,
    )
    if one.kind not in KINDS or one.worse not in ("up", "down"):
        raise ValueError(f"{one.name}: kind is {' or '.join(KINDS)}, worse is up or down")
    return one


def _share(given: Any) -> float:
    """A share such as 5% or 0.05. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", str(given))
    if not found:
        raise ValueError(f"a share such as 5%, got {given!r:.40}")
    return float(found[1]) / (100 if found[2] else 1)


def _time(given: Any) -> datetime:
    """A day or a time, in UTC where it names no zone. Raises ValueError, TypeError."""
    if isinstance(given, date):
        given = given.isoformat()
    time = datetime.fromisoformat(given)
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
