"""What DuckDB is asked about one experiment: who saw which variant since when, and for each day the sums over
all units up to that day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from . import store
from .experiments import Experiment, Metric
from .statistics import Moments

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BEFORE = 14  # days before its exposure from which a unit's behaviour is taken

# The first exposure counts. A unit that saw two variants is no evidence for either.
UNITS = """
create or replace temp table seen as
select unit, min(time) as since, max(time) as lately, min(variant) as variant,
       min(variant) <> max(variant) as several
from events where exposure and key = $flag and time >= $begins and time < $ends
group by unit
"""
KEPT = """
create or replace temp table units as
select unit, since, variant from seen where not several and list_contains($variants, variant)
"""
# A rate counts a unit on the day of its first conversion; a sum grows from day to day, and its square by
# what the square of the sum so far grows.
RATE = "select variant, unit, x, cast(min(time) as date) as day, 1.0 as y, 1.0 as s from after group by all"
MEAN = """
select variant, unit, x, day, y, sum(y) over (partition by unit order by day) as s
from (select variant, unit, x, cast(time as date) as day, sum(value) as y from after group by all)
"""
SUMS = """
with here as (
  select c.time, c.value, u.unit, u.since, u.variant
  from events c join units u using (unit)
  where not c.exposure and c.key = $name and c.time < $ends and c.time >= $begins - to_days({before})
), before as (
  select unit, {x} as x from here where time < since and time >= since - to_days({before}) group by unit
), after as (
  select h.variant, h.unit, h.time, h.value, coalesce(b.x, 0.0) as x
  from here h left join before b using (unit) where h.time >= h.since
), growth as ({growth})
select variant, day, 0 as units, sum((s = y)::int) as counted, sum(y) as y,
       sum(s * s - (s - y) * (s - y)) as yy, 0.0 as x, 0.0 as xx, sum(x * y) as xy
from growth group by all
union all
select variant, cast(since as date), 0, 0, 0.0, 0.0, sum(x), sum(x * x), 0.0
from units join before using (unit) group by all
union all
select variant, cast(since as date), count(*), 0, 0.0, 0.0, 0.0, 0.0, 0.0 from units group by all
"""


@dataclass(frozen=True)
class Exposed:
    """Who saw a variant. `units` are those that count, by variant; `several` saw more than one, and
    `unplanned` one that the plan doesn't have. `first` and `last` are the times of exposures.
    """

    units: Mapping[str, int]
    several: int
    unplanned: int
    first: datetime | None
    last: datetime | None


Days = Sequence[tuple[date, Mapping[str, Moments]]]


def open_events(ask: DuckDBPyConnection, folder: Path) -> None:
    """Make the events of a folder readable by the functions below; raises duckdb.Error where none are."""
    ask.execute(
        "create or replace view events as select time, exposure, key, variant, unit, value"
        f" from read_parquet({store._text(store.files(folder))}, hive_partitioning = false)"
    )


def last_event(ask: DuckDBPyConnection) -> datetime | None:
    found = ask.execute("select max(time) from events").fetchone()
    return found[0] if found else None


def exposed(ask: DuckDBPyConnection, plan: Experiment) -> Exposed:
    """Who saw a variant, kept for `days`."""
    begins, ends = _utc(plan.begins), _utc(plan.ends)
    ask.execute(UNITS, {"flag": plan.flag, "begins": begins, "ends": ends})
    ask.execute(KEPT, {"variants": list(plan.variants)})
    counted: dict[str, int] = {}
    for variant, units in ask.execute("select variant, count(*) from units group by variant").fetchall():
        counted[variant] = units
    rest = ask.execute(
        "select count(*) filter (several),"
        " count(*) filter (not several and not list_contains($variants, variant)),"
        " min(since), max(lately) from seen",
        {"variants": list(plan.variants)},
    ).fetchone() or (0, 0, None, None)
    return Exposed({name: counted.get(name, 0) for name in plan.variants}, *rest)


def days(ask: DuckDBPyConnection, plan: Experiment, metric: Metric, last: date) -> Days:
    """For each day from the first exposure to `last` what is known at its end, by variant."""
    query = SUMS.format(
        before=BEFORE,
        x="1.0" if metric.kind == "rate" else "sum(value)",
        growth=RATE if metric.kind == "rate" else MEAN,
    )
    values = {"name": metric.name, "begins": _utc(plan.begins), "ends": _utc(plan.ends)}
    grown: dict[date, dict[str, list[float]]] = {}
    for variant, day, *sums in ask.execute(query, values).fetchall():
        of_day = grown.setdefault(day, {}).setdefault(variant, [0.0] * 7)
        for place, value in enumerate(sums):
            of_day[place] += float(value or 0)
    so_far = {variant: [0.0] * 7 for variant in plan.variants}
    found: list[tuple[date, Mapping[str, Moments]]] = []
    day = min(grown, default=last)
    while day <= last:
        for variant, sums in grown.get(day, {}).items():
            so_far[variant] = [one + more for one, more in zip(so_far[variant], sums, strict=True)]
        found.append(
            (day, {name: Moments(int(one[0]), int(one[1]), *one[2:]) for name, one in so_far.items()})
        )
        day += timedelta(days=1)
    return found


def _utc(time: datetime) -> datetime:
    """Times in Parquet are of UTC and name no zone."""
    return time.replace(tzinfo=None)
