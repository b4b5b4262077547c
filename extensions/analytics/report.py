"""What the events say of each experiment: one document, which the page and the text show, with a verdict.

Verdicts, the first that applies: *no data*; *unhealthy* where the units don't stand in the planned ratio, and
nothing more is read; *keep running* before three days; *ship* where the goal of a variant is better for
certain, and no guardrail of it is worse; *roll back* where each variant has a guardrail or the goal that is
worse for certain, or where the plan is over without an effect; else *keep running*. Certain is what the whole
of an always-valid interval says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..project.git_and_files import counted
from . import read, statistics, store
from .experiments import Experiment, Metric
from .statistics import ALPHA, MISMATCH, Effect, Moments

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHIP, ROLL_BACK, KEEP_RUNNING = "ship", "roll back", "keep running"
UNHEALTHY, NO_DATA = "unhealthy", "no data"
LEAST_DAYS = 3
LEAST_UNITS = 100  # of each variant, and
LEAST_COUNTED = 25  # units with a conversion in both: with fewer the normal distribution is far
MANY_SEVERAL = 0.01
STALE = timedelta(days=2)


def make(
    project: str,
    folder: Path,
    plans: Sequence[Experiment],
    unplanned: Sequence[str],
    now: datetime,
    keep: int | None = None,
    only: str | None = None,
) -> dict[str, Any]:
    """The document for the experiments `plans`, or the one named `only`, by the events in `folder`, of which
    those older than `keep` days are removed first.

    Raises Refused for a folder that can't be taken.
    """
    ask = store.connection(folder)
    try:
        still = [plan.begins.date() - timedelta(days=read.BEFORE) for plan in plans if plan.ends > now]
        events = store.bring_in(ask, folder, keep, now.date(), min(still, default=None))
        last = None
        if events.files:
            read.open_events(ask, folder)
            last = read.last_event(ask)
        wanted = [plan for plan in plans if only in (None, plan.name)]
        told = [experiment(ask, plan, last, now) for plan in wanted]
    finally:
        ask.close()
    return {
        "project": project,
        "at": now.isoformat(timespec="seconds"),
        "events": {
            **asdict(events),
            "days": list(events.days),
            "strange": list(events.strange),
            "damaged": [{"file": name, "lines": lines} for name, lines in events.damaged],
            "last": _shown_time(last),
        },
        "not_planned": [] if only else list(unplanned),
        "experiments": told,
    }


def experiment(
    ask: DuckDBPyConnection, plan: Experiment, last: datetime | None, now: datetime
) -> dict[str, Any]:
    """One experiment's part of the document. `last` is the time of the last event, None without events."""
    seen = (
        read.exposed(ask, plan) if last else read.Exposed(dict.fromkeys(plan.variants, 0), 0, 0, None, None)
    )
    units = sum(seen.units.values())
    told: dict[str, Any] = {
        "name": plan.name,
        "flag": plan.flag,
        "hypothesis": plan.hypothesis,
        "owner": plan.owner,
        "unit": plan.unit,
        "control": plan.control,
        "goal": asdict(plan.goal),
        "begins": plan.begins.isoformat(timespec="seconds"),
        "ends": plan.ends.isoformat(timespec="seconds"),
        "sample": plan.sample,
        "effect": plan.effect,
        "units": dict(seen.units),
        "several": seen.several,
        "unplanned": seen.unplanned,
        "first": _shown_time(seen.first),
        "last": _shown_time(seen.last),
        "days": 0.0,
        "days_left": None,
        "mismatch": None,
        "power": None,
        "comparisons": [],
        "notes": _notes(plan, seen, now),
    }
    if not last or seen.first is None or not units:
        since = f"{plan.begins:%Y-%m-%d}"
        began = "nobody has seen" if plan.begins <= now else "it has not begun, and nobody has seen"
        return told | _verdict(NO_DATA, f"No data: {began} a variant of {plan.flag} since {since}.")
    until = min(last, _plain(plan.ends), _plain(now))
    told["days"] = round(max((until - seen.first).total_seconds(), 0) / 86400, 2)
    if units >= LEAST_UNITS:
        told["mismatch"] = statistics.mismatch(seen.units, plan.variants)
        if told["mismatch"] < MISMATCH:
            chance = f"Chance alone hardly does that (p = {told['mismatch']:.2g}), so nothing else is read."
            return told | _verdict(UNHEALTHY, _unhealthy(plan, seen), [chance])
    last_day = min(until, _plain(plan.ends) - timedelta(microseconds=1)).date()
    told["comparisons"] = [
        one for one in _comparisons(ask, plan, seen.first.date(), last_day) if one is not None
    ]
    rate = _rate(told["comparisons"], units)
    left = max((_plain(plan.ends) - _plain(now)).total_seconds() / 86400, 0)
    told["days_left"] = _days_left(plan, units, told["days"], rate, left)
    told["power"] = _power(plan, told["comparisons"], units, rate * left)
    return told | _judged(plan, told, units, over=plan.ends <= now)


