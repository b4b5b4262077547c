"""The page of `levels analytics --html`: one HTML file that needs nothing else, in the detector's style.

Its figures are those of `--json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evolution import pages
from ..project.git_and_files import counted
from .report import NO_DATA, ROLL_BACK, SHIP, UNHEALTHY, number, percent, span

TEMPLATE = "analytics.html.jinja"
TAGS = {SHIP: "ship", ROLL_BACK: "due", UNHEALTHY: "due", NO_DATA: "plain"}
MINUS = "\N{MINUS SIGN}"
WIDE = 5  # first intervals that are so many times as wide as the last one are cut off in a chart


@dataclass(frozen=True)
class Row:
    """A metric of a treatment beside the control, for people."""

    variant: str
    metric: str
    role: str
    control: str
    treatment: str
    change: str
    interval: str
    state: str
    adjusted: str


@dataclass(frozen=True)
class Chart:
    """A goal's effect over time with its interval, for an SVG of 100 by 100 that is stretched to its place.

    `band` and `line` are points of SVG, `zero` is where no effect is, None where it is outside.
    """

    name: str
    now: str
    band: str
    line: str
    zero: float | None
    top: str
    bottom: str
    first: str
    last: str
    told: str
    rows: tuple[tuple[str, str, str, str], ...]


def render(document: Mapping[str, Any]) -> str:
    """The page for a document of `levels analytics --json`. All text is escaped."""
    environment = pages.environment(Path(__file__).parent)
    environment.filters["percent"] = percent
    return environment.get_template(TEMPLATE).render(
        report=document,
        tags=TAGS,
        charts={one["name"]: list(charts(one)) for one in document["experiments"]},
        rows={one["name"]: list(rows(one)) for one in document["experiments"]},
        about=about_events(document["events"]),
    )


def rows(experiment: Mapping[str, Any]) -> Iterator[Row]:
    """Goal and guardrails of each treatment."""
    for one in experiment["comparisons"]:
        for figure in (one["goal"], *one["guardrails"]):
            effect = figure["effect"]
            yield Row(
                variant=one["variant"],
                metric=figure["metric"],
                role="goal" if figure is one["goal"] else "guardrail",
                control=_value(figure, figure["control"]),
                treatment=_value(figure, figure["treatment"]),
                change=_change(effect),
                interval=_interval(effect),
                state="too little to tell" if figure["state"] == "too little" else figure["state"],
                adjusted=_adjusted(effect),
            )


def _value(figure: Mapping[str, Any], value: float | None) -> str:
    if value is None:
        return "nothing"
    return percent(value) if figure["kind"] == "rate" else number(value)


def _change(effect: Mapping[str, Any] | None) -> str:
    if effect is None:
        return "unknown"
    value, of = _of(effect, "relative", "difference")
    return _signed(value, of)


def _interval(effect: Mapping[str, Any] | None) -> str:
    if effect is None:
        return "too little for an interval"
    (low, of), (high, _) = _of(effect, "relative_low", "low"), _of(effect, "relative_high", "high")
    return span(low, high, of)


def _of(effect: Mapping[str, Any], relative: str, absolute: str) -> tuple[float, Any]:
    """A relative figure, or the absolute one where the control has nothing to relate to."""
    if effect["relative_low"] is None:
        return effect[absolute], number
    return effect[relative], percent


def _adjusted(effect: Mapping[str, Any] | None) -> str:
    if effect is None or effect["reduction"] is None:
        return "no"
    return f"variance less by {percent(effect['reduction'])}"


def charts(experiment: Mapping[str, Any]) -> Iterator[Chart]:
    """A chart for each treatment of which two days at least are known."""
    for one in experiment["comparisons"]:
        if len(one["over_time"]) > 1:
            yield _chart(one, experiment["goal"]["name"])


def _chart(one: Mapping[str, Any], goal: str) -> Chart:
    looks: Sequence[Mapping[str, Any]] = one["over_time"]
    relative = all(look["relative_low"] is not None for look in looks)
    of = percent if relative else number
    keys = ("relative_low", "relative", "relative_high") if relative else ("low", "difference", "high")
    values = [tuple(look[key] for key in keys) for look in looks]
    width = WIDE * (values[-1][2] - values[-1][0])
    kept = [value for value in values if value[2] - value[0] <= width] or values[-1:]
    bottom, top = min(0.0, *(low for low, _, _ in kept)), max(0.0, *(high for _, _, high in kept))
    top, bottom = (top, bottom) if top > bottom else (1.0, -1.0)

    def y(value: float) -> float:
        return round(min(max(100 - 100 * (value - bottom) / (top - bottom), 0), 100), 2)

    xs = [round(100 * place / (len(looks) - 1), 2) for place in range(len(looks))]
    highs = [f"{x},{y(high)}" for x, (_, _, high) in zip(xs, values, strict=True)]
    lows = [f"{x},{y(low)}" for x, (low, _, _) in zip(xs, values, strict=True)]
    listed = tuple((look["day"], f"{look['units']:,}", _change(look), _interval(look)) for look in looks)
    name = f"{one['variant']}: {goal}"
    return Chart(
        name=name,
        now=_change(looks[-1]),
        band=" ".join([*highs, *reversed(lows)]),
        line=" ".join(f"{x},{y(value)}" for x, (_, value, _) in zip(xs, values, strict=True)),
        zero=y(0.0),
        top=_signed(top, of),
        bottom=_signed(bottom, of),
        first=looks[0]["day"],
        last=looks[-1]["day"],
        told=(
            f"{name} beside {one['control']}, day by day: {listed[0][3]} on {listed[0][0]},"
            f" {listed[-1][3]} on {listed[-1][0]}"
        ),
        rows=listed,
    )


def _signed(value: float, of: Any) -> str:
    return f"{'+' if value > 0 else MINUS if value < 0 else ''}{of(abs(value))}"


def about_events(events: Mapping[str, Any]) -> list[str]:
    """What was read, and what wasn't, a sentence each."""
    days = events["days"]
    where = f" from {days[0]} to {days[-1]}" if days else ""
    said = [
        f"{events['lines']:,} events in {counted(events['files'], 'file')} of {events['folder']}{where};"
        f" {events['read']} of them new or changed."
    ]
    if events["damaged"]:
        lines = sum(one["lines"] for one in events["damaged"])
        names = [f"{one['file']} ({one['lines']})" for one in events["damaged"]]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        said.append(f"Damaged, and not counted: {counted(lines, 'line')} in {', '.join(names[:5])}{more}.")
    if events["other"]:
        said.append(f"Of another kind, and not counted: {counted(events['other'], 'line')}.")
    if events["strange"]:
        strange = ", ".join(events["strange"][:5])
        said.append(f"Not read, for the name isn't <service>-<day>-<host>-<pid>.jsonl: {strange}.")
    if events["removed"]:
        said.append(f"Removed, for they are older than is kept: {counted(events['removed'], 'day')}.")
    return said
