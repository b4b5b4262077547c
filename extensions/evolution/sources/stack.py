"""What the metrics tell that services serve from level 3 on: traffic, users a day, and how much of the time
production answered.

They are asked of the Prometheus that scrapes them, with the labels that it adds: project, environment and
service. Each figure says over which time it is, and is unknown where that is too short.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ...project.git_and_files import counted
from . import prometheus, rates

REQUESTS_DAYS, UPTIME_DAYS, USERS_DAYS = 7, 28, 7  # over how many days each figure is
# How many days of data it needs at least: less says little of a week.
LEAST_DAYS = {"requests": 1, "uptime": 7}
ALL = 0.95  # the share of a time that has to be measured for a figure of it to be sure
REGISTERS = 256
ERROR = 1.04 / math.sqrt(REGISTERS)  # standard error of one day's estimate
ALPHA = 0.7213 / (1 + 1.079 / REGISTERS)

# The day that ends at the time asked for. Its first two minutes are left out: a process may still show
# the registers of the day before then.
SKETCH = "max by (register) (max_over_time(users_daily_sketch{{{labels}}}[1438m]))"


@dataclass(frozen=True)
class Told:
    """A figure: its value, over which time, how sure it is, and lines for people."""

    value: float
    window: str
    confidence: str
    evidence: tuple[str, ...]
    history: rates.History


def labels(project: str, environment: str) -> str:
    """The labels by which an environment's series are found."""
    return f'project="{project}",environment="{environment}"'


def requests(ask: prometheus.Ask, where: str, now: float) -> Told | str:
    """Requests a minute, over a week, or why that isn't known."""
    targets = f'up{{job="services",{where}}}'
    query = f"sum(increase(http_server_request_duration_seconds_count{{{where}}}[{REQUESTS_DAYS}d]))"
    days = _Days(ask, targets, REQUESTS_DAYS, now)
    least = LEAST_DAYS["requests"]
    if why := days.too_short(least):
        return why
    answered, past = ask.number(query), dict(ask.weeks(query))
    if answered is None:
        return "Prometheus has no samples of http_server_request_duration_seconds"

    def of_week(week: str) -> float | None:
        span = days.of_week(week)
        return past[week] / (span * 1440) if week in past and span >= least else None

    return Told(
        answered / (days.now * 1440),
        days.window,
        days.confidence,
        (query, *days.evidence),
        _weeks(of_week, past),
    )


def uptime(ask: prometheus.Ask, where: str, web: Sequence[str], now: float) -> Told | str:
    """The share of the minutes in which each web service had an instance that answered and was ready, over
    four weeks, of those in which Prometheus looked; or why it isn't known.
    """
    named = f',service=~"{"|".join(web)}"' if web else ""
    targets = f'up{{job="services",{where}{named}}}'
    required = f"readiness_check_up{{{where}{named}}} and readiness_check_required{{{where}{named}}} == 1"
    # An instance that doesn't answer has no checks: what it had counts no more then.
    ready = f"min(max by (service, check) ({required})) or vector(1)"
    query = f"avg_over_time((min(max by (service) ({targets})) * ({ready}))[{UPTIME_DAYS}d:1m])"
    days = _Days(ask, targets, UPTIME_DAYS, now)
    least = LEAST_DAYS["uptime"]
    if why := days.too_short(least):
        return why
    share, past = ask.number(query), dict(ask.weeks(query))
    if share is None:
        return "Prometheus has no samples for the query"
    evidence = (
        query,
        *days.evidence,
        "a Prometheus on the host that fails doesn't see it fail: that time isn't counted",
    )
    return Told(
        share,
        days.window,
        days.confidence,
        evidence,
        _weeks(lambda week: past.get(week) if days.of_week(week) >= least else None, past),
    )


