"""What Prometheus knows: how much traffic production has, and how much of the time it answered.

Asked over its HTTP API.

Each figure is one PromQL expression that gives one number. Expressions average over a week or more, so that
the figure of a Monday morning is that of the week, and so that the past can be asked at weekly steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from . import rates, web

# Requests a minute. The name is the one that prometheus-flask-exporter gives its counter.
REQUESTS = "sum(rate(flask_http_request_total[1w])) * 60"

Figure = tuple[float, rates.History]


def ask(url: str, queries: Mapping[str, str], now: float) -> dict[str, Figure | str]:
    """For each name in `queries` its value now and at the beginnings of the weeks before, or a line that says
    why there is none.

    Raises NotMeasured where the server gives nothing at all.
    """

    def all_of_them(by: float) -> dict[str, Figure | str]:
        return {name: _figure(url, query, now, by) for name, query in queries.items()}

    return web.within(web.LIMIT, "Prometheus", all_of_them)


def _figure(url: str, query: str, now: float, by: float) -> Figure | str:
    try:
        series = _series(web.get(f"{url}/api/v1/query?{urlencode({'query': query, 'time': now})}", by))
        if len(series) > 1:
            return f"the query gives {len(series)} series, expected one number: put sum(…) around it"
        value = _number(series[0]["value"]) if series else None
        if value is None:
            return "Prometheus has no samples for the query"
        weeks = rates.mondays(now)
        span = {
            "query": query,
            "start": weeks[0].timestamp(),
            "end": weeks[-1].timestamp(),
            "step": rates.WEEK,
        }
        past = _series(web.get(f"{url}/api/v1/query_range?{urlencode(span)}", by))
    except web.Answered as error:
        return f"Prometheus refuses the query ({error})"
    points = past[0]["values"] if len(past) == 1 else []
    numbers = (
        (datetime.fromtimestamp(float(point[0]), UTC).date().isoformat(), _number(point)) for point in points
    )
    return value, tuple((week, number) for week, number in numbers if number is not None)


def _series(answer: Any) -> list[dict[str, Any]]:
    """The series of an answer; a scalar counts as one. Raises NotMeasured for what isn't Prometheus'
    answer.
    """
    try:
        result, kind = answer["data"]["result"], answer["data"]["resultType"]
        return [{"value": result}] if kind == "scalar" else list(result)
    except (TypeError, KeyError):
        raise web.NotMeasured("the address answers, but not as Prometheus does") from None


def _number(point: Any) -> float | None:
    """The number of a sample [time, "number"]; None where it is none that can be compared, as that of 0/0."""
    try:
        number = float(point[1])
    except (TypeError, ValueError, IndexError):
        return None
    return number if math.isfinite(number) else None
