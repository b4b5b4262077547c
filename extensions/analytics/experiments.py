"""The plan of an experiment, as it was made before the first unit saw a variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..evolution import experiments as plans

FILE = plans.FILE
WITHOUT_PLAN = 5000  # the sample that intervals are tuned for where none was planned: GrowthBook's default


@dataclass(frozen=True)
class Metric:
    """What is counted of each unit after it saw a variant: conversions of this name. `kind` is rate, the
    share of its units with one conversion at least, or mean, the sum of values a unit.

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


def read(project: Path) -> tuple[list[Experiment], list[str]]:
    """The experiments of `project` in the order of its file, and the names of those that lack a goal, a
    minimal effect, a start or an end, so that nothing can be said of them. Raises Refused.
    """
    known = plans.read(project)
    rest = [name for name, one in known.items() if plans.CODE.missing(one)]
    return [of(name, one) for name, one in known.items() if name not in rest], rest


def of(name: str, given: Mapping[str, Any]) -> Experiment:
    """One experiment from what the file says of it. Raises Refused."""
    control, weights = given["control"], given["variants"]
    where = f"{FILE}, line {given['line']}: {name}"
    # A variant with the weight 0 is shown to nobody.
    shown = {control: weights[control]} | {key: weight for key, weight in weights.items() if weight}
    if len(shown) < 2 or not weights[control]:
        raise Refused(f"{where}: expected the control and another variant, each with a weight above 0")
    started, ended = given.get("started", {}), given.get("ended", {})
    try:
        begins = _time(started.get("at") or given["start"])
        ends = _time(ended["at"]) if ended.get("at") else _time(given["end"]) + timedelta(days=1)
    except (TypeError, ValueError):
        raise Refused(f"{where}: expected `at` as DO=start and DO=stop write it") from None
    if begins >= ends:
        raise Refused(f"{where}: expected a start before the end")
    return Experiment(
        name,
        **{key: given[key] for key in ("hypothesis", "owner", "unit", "flag")},
        variants=shown,
        goal=_metric(given["goal"]),
        guardrails=tuple(map(_metric, given.get("guardrails", ()))),
        effect=plans.CODE.share(given["minimal_effect"]),
        sample=started.get("sample"),
        begins=begins,
        ends=ends,
    )


def _metric(given: Mapping[str, Any]) -> Metric:
    worse, at_most = given.get("worse", "down"), given.get("at_most", 0)
    return Metric(given["conversion"], given["kind"], worse, plans.CODE.share(at_most))


def _time(given: str) -> datetime:
    """A day or a time, in UTC where it names no zone. Raises ValueError, TypeError."""
    time = datetime.fromisoformat(given)
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