def _verdict(state: str, sentence: str, reasons: Sequence[str] = ()) -> dict[str, Any]:
    told = [f"{reason[0].upper()}{reason[1:].removesuffix('.')}." for reason in reasons]
    return {"verdict": {"state": state, "sentence": sentence, "reasons": told}}


def _notes(plan: Experiment, seen: read.Exposed, now: datetime) -> list[str]:
    """What a reader has to know beside the figures."""
    notes = []
    everybody = sum(seen.units.values()) + seen.several + seen.unplanned
    if seen.several:
        share = seen.several / everybody
        more = "; so many hint at units whose pseudonym changes, or at weights that were changed"
        notes.append(
            f"Multiple exposures: {_units(seen.several, plan)} of {everybody:,} saw more than one variant"
            f" ({percent(share)}) and {'is' if seen.several == 1 else 'are'} left out"
            f"{more if share > MANY_SEVERAL else ''}."
        )
    if seen.unplanned:
        notes.append(f"{_units(seen.unplanned, plan)} saw a variant that isn't in the plan: not counted.")
    if plan.sample is None:
        notes.append(f"No sample was planned: the intervals are tuned for {plan.tuned:,} units.")
    if seen.last and plan.ends > now and _plain(now) - seen.last > STALE:
        notes.append(
            f"Nobody has been seen since {seen.last:%Y-%m-%d %H:%M} UTC: do the events still arrive?"
        )
    return notes


def _unhealthy(plan: Experiment, seen: read.Exposed) -> str:
    whole, units = sum(plan.variants.values()), sum(seen.units.values())
    parts = ", ".join(
        f"{name} has {percent(seen.units[name] / units)} (planned {percent(weight / whole)})"
        for name, weight in plan.variants.items()
    )
    return f"Unhealthy: of {_units(units, plan)} {parts}."


# Figures


def _comparisons(
    ask: DuckDBPyConnection, plan: Experiment, first: date, last: date
) -> list[dict[str, Any] | None]:
    """Each treatment beside the control: its goal day by day, and its guardrails.

    The goal's error is shared by the treatments (Bonferroni); a guardrail has all of it, because one that
    is raised in vain costs less than harm that isn't seen.
    """
    goal = read.days(ask, plan, plan.goal, last)
    guards = [(metric, read.days(ask, plan, metric, last)[-1][1]) for metric in plan.guardrails]
    alpha = ALPHA / len(plan.treatments)
    found: list[dict[str, Any] | None] = []
    for treatment in plan.treatments:
        over_time = []
        for day, moments in goal:
            effect = _effect(moments[plan.control], moments[treatment], plan, alpha)
            if effect and day >= first:
                units = sum(one.units for one in moments.values())
                over_time.append({"day": day.isoformat(), "units": units, **asdict(effect)})
        now = goal[-1][1]
        found.append(
            {
                "variant": treatment,
                "control": plan.control,
                "goal": _figure(plan.goal, now[plan.control], now[treatment], plan, alpha),
                "guardrails": [
                    _figure(metric, moments[plan.control], moments[treatment], plan, ALPHA)
                    for metric, moments in guards
                ],
                "over_time": over_time,
                "new": [sum(one.units for one in moments.values()) for _, moments in goal][-8:],
            }
        )
    return found


