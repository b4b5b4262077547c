"""The detector, `levels evolution`: which level is due, from what the project measures of itself.

A trigger is due once it holds now and held on each of the last four Mondays. Metrics with a history count
there as they were then; what is declared or has none, as it is now. Only the next level is recommended, and
only once nothing of this level's checklist is to do. docs/evolution.md has the rules,
docs/decisions/0019-a-level-is-due-after-four-mondays.md their reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..template import answers, layers
from ..template.manifest import Manifest
from ..template.place import root
from . import checklist, flags, metrics, roadmap, triggers
from .metrics import Measured
from .registry import METRICS, RATIO

WEEKS = 4  # Mondays in a row on which a trigger held before it is due
TWICE = 2.0  # a value so many times its threshold is beyond doubt: the priority is high

# What makes a measured metric known, where the reason that it isn't doesn't say more. The declared ones go
# into config/evolution.yml.
DEPLOYS = "write each deployment down: `make record WHAT=deploy`"
TO_KNOW = {
    "deployment_frequency": DEPLOYS,
    "manual_errors": (
        "write deployments and incidents down: `make record WHAT=deploy`, `make record WHAT=incident`"
    ),
    "change_failure_rate": DEPLOYS,
    "time_to_restore": "write down what broke: `make record WHAT=incident`",
    "lead_time": DEPLOYS,
    "production_deployment": DEPLOYS,
    "production_traffic.users": "name your Prometheus in config/evolution.yml, below `sources:`",
    "production_traffic.requests": "name your Prometheus in config/evolution.yml, below `sources:`",
    "measured_uptime": "name your Prometheus in config/evolution.yml, below `sources:`",
}


@dataclass(frozen=True)
class Stage:
    """A level on the road: its trigger now, and for how many Mondays in a row it held.

    It is due when both hold.
    """

    level: int
    title: str
    trigger: str
    where: str
    outcome: bool | None
    parts: tuple[triggers.Part, ...]
    mondays: int

    @property
    def due(self) -> bool:
        return self.outcome is True and self.mondays >= WEEKS


@dataclass(frozen=True)
class Recommendation:
    """A move that is due. `reasons` are lines with the figures, `priority` is high, medium or low, and
    `because` says why it is that.
    """

    level: int
    title: str
    reasons: tuple[str, ...]
    priority: str
    because: str
    effort: str
    cost: str
    benefits: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class Report:
    """What the detector found. `blocked_by` is what keeps a level that is due from being recommended."""

    project: str
    at: datetime
    level: int
    titles: Mapping[int, str]
    metrics: Mapping[str, Measured]
    roadmap: tuple[Stage, ...]
    recommendation: Recommendation | None
    due: int | None
    blocked_by: tuple[checklist.Item, ...]
    later: tuple[Stage, ...]
    unknown: Mapping[str, str]
    make: str

    def as_json(self) -> dict[str, Any]:
        """The document of `levels evolution --json`."""
        return {
            "project": self.project,
            "at": self.at.isoformat(timespec="seconds"),
            "level": self.level,
            "title": self.titles[self.level],
            "titles": {str(level): title for level, title in self.titles.items()},
            "metrics": {name: _metric(one) for name, one in self.metrics.items()},
            "roadmap": [self._stage(stage) for stage in self.roadmap],
            "verdict": dict(zip(("headline", "text"), self.verdict(), strict=True)),
            "next": dict(zip(("why", "command"), self.next(), strict=True)),
            "recommendation": asdict(self.recommendation) if self.recommendation else None,
            "due": self.due,
            "blocked_by": [asdict(item) for item in self.blocked_by],
            "later": [
                {**self._stage(stage), "reasons": reasons(stage, self.metrics)} for stage in self.later
            ],
            "unknown": [
                {"metric": name, "reason": self.metrics[name].reason, "do": do}
                for name, do in self.unknown.items()
            ],
        }

    def verdict(self) -> tuple[str, str]:
        """What it comes to: a headline, and a sentence that explains it."""
        stay = f"Stay at level {self.level}"
        if self.recommendation:
            return (
                f"Level {self.due}, {self.recommendation.title}, is due",
                f"Priority {self.recommendation.priority}: {self.recommendation.because}.",
            )
        if self.due:
            count = f"{len(self.blocked_by)} item{'' if len(self.blocked_by) == 1 else 's'}"
            return (
                f"Finish level {self.level} first",
                (
                    f"Level {self.due} would be due, but {count} of level {self.level}"
                    f" {'is' if len(self.blocked_by) == 1 else 'are'} to do."
                ),
            )
        following = next((stage for stage in self.roadmap if stage.level == self.level + 1), None)
        if following is None:
            return f"Level {self.level} is the highest", "There is no level beyond it."
        if following.outcome:
            return (
                stay,
                (
                    f"The trigger of level {following.level} holds, and held on {following.mondays} of the"
                    f" last {WEEKS} Mondays. One busy week is no reason."
                ),
            )
        if following.outcome is None:
            return (
                stay,
                f"Nothing that is known speaks for level {following.level}, but not everything is known.",
            )
        return stay, f"Nothing speaks for level {following.level} yet."

    def next(self) -> tuple[str, str]:
        """What to do next: what for, and the command."""
        if self.recommendation:
            return "To move", self.recommendation.command
        if self.due:
            return "To see each item again once it is done", f"{self.make} todo"
        return f"What level {self.level} still needs", f"{self.make} todo"

    def _stage(self, stage: Stage) -> dict[str, Any]:
        return {
            "level": stage.level,
            "title": stage.title,
            "state": _state(stage, self.level),
            "trigger": stage.trigger,
            "where": stage.where,
            "outcome": stage.outcome,
            "mondays_held": stage.mondays,
            "mondays_needed": WEEKS,
            "parts": [_part(part) for part in stage.parts],
        }


def detect(project: Path, recorded: Mapping[str, Any], *, now: datetime, offline: bool = False) -> Report:
    """What is due for the project at `project` with these recorded answers, at `now` (with a time zone).

    Raises Refused for triggers and settings that can't be read, with file and line.
    """
    manifests = layers.manifests(root())
    heading = roadmap.read(project, len(manifests))
    texts = {
        manifest.level: heading.roadmap.get(
            manifest.level, roadmap.Line(manifest.trigger, f"level {manifest.level}")
        )
        for manifest in manifests
        if manifest.trigger
    }
    read = {level: triggers.parse(line.text, line.where) for level, line in texts.items()}
    measured = metrics.measure(project, recorded, now=now, offline=offline)
    on = _flags(project, recorded["level"], now) if any(trigger.flags for trigger in read.values()) else {}
    titles = {manifest.level: manifest.title for manifest in manifests}
    stages = tuple(
        _stage(level, titles[level], texts[level], trigger, measured, on, now)
        for level, trigger in read.items()
    )

    level = recorded["level"]
    ahead = [stage for stage in stages if stage.level > level]
    following = next((stage for stage in ahead if stage.level == level + 1 and stage.due), None)
    todo: tuple[checklist.Item, ...] = ()
    if following:
        items = checklist.check(project, recorded, level, now=now, offline=offline)
        todo = tuple(item for item in items if item.state == "todo")
    names = dict.fromkeys(
        part.metric
        for stage in ahead
        for part in stage.parts
        if part.outcome is None and part.metric in METRICS
    )
    return Report(
        project=recorded["project_name"],
        at=now,
        level=level,
        titles=titles,
        metrics=measured,
        roadmap=stages,
        recommendation=(
            _recommendation(following, manifests, measured, recorded) if following and not todo else None
        ),
        due=following.level if following else None,
        blocked_by=todo,
        later=tuple(stage for stage in ahead if stage.level > level + 1 and stage.outcome),
        unknown={name: to_know(measured[name], answers.make(recorded)) for name in names},
        make=answers.make(recorded),
    )


def _stage(
    level: int,
    title: str,
    line: roadmap.Line,
    trigger: triggers.Trigger,
    measured: Mapping[str, Measured],
    on: Mapping[str, bool | None],
    now: datetime,
) -> Stage:
    outcome = trigger.evaluate({name: one.value for name, one in measured.items()}, on)
    held = 0
    for monday in mondays(now):
        if (
            trigger.evaluate({name: _then(one, monday) for name, one in measured.items()}, on).value
            is not True
        ):
            break
        held += 1
    return Stage(
        level, title, line.text, line.where, outcome.value, outcome.parts, held if outcome.value else 0
    )


def _flags(project: Path, level: int, now: datetime) -> dict[str, bool | None]:
    """Each flag, and whether it is on in any environment."""
    on: dict[str, bool | None] = {}
    for environment in flags.report(project, level, "", {}, now.date())["environments"]:
        for flag in environment["flags"]:
            on[flag["name"]] = bool(on.get(flag["name"]) or flag["on"])
    return on


def mondays(now: datetime) -> list[str]:
    """The last four Mondays up to `now`, the newest first, as dates: the steps that a history has."""
    monday = now.date() - timedelta(days=now.weekday())
    return [(monday - timedelta(weeks=back)).isoformat() for back in range(WEEKS)]


def _then(one: Measured, monday: str) -> float | bool | None:
    """A metric as it was on a Monday. What is declared or counted has no past, and stands as it is now."""
    return one.value if one.window in ("", "now") else dict(one.history).get(monday)


def _recommendation(
    stage: Stage, manifests: list[Manifest], measured: Mapping[str, Measured], recorded: Mapping[str, Any]
) -> Recommendation:
    manifest = next(manifest for manifest in manifests if manifest.level == stage.level)
    priority, because = _priority(stage, measured)
    return Recommendation(
        level=stage.level,
        title=stage.title,
        reasons=tuple(reasons(stage, measured)),
        priority=priority,
        because=because,
        effort=manifest.effort,
        cost=manifest.cost,
        benefits=tuple(manifest.benefits),
        command=f"{answers.make(recorded)} upgrade LEVEL={stage.level}",
    )


def reasons(stage: Stage, measured: Mapping[str, Measured]) -> list[str]:
    """A line with the figures for each part of a trigger that holds."""
    lines = []
    for part in stage.parts:
        if not part.outcome:
            continue
        one = measured.get(part.metric)
        against = "" if isinstance(part.threshold, bool) else f", {_against(part)}"
        about = (
            ", ".join(filter(None, (one.source, one.window, f"{one.confidence} confidence")))
            if one
            else "config/feature-flags.yml"
        )
        lines.append(f"{spoken(part.metric)}: {triggers.shown(part.value, part.metric)}{against}; {about}")
    return lines


def _against(part: triggers.Part) -> str:
    """What a value is compared with, in words; empty where it has to be true, which its name says."""
    if part.threshold is True and part.comparison == "==":
        return ""
    shown = triggers.shown(part.threshold, part.metric)
    return shown if part.comparison == "==" else f"{SAID[part.comparison]} {shown}"


HOLDS = {True: "holds", False: "not yet", None: "unknown"}  # what a part of a trigger does
SAID = {">": "more than", ">=": "at least", "<": "less than", "<=": "at most", "!=": "other than"}


def _priority(stage: Stage, measured: Mapping[str, Measured]) -> tuple[str, str]:
    """High, medium or low, and why: by how many parts hold, how far, and how surely they are known."""
    holding = [part for part in stage.parts if part.outcome]
    if len(holding) > 1:
        return "high", f"{len(holding)} reasons hold at once"
    if any(_far(part) for part in holding):
        return "high", "the value is at least twice its threshold"
    sure = {measured[part.metric].confidence for part in holding if part.metric in measured}
    if sure and sure <= {"low", "none"}:
        return "low", "the value is known with low confidence"
    return "medium", "one reason holds"


def _far(part: triggers.Part) -> bool:
    """Whether a value is beyond twice its threshold. A share of 100% can't be: there is no twice 99%."""
    if isinstance(part.threshold, bool) or part.value is None or METRICS[part.metric].dimension is RATIO:
        return False
    return part.comparison in (">", ">=") and part.threshold > 0 and part.value >= TWICE * part.threshold