def users(ask: prometheus.Ask, where: str, now: float) -> Told | str:
    """Different users a day, as the mean of the whole days (UTC) of a week; or why that isn't known.

    A day counts where it was measured almost whole. Each day's number is an estimate, from the registers of
    a HyperLogLog sketch that are merged over all instances.
    """
    sketch = SKETCH.format(labels=where)
    weeks = rates.mondays(now)[-5:]  # those that a trigger looks at, and the week before them
    ends = _midnights(weeks[0].timestamp(), now)
    merged = ask.range(sketch, ends[0], ends[-1], rates.DAY)
    if not merged:
        return "no service tells who its users are: users_daily_sketch has no samples"
    looked = f'count_over_time(group(up{{job="services",{where}}})[1d:5m]) / 288'
    seen = {at: share for one in ask.range(looked, ends[0], ends[-1], rates.DAY) for at, share in one[1]}
    registers: dict[float, dict[str, float]] = {}
    for named, points in merged:
        for at, rank in points:
            registers.setdefault(at, {})[named.get("register", "")] = rank
    days: dict[float, float] = {}
    for at, found in registers.items():
        estimated = estimate(found)
        if estimated is None:
            return f"users_daily_sketch isn't {REGISTERS} registers of a HyperLogLog sketch"
        if seen.get(at, 0) >= ALL:
            days[at] = estimated

    def mean(until: float) -> float | None:
        known = [number for at, number in days.items() if until - USERS_DAYS * rates.DAY < at <= until]
        return sum(known) / len(known) if known else None

    lately = [at for at in days if at > ends[-1] - USERS_DAYS * rates.DAY]
    value = mean(ends[-1])
    if value is None:
        return f"no day of the last {USERS_DAYS} was measured whole"
    past = rates.history(mean, now)
    error = ERROR / math.sqrt(len(lately)) * 100
    evidence = (
        sketch,
        f"the mean of {counted(len(lately), 'whole day')}, an estimate: ± {error:.1f}% (one standard error)",
    )
    return Told(
        value,
        counted(len(lately), "day"),
        "high" if len(lately) >= USERS_DAYS else "medium",
        evidence,
        tuple((week, number) for week, number in past if week >= weeks[1].date().isoformat()),
    )


def estimate(registers: Mapping[str, float]) -> float | None:
    """How many different ones a HyperLogLog sketch has seen: registers by number, "0" to "255", each the
    highest rank of what fell into it, 0 where nothing did. None for what is no such sketch.
    """
    if not {*registers} <= {str(number) for number in range(REGISTERS)}:
        return None
    if any(value not in range(65) for value in registers.values()):
        return None
    ranks = [registers.get(str(number), 0.0) for number in range(REGISTERS)]
    raw = ALPHA * REGISTERS**2 / sum(2.0**-rank for rank in ranks)
    empty = ranks.count(0)
    # Of few users many registers are empty, and their number tells more.
    return REGISTERS * math.log(REGISTERS / empty) if raw <= 2.5 * REGISTERS and empty else raw


class _Days:
    """For how long the targets of a figure have been watched, up to now and to each Monday, and how much of
    it.
    """

    def __init__(self, ask: prometheus.Ask, targets: str, days: int, now: float) -> None:
        self._most = days
        first = f"min_over_time((time() + 0 * group({targets}))[{days}d:5m])"
        self._weeks = dict(ask.weeks(first))
        began = ask.number(first)
        self.now = 0.0 if began is None else self._limited((now - began) / rates.DAY)
        self.there = began is not None
        looked = ask.number(f"count_over_time(group({targets})[{days}d:5m]) * 300") if self.there else 0
        self._share = min(1.0, (looked or 0) / (self.now * rates.DAY)) if self.now else 0.0

    def _limited(self, days: float) -> float:
        """The beginning is that of a step of five minutes: what is less short than that is whole."""
        return float(self._most) if days > self._most - 0.01 else days

    def too_short(self, least: int) -> str:
        """Why this is too little; empty where it isn't."""
        if not self.there:
            return "Prometheus watches no service of this environment"
        if self.now < least:
            have = counted(int(self.now), "day") if self.now >= 1 else counted(int(self.now * 24), "hour")
            return f"Prometheus has data of {have}, and this needs {counted(least, 'day')}"
        return ""

    def of_week(self, week: str) -> float:
        """The days that were watched before a Monday."""
        monday = datetime.fromisoformat(week).replace(tzinfo=UTC).timestamp()
        return self._limited((monday - self._weeks[week]) / rates.DAY) if week in self._weeks else 0.0

    @property
    def window(self) -> str:
        return counted(int(self.now), "day")

    @property
    def confidence(self) -> str:
        return "high" if self.now >= self._most and self._share >= ALL else "medium"

    @property
    def evidence(self) -> tuple[str, ...]:
        return (f"Prometheus looked in {self._share:.1%} of that time",)


def _weeks(value: Callable[[str], float | None], weeks: Mapping[str, float]) -> rates.History:
    found = ((week, value(week)) for week in sorted(weeks))
    return tuple((week, number) for week, number in found if number is not None)


def _midnights(begin: float, end: float) -> list[float]:
    """The midnights (UTC) from one that is one up to `end`."""
    return [begin + day * rates.DAY for day in range(int((end - begin) // rates.DAY) + 1)]