def _effect(control: Moments, treatment: Moments, plan: Experiment, alpha: float) -> Effect | None:
    if (
        min(control.units, treatment.units) < LEAST_UNITS
        or control.counted + treatment.counted < LEAST_COUNTED
    ):
        return None
    # Two of more than two variants have their share of the planned sample.
    return statistics.compare(control, treatment, plan.tuned * 2 / len(plan.variants), alpha)


def _figure(
    metric: Metric, control: Moments, treatment: Moments, plan: Experiment, alpha: float
) -> dict[str, Any]:
    """A metric now: plain means, the effect with its interval or None where there is too little, and a state:
    better, worse, fine, open, or too little.
    """
    effect = _effect(control, treatment, plan, alpha)
    return {
        "metric": metric.name,
        "kind": metric.kind,
        "worse": metric.worse,
        "at_most": metric.at_most,
        "control": control.mean() if control.units else None,
        "treatment": treatment.mean() if treatment.units else None,
        "effect": asdict(effect) if effect else None,
        "state": _state(metric, effect),
    }


def _state(metric: Metric, effect: Effect | None) -> str:
    """What an interval says for certain, the one that is shown: relative to the control, where it can be.

    "fine" is a guardrail that is not worse by more than it may be.
    """
    if effect is None:
        return "too little"
    low, high, allowed = effect.low, effect.high, 0.0
    if effect.relative_low is not None and effect.relative_high is not None:
        low, high, allowed = effect.relative_low, effect.relative_high, metric.at_most
    if metric.worse == "up":
        low, high = -high, -low
    if low > 0:
        return "better"
    if high < -allowed:
        return "worse"
    return "fine" if allowed and low > -allowed else "open"


def _rate(comparisons: Sequence[dict[str, Any]], units: int) -> float:
    """New units a day, over the last seven days."""
    grown = comparisons[0]["new"] if comparisons else [units]
    for one in comparisons:
        del one["new"]
    return (grown[-1] - grown[0]) / (len(grown) - 1) if len(grown) > 1 else float(grown[-1])


def _days_left(plan: Experiment, units: int, days: float, rate: float, left: float) -> int:
    """Days until the planned sample is there or the experiment ends, and until the least time is over."""
    needed = max(plan.tuned - units, 0) / rate if rate > 0 else left
    return math.ceil(max(min(needed, left), min(LEAST_DAYS - days, left), 0))


def _power(
    plan: Experiment, comparisons: Sequence[Mapping[str, Any]], units: int, to_come: float
) -> float | None:
    """The least probability over the treatments to find the planned effect by the end, with the variance that
    was seen; None where none was.
    """
    final = max(units, min(plan.tuned, units + to_come))
    found = []
    for one in comparisons:
        if (effect := one["goal"]["effect"]) and effect["error"] > 0 and effect["control"]:
            error = effect["error"] * math.sqrt(units / final)
            wanted = plan.effect * abs(effect["control"])
            share = 2 / len(plan.variants)
            alpha = ALPHA / len(plan.treatments)
            found.append(statistics.power(wanted, error, final * share, plan.tuned * share, alpha))
    return min(found, default=None)


# Judged