def _state(stage: Stage, level: int) -> str:
    """reached, due, holds (but not for long enough), later (it holds, and a level before it comes first), not
    yet, or unknown.
    """
    if stage.level <= level:
        return "reached"
    if stage.outcome is None:
        return "unknown"
    if not stage.outcome:
        return "not yet"
    return "later" if stage.level > level + 1 else "due" if stage.due else "holds"


def to_know(one: Measured, make: str) -> str:
    """What a person does so that a metric becomes known, where make is called as `make`."""
    name, metric = one.metric, METRICS[one.metric]
    if metric.source == "declared":
        return (
            f"write it into config/evolution.yml, as in `{name}: {metric.dimension.example.split(' or ')[0]}`"
            " below `declared:`"
        )
    return (one.do or TO_KNOW.get(name, "")).replace("`make ", f"`{make} ")


def spoken(name: str) -> str:
    """A metric's name for people: `production_traffic.users` is "Production traffic, users"."""
    return name.replace("_", " ").replace(".", ", ").capitalize()


def _metric(one: Measured) -> dict[str, Any]:
    return {
        **asdict(one),
        "name": spoken(one.metric),
        "shown": triggers.shown(one.value, one.metric),
        "unit": METRICS[one.metric].unit,
    }


def _part(part: triggers.Part) -> dict[str, Any]:
    return {
        **asdict(part),
        "name": spoken(part.metric),
        "shown": triggers.shown(part.value, part.metric),
        "shown_threshold": triggers.shown(part.threshold, part.metric),
        "against": _against(part),
    }
