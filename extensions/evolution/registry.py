"""The metrics that triggers may name, each with its unit and meaning. docs/metrics.md is written from here
(reference.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# A month and a year as they are on average: of 365.25 days.
YEAR = 365.25
MONTH = YEAR / 12

DAYS = {"day": 1.0, "week": 7.0, "month": MONTH, "quarter": YEAR / 4, "year": YEAR}
HOURS = {"minute": 1 / 60, "hour": 1.0, "day": 24.0, "week": 168.0}
MINUTES = {"second": 1 / 60, "minute": 1.0, "hour": 60.0, "day": 1440.0}


@dataclass(frozen=True)
class Dimension:
    """What quantities are compared by: only those of one dimension can be.

    `units` are what may stand behind a number, after an underscore (`%` without), each with its factor to the
    canonical unit; "" is for a number alone. `words` stand for a whole quantity, in the canonical unit.
    `highest` is the largest quantity that there can be; `one` is the name beside a 1.
    """

    name: str
    one: str
    example: str
    units: Mapping[str, float]
    words: Mapping[str, float]
    highest: float = 1e12


def _counted(name: str, one: str, example: str, *units: str) -> Dimension:
    return Dimension(name, one, example, dict.fromkeys(units, 1.0), {})


def _rate(noun: str) -> Dimension:
    units = {f"{what}per_{period}": 1 / days for what in ("", f"{noun}s_") for period, days in DAYS.items()}
    words = {
        "daily": 1.0,
        **{f"{period}ly": 1 / days for period, days in DAYS.items() if period != "day"},
        "hourly": 24.0,
    }
    return Dimension(f"{noun}s a day", f"{noun} a day", "weekly or 2_per_week", units, words)


PEOPLE = _counted("people", "person", "3 or 3_people", "", "person", "people", "members")
DEPLOYMENTS = _rate("deployment")
ERRORS = _rate("error")
RATIO = Dimension("a ratio", "a ratio", "99.9%", {"%": 0.01}, {}, highest=1.0)
HOURS_TAKEN = Dimension(
    "hours", "hour", "4_hours", {f"{unit}{s}": hours for unit, hours in HOURS.items() for s in ("", "s")}, {}
)
# Users of a week are not seven times those of a day: there is no other period.
DAILY_USERS = _counted("users a day", "user a day", "1000_users", "users", "users_per_day")
_requests = {f"requests_per_{period}": 1 / minutes for period, minutes in MINUTES.items()}
REQUESTS = Dimension("requests a minute", "request a minute", "100_requests_per_minute", _requests, {})
USERS = _counted("users", "user", "10000 or 10000_users", "", "users")
SERVICES = _counted("services", "service", "2 or 2_services", "", "service", "services")
BOOLEAN = Dimension("true or false", "true or false", "true", {}, {"true": 1.0, "false": 0.0})


@dataclass(frozen=True)
class Metric:
    """One thing that a trigger may ask for.

    `unit` is the canonical one, in which values are given; `source` is measured or declared.
    """

    name: str
    dimension: Dimension
    unit: str
    meaning: str
    source: str = "measured"


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "team_size",
            PEOPLE,
            "people",
            "people who committed in the last 90 days; no bots, one person once",
        ),
        Metric("deployment_frequency", DEPLOYMENTS, "a day", "deployments to production"),
        Metric(
            "manual_errors",
            ERRORS,
            "a day",
            "deployments that failed, rollbacks, and incidents that were recorded",
        ),
        Metric(
            "change_failure_rate",
            RATIO,
            "0 to 1",
            "the share of deployments that failed or led to an incident",
        ),
        Metric(
            "time_to_restore",
            HOURS_TAKEN,
            "hours",
            "from a failed deployment or an incident until all was well, as a median",
        ),
        Metric("lead_time", HOURS_TAKEN, "hours", "from a commit to its deployment, as a median"),
        Metric("production_traffic.users", DAILY_USERS, "a day", "different users of production in a day"),
        Metric("production_traffic.requests", REQUESTS, "a minute", "requests that production answers"),
        Metric("user_base", USERS, "users", "users that the product has", "declared"),
        Metric("measured_uptime", RATIO, "0 to 1", "the share of the time in which production answered"),
        Metric(
            "uptime_requirement",
            RATIO,
            "0 to 1",
            "the share of the time in which the business asks for answers",
            "declared",
        ),
        Metric("multiple_services", BOOLEAN, "true or false", "there is more than one service"),
        Metric("service_count", SERVICES, "services", "the services of the project"),
        Metric(
            "geographic_distribution",
            BOOLEAN,
            "true or false",
            "users or servers are in more than one region",
            "declared",
        ),
        Metric(
            "handling_user_data",
            BOOLEAN,
            "true or false",
            "the services keep or pass on personal data",
            "declared",
        ),
        Metric(
            "production_deployment", BOOLEAN, "true or false", "something has been deployed to production"
        ),
    )
}


def of_name(name: str) -> list[Metric]:
    """The metrics that a name in a trigger may mean: for `production_traffic` two, of which the unit picks
    one; for a wrong name none.
    """
    return [
        metric for metric in METRICS.values() if metric.name == name or metric.name.startswith(f"{name}.")
    ]


def names() -> list[str]:
    """Every name that a trigger may use for a metric."""
    return sorted(
        {name for metric in METRICS.values() for name in (metric.name, metric.name.partition(".")[0])}
    )
