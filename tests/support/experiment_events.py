"""Events of services, as they write them, for an experiment whose outcome is planted."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from extensions.analytics.experiments import Experiment, Metric

START = datetime(2026, 11, 1, tzinfo=UTC)
FLAG = "new-checkout"


class Events:
    """Lines of events, put into files by day and process."""

    def __init__(self, folder: Path, service: str = "api", pid: int = 1) -> None:
        self.folder, self.service, self.pid = folder, service, pid
        self.lines: dict[str, list[str]] = defaultdict(list)

    def _add(self, day: float, **event: Any) -> None:
        time = (START + timedelta(days=day)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.lines[time[:10]].append(json.dumps({"time": time, "service": self.service, **event}))

    def exposure(self, day: float, unit: str, variant: str, flag: str = FLAG) -> None:
        self._add(
            day,
            **{"event": "feature_flag.evaluation", "feature_flag.key": flag, "feature_flag.version": "1"},
            **{"feature_flag.result.variant": variant, "feature_flag.context.id": unit},
        )

    def conversion(self, day: float, unit: str, name: str = "paid", value: float = 1.0) -> None:
        self._add(day, event="conversion", name=name, value=value, **{"feature_flag.context.id": unit})

    def write(self) -> Path:
        self.folder.mkdir(exist_ok=True)
        for day, lines in self.lines.items():
            path = self.folder / f"{self.service}-{day}-host-{self.pid}.jsonl"
            with open(path, "a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        self.lines.clear()
        return self.folder


def plan(**changed: Any) -> Experiment:
    """A plan over 30 days, for which 20,000 users are enough to find 10% of a rate of 20%."""
    given = {
        **{"name": FLAG, "hypothesis": "A shorter form", "owner": "shop", "unit": "user", "flag": FLAG},
        **{"variants": {"off": 50.0, "on": 50.0}, "goal": Metric("paid"), "guardrails": (), "effect": 0.1},
        **{"sample": 20_000, "begins": START, "ends": START + timedelta(days=30)},
        **changed,
    }
    return Experiment(**given)


def planted(
    folder: Path,
    units: dict[str, int],
    rates: dict[str, float],
    days: float = 5,
    more: dict[str, dict[str, float]] | None = None,
    seed: int = 1,
    flag: str = FLAG,
) -> Path:
    """Events of `units` by variant over `days`, of which `rates` have the goal, and `more` other conversions,
    their rates by variant. The shares are met to the unit, so that what is planted is what is there.
    """
    import numpy

    random = numpy.random.default_rng(seed)
    events = Events(folder)
    for variant, number in units.items():
        times = numpy.sort(random.uniform(0, days - 0.01, number))
        counted = {"paid": rates, **(more or {})}
        has = {name: random.permutation(number) < round(number * of[variant]) for name, of in counted.items()}
        for place, time in enumerate(times.tolist()):
            unit = f"{variant}{place}" if flag == FLAG else f"{flag} {variant}{place}"
            events.exposure(time, unit, variant, flag)
            for name, of in has.items():
                if of[place]:
                    events.conversion(time + 0.005, unit, name)
    return events.write()
