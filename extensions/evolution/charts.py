"""The history of a metric as a line, for an SVG of 100 by 100 that is stretched to its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from . import triggers


@dataclass(frozen=True)
class Chart:
    """`line` and `area` are points of SVG. `limits` are thresholds: where each is drawn, and what it says.

    Texts are for people.
    """

    name: str
    now: str
    line: str
    area: str
    limits: tuple[tuple[float, str], ...]
    highest: str
    first: str
    last: str
    told: str
    rows: tuple[tuple[str, str], ...]


def charts(document: Mapping[str, Any]) -> list[Chart]:
    """A chart for each metric of the `--json` document that has a past: two days at least, of which today may
    be one.

    Those that triggers name come first.
    """
    thresholds: dict[str, dict[float, str]] = {}
    for stage in document["roadmap"]:
        for part in stage["parts"]:
            if not isinstance(part["threshold"], bool) and stage["level"] > document["level"]:
                thresholds.setdefault(part["metric"], {})[part["threshold"]] = (
                    f"level {stage['level']}: {part['shown_threshold']}"
                )
    known = [(one, _history(one, document["at"][:10])) for one in document["metrics"].values()]
    known = [(one, history) for one, history in known if len(history) > 1]
    known.sort(key=lambda pair: pair[0]["metric"] not in thresholds)
    return [_chart(one, history, thresholds.get(one["metric"], {})) for one, history in known]


def _history(one: Mapping[str, Any], today: str) -> list[tuple[str, float]]:
    """What was known on each Monday, and what is known now; empty for what has no past."""
    found = [(week, value) for week, value in one["history"]]
    if found and one["value"] is not None and found[-1][0] < today:
        found.append((today, one["value"]))
    return found


def _chart(
    one: Mapping[str, Any], history: Sequence[tuple[str, float]], thresholds: Mapping[float, str]
) -> Chart:
    days = [date.fromisoformat(week).toordinal() for week, _ in history]
    values = [float(value) for _, value in history]
    # A threshold far beyond all values would flatten the line: then it is told and not drawn.
    near = (
        [limit for limit in thresholds if limit <= 4 * max(values)] or list(thresholds)[:1]
        if max(values) > 0
        else list(thresholds)[:1]
    )
    top = 1.15 * max(*values, *near) if near else 1.15 * max(values)
    top = top or 1.0

    def y(value: float) -> float:
        return round(100 - 100 * value / top, 2)

    points = [
        (round(100 * (day - days[0]) / (days[-1] - days[0]), 2), y(value))
        for day, value in zip(days, values, strict=True)
    ]
    line = " ".join(f"{x},{height}" for x, height in points)
    rows = tuple((week, triggers.shown(value, one["metric"])) for week, value in history)
    limits = tuple((y(limit), text) for limit, text in thresholds.items() if limit in near)
    beyond = "".join(f"; threshold of {text}" for text in thresholds.values())
    return Chart(
        name=one["name"],
        now=one["shown"],
        line=line,
        area=f"0,100 {line} 100,100",
        limits=limits,
        highest=triggers.shown(max(values), one["metric"]),
        first=rows[0][0],
        last=rows[-1][0],
        told=(
            f"{one['name']}, week by week: {rows[0][1]} on {rows[0][0]}, {rows[-1][1]} on"
            f" {rows[-1][0]}{beyond}"
        ),
        rows=rows,
    )
