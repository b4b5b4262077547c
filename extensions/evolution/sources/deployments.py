"""What a list of deployments tells: how often, how fast, how well.

The list comes from the deployment log, from GitHub, or from release tags.
"""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ...project.git_and_files import counted
from .. import deployment_log
from . import rates


@dataclass(frozen=True)
class Deployments:
    """Those that succeeded, by time, as one source has them.

    `began` is when the source's record begins; `versions` are times with the commit or version that was
    deployed then, where it is known.
    """

    source: str
    confidence: str
    times: Sequence[float]
    began: float
    versions: Sequence[tuple[float, str]] = ()
    notes: tuple[str, ...] = ()

    def lately(self, now: float) -> int:
        """How many there are in the window."""
        return len(self.times) - bisect.bisect(self.times, rates.since(now))

    def evidence(self, now: float, noun: str = "deployment") -> tuple[str, ...]:
        """What the rate is computed from."""
        first = (
            f"{counted(self.lately(now), noun)} in {rates.WEEKS} weeks, the record begins on"
            f" {day(self.began)}"
        )
        return (f"{first}; the rate leaves out the busiest week", *self.notes)


def day(time: float) -> str:
    """The date (UTC) of a time in seconds since 1970."""
    return datetime.fromtimestamp(time, UTC).date().isoformat()


def of_log(read: deployment_log.DeploymentLog, environment: str) -> Deployments | None:
    """Successful deploys of the deployment log to an environment; None where it has no deploy to it."""
    entries = [entry for entry in read.entries if entry.kind == "deploy" and entry.environment == environment]
    if not entries:
        return None
    well = [entry for entry in entries if not entry.failed]
    return Deployments(
        source=read.source,
        confidence="medium" if read.unread else "high",
        times=[entry.at for entry in well],
        began=read.entries[0].at,
        versions=[(entry.at, entry.version) for entry in well],
        notes=read.left_out,
    )


def lead_hours(deployments: Deployments, commits: Mapping[str, float]) -> list[tuple[float, float]]:
    """(time of the deployment, hours from the commit to it) where the commit is known and isn't the later one
    of the two.
    """
    return [
        (at, (at - commits[version]) / 3600)
        for at, version in deployments.versions
        if version in commits and commits[version] <= at
    ]


def median_at(points: Sequence[tuple[float, float]], at: float) -> float | None:
    """The median of the values in the window that ends at `at`; None where there is none."""
    values = [value for time, value in points if rates.since(at) < time <= at]
    return statistics.median(values) if values else None


def errors(read: deployment_log.DeploymentLog, environment: str) -> list[deployment_log.Trouble]:
    """What went wrong: all that people, and the deploys themselves, wrote into the deployment log."""
    return deployment_log.troubles(read.entries, environment)


def restored(found: Sequence[deployment_log.Trouble]) -> list[tuple[float, float]]:
    """(when it was over, hours that it took) of each trouble that is over and whose beginning is known."""
    return [
        (trouble.end, (trouble.end - trouble.start) / 3600)
        for trouble in found
        if trouble.end is not None and trouble.whole
    ]


def outcomes(read: deployment_log.DeploymentLog, environment: str) -> list[tuple[float, bool]]:
    """(time, whether it failed) of each deploy to an environment.

    One failed where the deployment log says so, and where an incident or a rollback came after it and before
    the next one: the last change is taken for the cause, as is usual where nobody says more.
    """
    deploys = [entry for entry in read.entries if entry.kind == "deploy" and entry.environment == environment]
    bad = [entry.failed for entry in deploys]
    times = [entry.at for entry in deploys]
    for trouble in errors(read, environment):
        if trouble.what in ("incident", "rolled back"):
            last = bisect.bisect(times, trouble.start) - 1
            while last >= 0 and deploys[last].failed:
                last -= 1
            if last >= 0:
                bad[last] = True
    return list(zip(times, bad, strict=True))


def share_failed_at(points: Sequence[tuple[float, bool]], at: float) -> float | None:
    """The share of the deploys in the window that ends at `at` that failed; None where there is none."""
    found = [failed for time, failed in points if rates.since(at) < time <= at]
    return sum(found) / len(found) if found else None
