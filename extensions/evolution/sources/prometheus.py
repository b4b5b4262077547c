"""What Prometheus knows, asked over its HTTP API: here by expressions of a person's own. stack.py has what
the services' own metrics tell.

Each figure is one PromQL expression that gives one number. Expressions average over a week or more, so that
the figure of a Monday morning is that of the week, and so that the past can be asked at weekly steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from . import rates, web

# Requests a minute, where no metrics of level 3 are. The name is the one that prometheus-flask-exporter
# gives its counter.
REQUESTS = "sum(rate(flask_http_request_total[1w])) * 60"

Figure = tuple[float, rates.History]


@dataclass(frozen=True)
class Ask:
    """A Prometheus at an address, asked as of `now`; `by` is the moment (of time.monotonic) to be ready by.

    All of it raises NotMeasured where there is no answer, and web.Answered where a query is refused.
    """

    url: str
    now: float
    by: float

    def instant(self, query: str) -> list[dict[str, Any]]:
        """The series that a query gives now, each with its `metric` and `value`."""
        return self._series("query", {"query": query, "time": self.now})

    def number(self, query: str) -> float | None:
        """The number that a query gives now; None where it gives none that can be compared, or several."""
        series = self.instant(query)
        return number_of(series[0]["value"]) if len(series) == 1 else None

    def range(
        self, query: str, start: float, end: float, step: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """The series of a query from time to time: labels, and (time, number) of each."""
        span = {"query": query, "start": start, "end": end, "step": step}
        found = []
        for one in self._series("query_range", span):
            points = [(float(point[0]), number_of(point)) for point in one["values"]]
            labels = dict(one.get("metric") or {})
            found.append((labels, [(at, number) for at, number in points if number is not None]))
        return found

    def weeks(self, query: str) -> rates.History:
        """The number that a query gave on each Monday; nothing where it gives several series."""
        weeks = rates.mondays(self.now)
        past = self.range(query, weeks[0].timestamp(), weeks[-1].timestamp(), rates.WEEK)
        points = past[0][1] if len(past) == 1 else []
        return tuple((datetime.fromtimestamp(at, UTC).date().isoformat(), number) for at, number in points)

    def _series(self, kind: str, given: dict[str, Any]) -> list[dict[str, Any]]:
        """The series of an answer; a scalar counts as one."""
        answer = web.get(f"{self.url}/api/v1/{kind}?{urlencode(given)}", self.by)
        try:
            result, kind = answer["data"]["result"], answer["data"]["resultType"]
            return [{"value": result}] if kind == "scalar" else list(result)
        except (TypeError, KeyError):
            raise web.NotMeasured("the address answers, but not as Prometheus does") from None


def figure(ask: Ask, query: str) -> Figure | str:
    """The number of a query now and at the beginnings of the weeks before, or a line that says why there is
    none.
    """
    series = ask.instant(query)
    if len(series) > 1:
        return f"the query gives {len(series)} series, expected one number: put sum(…) around it"
    value = number_of(series[0]["value"]) if series else None
    if value is None:
        return "Prometheus has no samples for the query"
    return value, ask.weeks(query)


def refused(error: web.Answered) -> str:
    """What a status means here."""
    return f"Prometheus refuses the query ({error})"


def number_of(point: Any) -> float | None:
    """The number of a sample [time, "number"]; None where it is none that can be compared, as that of 0/0."""
    try:
        number = float(point[1])
    except (TypeError, ValueError, IndexError):
        return None
    return number if math.isfinite(number) else None