def _judged(plan: Experiment, told: dict[str, Any], units: int, over: bool) -> dict[str, Any]:
    comparisons, days = told["comparisons"], told["days"]
    harmed, better, open_ones = {}, {}, {}
    for one in comparisons:
        variant, goal = one["variant"], one["goal"]
        worse = [figure for figure in (*one["guardrails"], goal) if figure["state"] == "worse"]
        if worse:
            harmed[variant] = _about(plan, variant, worse[0])
        elif goal["state"] == "better":
            better[variant] = _about(plan, variant, goal)
        else:
            open_ones[variant] = _about(plan, variant, goal)
    left = f"about {counted(told['days_left'], 'day')} left"
    if days < LEAST_DAYS:
        so_far = f"{days:.1f} days are over, and the least is {LEAST_DAYS}"
        reasons = [*harmed.values(), *better.values()]
        if over:
            return _verdict(ROLL_BACK, f"Roll back to {plan.control}, or plan anew: {so_far}.", reasons)
        return _verdict(KEEP_RUNNING, f"Keep running, {left}: {so_far}.", reasons)
    if better:
        sign = 1 if plan.goal.worse == "down" else -1
        best = max(
            (one for one in comparisons if one["variant"] in better),
            key=lambda one: float(one["goal"]["effect"]["difference"]) * sign,
        )
        rest = [text for variant, text in {**harmed, **better}.items() if variant != best["variant"]]
        unsure = [
            f"Not certain is that it does no harm: {_about(plan, best['variant'], guard)}"
            for guard in best["guardrails"]
            if guard["state"] in ("open", "too little")
        ]
        return _verdict(SHIP, f"Ship {best['variant']}: {better[best['variant']]}.", [*unsure, *rest])
    low_power = _low_power(plan, told["power"])
    if not open_ones:
        first, *rest = harmed.values()
        return _verdict(ROLL_BACK, f"Roll back to {plan.control}: {first}.", rest)
    first, *rest = open_ones.values()
    if over or (plan.sample is not None and units >= plan.sample):
        why = "its time is over" if over else f"the planned {plan.sample:,} are there"
        sentence = f"Roll back to {plan.control}, or plan anew: {why}, and {first}."
        return _verdict(ROLL_BACK, sentence, [*rest, *harmed.values(), *low_power])
    return _verdict(KEEP_RUNNING, f"Keep running, {left}: {first}.", [*rest, *harmed.values(), *low_power])


def _low_power(plan: Experiment, power: float | None) -> list[str]:
    if power is None or power >= statistics.POWER:
        return []
    return [
        f"Low power: a change of {percent(plan.effect)}, the smallest worth finding by the plan, is found by"
        f" the end with a probability of {percent(power)}, where {percent(statistics.POWER)} is aimed at."
    ]


def _about(plan: Experiment, variant: str, figure: Mapping[str, Any]) -> str:
    """What is known of a metric, as the rest of a sentence."""
    effect = figure["effect"]
    if effect is None:
        return f"there is too little of {figure['metric']} for an interval"
    if effect["relative_low"] is not None:
        between = span(effect["relative_low"], effect["relative_high"], percent)
    else:
        between = span(effect["low"], effect["high"], number)
    allowed = f", where {percent(figure['at_most'])} was allowed" if figure["at_most"] else ""
    kind = "rate" if figure["kind"] == "rate" else "mean"
    return f"the {kind} of {figure['metric']} with {variant} is {between} than with {plan.control}{allowed}"


def span(low: float, high: float, of: Callable[[float], str]) -> str:
    """The ends of an interval in words."""
    if low > 0:
        return f"{of(low)} to {of(high)} higher"
    if high < 0:
        return f"{of(-high)} to {of(-low)} lower"
    return f"between {of(abs(low))} lower and {of(high)} higher"


def percent(share: float) -> str:
    """A share for people."""
    value = share * 100
    if abs(value) >= 99.95 or value == round(value):
        return f"{value:,.0f}%"
    return f"{value:.1f}".removesuffix(".0") + "%" if abs(value) >= 0.1 else f"{value:.2g}%"


def number(value: float) -> str:
    """A figure for people."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _units(number: int, plan: Experiment) -> str:
    return f"{number:,} {plan.unit}{'' if number == 1 else 's'}"


def _plain(time: datetime) -> datetime:
    """UTC without saying so, as times in Parquet are."""
    return time.astimezone(UTC).replace(tzinfo=None)


def _shown_time(time: datetime | None) -> str | None:
    return f"{time.isoformat(timespec='seconds')}Z" if time else None
