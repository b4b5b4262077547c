"""How much of its error budget each service has left in each environment, and how fast it burns.

A budget is the share of requests of 30 days that may fail, or be slow, by the objective. Figures come from
the recording rules of the monitoring stack where it has them, and for availability else from the requests
that services count themselves. What was watched for less than a day, or has too few requests for one failure
to fit into the budget, is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..project.git_and_files import counted
from ..template import answers
from . import settings
from .sources import host, prometheus, rates, stack, web

DAYS = 30
FINE, EXHAUSTED, UNKNOWN = "fine", "exhausted", "unknown"
REQUESTS = "http_server_request_duration_seconds_count"


@dataclass(frozen=True)
class Budget:
    """One objective of one service in one environment.

    `objective` is a share of requests, `left` a share of the budget, below 0 where more than all of it is
    used; `burn` says how many times as fast as it would last 30 days it is used now, over an hour. Each is
    None where it isn't known. `since` is from when on there are data of these 30 days. `reason` says why the
    `state` is unknown, and is empty elsewhere.
    """

    environment: str
    service: str
    slo: str
    objective: float | None = None
    left: float | None = None
    burn: float | None = None
    requests: float | None = None
    since: datetime | None = None
    state: str = UNKNOWN
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        since = self.since.isoformat(timespec="seconds") if self.since else None
        return {**asdict(self), "since": since}


def budgets(
    project: Path, recorded: Mapping[str, Any], wanted: Sequence[str], now: datetime
) -> Iterator[Budget]:
    """The budgets of the environments `wanted`, one after the other.

    Raises Refused for a config/evolution.yml that can't be taken.
    """
    told = settings.read(project)
    for environment in wanted:
        named = told.prometheus if environment == told.environment else ""
        yield from _of(project, recorded, environment, named, now.timestamp())


def _of(
    project: Path, recorded: Mapping[str, Any], environment: str, named: str, now: float
) -> Sequence[Budget]:
    services = [one["name"] for one in answers.recorded_services(recorded) if one["kind"] == "web"]
    try:
        with host.way_to_prometheus(project, named, environment) as (address, _):

            def look(by: float) -> Sequence[Budget]:
                return list(_looked(prometheus.Ask(address, now, by), recorded, services, environment))

            return web.within(web.LIMIT, "Prometheus", look)
    except web.NotMeasured as error:
        reason = str(error)
    except web.Answered as error:
        reason = prometheus.refused(error)
    return [Budget(environment, service, "availability", reason=reason) for service in services]


def code(found: Sequence[Budget]) -> int:
    """The exit code: 1 where a budget is exhausted, 3 where none is and one isn't known, else 0."""
    states = {one.state for one in found}
    return 1 if EXHAUSTED in states else 0 if states == {FINE} else 3


def _looked(
    ask: prometheus.Ask, recorded: Mapping[str, Any], services: Sequence[str], environment: str
) -> Iterator[Budget]:
    where = stack.labels(recorded["project_name"], environment)
    up = f'group by (service) (up{{job="services",{where}}})'
    since = _by(ask, f"min_over_time((time() + 0 * {up})[{DAYS}d:5m])")
    of_rules = f'project=~"{recorded["project_name"]}|",environment=~"{environment}|"'
    objectives = _by(ask, f"service:slo_objective:ratio{{{of_rules}}}", "slo")
    plain = recorded.get("uptime_target")
    for service in services:
        if plain is not None and (service, "availability") not in objectives:
            objectives[service, "availability"] = float(str(plain).rstrip("%")) / 100
    errors = {
        window: _by(ask, f"service:slo_errors:ratio_rate{window}{{{where}}}", "slo")
        for window in ("30d", "1h")
    }
    # What was recorded is one series for a service. Reading all series of its requests over 30 days takes
    # seconds, so it is done only for services that no rule tells of.
    a_second = _by(ask, f'avg_over_time(service:slo_all:rate1m{{{where},slo="availability"}}[{DAYS}d])')
    answered = {
        key: a_second[key] * min(DAYS * rates.DAY, ask.now - began)
        for key, began in since.items()
        if key in a_second
    }
    if unknown := [
        one for one in services if (one, "availability") not in errors["30d"] or (one, "") not in answered
    ]:
        of_them = f'{where},service=~"{"|".join(unknown)}"'
        all_of_it = f"sum by (service) (increase({REQUESTS}{{{of_them}}}[{DAYS}d]))"
        for key, number in _by(ask, all_of_it).items():
            answered.setdefault(key, number)
        for window, found in errors.items():
            bad = f'{of_them},http_response_status_code=~"5.."'
            failed = _by(ask, f"sum by (service) (increase({REQUESTS}{{{bad}}}[{window}]))")
            every = (
                answered if window == f"{DAYS}d" else _by(ask, all_of_it.replace(f"[{DAYS}d]", f"[{window}]"))
            )
            for name in unknown:
                if every.get((name, "")):
                    share = failed.get((name, ""), 0.0) / every[name, ""]
                    found.setdefault((name, "availability"), share)
    for service in services:
        for slo in dict.fromkeys(["availability", *(slo for of, slo in objectives if of == service)]):
            key, plain_key = (service, slo), (service, "")
            began = since.get(plain_key)
            one = Budget(
                environment,
                service,
                slo,
                objective=objectives.get(key),
                requests=answered.get(plain_key),
                since=None if began is None else datetime.fromtimestamp(began, UTC),
            )
            yield _judged(one, errors["30d"].get(key), errors["1h"].get(key), ask.now)


def _judged(one: Budget, errors: float | None, lately: float | None, now: float) -> Budget:
    """A budget with what is left of it, or why that isn't known."""

    def unknown(reason: str) -> Budget:
        return Budget(**{**vars(one), "reason": reason})

    if one.since is None:
        return unknown("Prometheus watches no such service in this environment")
    age = (now - one.since.timestamp()) / rates.DAY
    if age < 1:
        return unknown(f"there are data of {counted(int(age * 24), 'hour')}, and a day is needed")
    if one.objective is None:
        return unknown("no objective: Prometheus has no rule service:slo_objective:ratio")
    allowed = 1 - one.objective
    if allowed <= 0:
        return unknown("an objective of 100% has no budget")
    needed = round(1 / allowed)
    if not one.requests or one.requests < needed:
        have = counted(round(one.requests or 0), "request")
        return unknown(
            f"{have} in {DAYS} days, and {needed} are needed for one failure to fit into the budget"
        )
    if errors is None:
        return unknown("Prometheus has no rule service:slo_errors:ratio_rate30d of it yet")
    left = 1 - errors / allowed
    return Budget(
        **{
            **vars(one),
            "left": left,
            "burn": None if lately is None else lately / allowed,
            "state": EXHAUSTED if left < 1e-9 else FINE,
        }
    )


def _by(ask: prometheus.Ask, query: str, label: str = "") -> dict[tuple[str, str], float]:
    """The numbers of a query by service, and by another label where one is named."""
    found = {}
    for series in ask.instant(query):
        named = series.get("metric") or {}
        if (number := prometheus.number_of(series.get("value"))) is not None:
            found[named.get("service", ""), named.get(label, "") if label else ""] = number
    return found
