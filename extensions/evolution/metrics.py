"""Each metric of the registry, measured: its value, where it comes from, over which time, how sure it is; or
why it isn't known.

Sources of deployments are tried in this order, and the first that has one in the window is taken: the
deployment log together with the record that deploys leave on their host, GitHub's deployments, the runs of
the workflow that config/evolution.yml names, release tags. Where that record can't be read, the log alone
lacks what workflows deployed, and comes after GitHub's. Merges are never passed off as deployments.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ..project.git_and_files import shown
from ..template import answers
from . import deployment_log, document, settings
from .registry import METRICS
from .sources import deployments, git_history, github, host, prometheus, rates, stack, web

WINDOW = f"{rates.WEEKS} weeks"
NO_LOG = f"there is no deployment log ({deployment_log.FILE})"


@dataclass(frozen=True)
class Measured:
    """One metric. `value` is in the registry's unit, and None where it isn't known; then `reason` says why,
    and is empty elsewhere.

    `evidence` are lines for people. `history` has what was known at the beginning of each ISO week (the date
    of its Monday, 0:00 UTC), the oldest first, by the same definition as the value. `do` is what makes an
    unknown one known, where it hangs on the reason. Where `window` is "now" or empty the value has no past;
    elsewhere a week that is missing in the history wasn't known. Texts hold what people wrote: they are one
    line each, and not escaped further.
    """

    metric: str
    value: float | bool | None
    source: str = ""
    window: str = ""
    confidence: str = "none"  # high, medium, low; none where the value isn't known
    evidence: tuple[str, ...] = ()
    reason: str = ""
    history: rates.History = ()
    do: str = ""


def measure(
    project: Path, recorded: Mapping[str, Any], *, now: datetime, offline: bool = False
) -> dict[str, Measured]:
    """Every metric of the registry, by name, for the repository at `project`.

    `recorded` are its answers; `now` needs a time zone; `offline` asks neither GitHub, Prometheus nor a host.
    Raises Refused for a config/evolution.yml that can't be taken; whatever else is missing makes a metric
    unknown.
    """
    at = now.timestamp()
    wanted = settings.read(project)
    read = _deployment_log(project, wanted.environment, at, offline)
    try:
        git_history.readable(project)
        git = None
    except git_history.Unknown as error:
        git = error
    deployed, asked = _deployments(project, recorded, wanted, read, at, offline, git)
    found = [
        _team_size(project, wanted, at, git),
        _frequency(deployed, asked, read.unread, at),
        _lead_time(project, deployed, at, git),
        _production(deployed, asked),
        *_from_log(read, wanted.environment, at),
        *_from_prometheus(project, recorded, wanted, at, offline),
        *_services(recorded),
        *(_declared(wanted, name) for name in settings.DECLARED),
    ]
    measured = {one.metric: one for one in found}
    return {name: measured[name] for name in METRICS}


def _unknown(
    metric: str,
    reason: str,
    source: str = "",
    evidence: Iterable[str] = (),
    history: rates.History = (),
    do: str = "",
) -> Measured:
    return Measured(metric, None, source, reason=reason, evidence=tuple(evidence), history=history, do=do)


def _wait(began: float) -> str:
    """What to do about a record that is too short."""
    return f"go on as now: it is known from {deployments.day(rates.known_from(began))} on"


# git


def _team_size(
    project: Path, wanted: settings.Settings, at: float, git: git_history.Unknown | None
) -> Measured:
    if git:
        return _unknown("team_size", str(git), "git", do=git.do)
    try:
        team = git_history.team(project, at, wanted.bots)
    except git_history.Unknown as error:
        return _unknown("team_size", str(error), "git", do=error.do)
    evidence = [f"{_listed(team.names(at)) or 'nobody'} committed"]
    evidence += (
        [f"several addresses or names taken for one person: {_listed(sorted(team.merged))}"]
        if team.merged
        else []
    )
    evidence += [f"bots, not counted: {_listed(sorted(team.bots))}"] if team.bots else []
    evidence += (
        [f"commits that name further authors, who count too: {team.co_authored}"] if team.co_authored else []
    )
    evidence += [f"commits dated in the future, not counted: {team.future}"] if team.future else []
    size = team.size(at)
    if size is None:
        do = "look at the clock of this machine, and at the dates in `git log`"
        return _unknown("team_size", "every commit is dated in the future", "git", evidence[1:], do=do)
    # Names join addresses by likeness where the mailmap says nothing.
    confidence = "medium" if team.merged or team.future else "high"
    return Measured(
        "team_size",
        size,
        "git log",
        f"{git_history.TEAM_DAYS} days",
        confidence,
        tuple(evidence),
        history=rates.history(team.size, at),
    )


def _listed(names: Sequence[str], most: int = 10) -> str:
    """Names in one line, some of them where there are many."""
    return ", ".join(shown(name)[:60] for name in names[:most]) + (
        f" and {len(names) - most} more" if len(names) > most else ""
    )


# Deployments


def _deployment_log(
    project: Path, environment: str, at: float, offline: bool
) -> deployment_log.DeploymentLog:
    """The deployment log, with the record on the environment's host where the project's deploys leave one."""
    read = deployment_log.read(project, at + rates.SLACK)
    if not host.has_record(project):
        return read
    if offline:
        return replace(read, unread="not asked, offline")
    try:
        return deployment_log.with_host(read, host.record(project, environment), at + rates.SLACK)
    except web.NotMeasured as error:
        return replace(read, unread=str(error))


def _to_read(unread: str) -> str:
    """What to do about a record on the host that wasn't read."""
    if "offline" in unread:
        return "run this without `--offline`"
    return "run this where the host can be reached: on a machine that deploys there"


def _deployments(
    project: Path,
    recorded: Mapping[str, Any],
    wanted: settings.Settings,
    read: deployment_log.DeploymentLog,
    at: float,
    offline: bool,
    git: git_history.Unknown | None,
) -> tuple[deployments.Deployments | None, tuple[str, ...]]:
    """The source to take, and a line for each that was asked and not taken.

    The first with a deployment in the window is taken. Where none has one, it is the first that has any: that
    one says how long ago.
    """
    repository = str(recorded.get("repository") or os.environ.get("GITHUB_REPOSITORY", ""))

    def of_log() -> deployments.Deployments | None:
        if not read.there:
            raise web.NotMeasured("no such file" if read.files == deployment_log.FILE else "empty")
        return deployments.of_log(read, wanted.environment)

    def of_github(ask: Callable[[], deployments.Deployments | None]) -> deployments.Deployments | None:
        if offline:
            raise web.NotMeasured("not asked, offline")
        if not repository:
            raise web.NotMeasured("not asked, the answer `repository` is empty")
        return ask()

    def of_tags() -> deployments.Deployments | None:
        if git:
            raise web.NotMeasured(str(git))
        times, left_out = git_history.releases(project, at)
        return (
            deployments.Deployments("release tags", "low", times, times[0], notes=tuple(left_out))
            if times
            else None
        )

    tried: list[tuple[str, Callable[[], deployments.Deployments | None]]] = [
        (f"the {read.source}", of_log),
        (
            "GitHub's deployments",
            lambda: of_github(lambda: github.deployments(repository, wanted.environment, at)),
        ),
    ]
    if wanted.workflow:
        tried.append(
            (
                f"runs of {wanted.workflow}",
                lambda: of_github(lambda: github.runs(repository, wanted.workflow, at)),
            )
        )
    asked: list[str] = []
    if read.unread:
        tried = [*tried[1:], tried[0]]
        asked.append(f"{deployment_log.ON_HOST}: {read.unread}")
    tried.append(("release tags", of_tags))
    old: deployments.Deployments | None = None
    for name, ask in tried:
        try:
            found = ask()
        except web.NotMeasured as error:
            asked.append(f"{name}: {error}")
            continue
        if found and found.lately(at):
            return found, tuple(asked)
        old = old or found
        asked.append(
            f"{name}: none in {WINDOW}"
            if found
            else f"{name}: none to {wanted.environment}"
            if name != "release tags"
            else f"{name}: none"
        )
    return old, tuple(asked)


def _frequency(
    deployed: deployments.Deployments | None, asked: tuple[str, ...], unread: str, at: float
) -> Measured:
    name = "deployment_frequency"
    if deployed is None:
        return _unknown(name, "; ".join(asked), evidence=asked, do=_to_read(unread) if unread else "")
    noun = "release" if deployed.source == "release tags" else "deployment"
    evidence = (*deployed.evidence(at, noun), *asked)

    def rate(then: float) -> float | None:
        return rates.per_day(deployed.times, deployed.began, then)

    value, history = rate(at), rates.history(rate, at)
    if value is None:
        return _unknown(
            name,
            rates.too_short(deployed.began, at),
            deployed.source,
            evidence,
            history,
            _wait(deployed.began),
        )
    return Measured(name, value, deployed.source, WINDOW, deployed.confidence, evidence, history=history)


def _lead_time(
    project: Path, deployed: deployments.Deployments | None, at: float, git: git_history.Unknown | None
) -> Measured:
    name = "lead_time"
    if git:
        return _unknown(name, str(git), "git", do=git.do)
    if deployed is None or not deployed.versions:
        return _unknown(name, "no source tells which commit was deployed when")
    commits = git_history.commit_times(project, (version for _, version in deployed.versions))
    hours = deployments.lead_hours(deployed, commits)
    value = deployments.median_at(hours, at)
    lost = len(deployed.versions) - len(hours)
    evidence = (
        (f"deployments of commits that aren't here, or are dated later, not counted: {lost}",) if lost else ()
    )
    source = f"{deployed.source}, git"
    history = rates.history(lambda then: deployments.median_at(hours, then), at)
    if value is None:
        do = "record deployments with their commit or tag: `make record WHAT=deploy VERSION=v1.2.0`"
        return _unknown(name, f"no deployment of a known commit in {WINDOW}", source, evidence, history, do)
    return Measured(
        name,
        value,
        source,
        WINDOW,
        deployed.confidence,
        ("the median from commit to deployment", *evidence),
        history=history,
    )


def _production(deployed: deployments.Deployments | None, asked: tuple[str, ...]) -> Measured:
    name = "production_deployment"
    # A release tag says nothing about production, and no record of a deployment isn't the record of none.
    if deployed is None or not deployed.versions:
        return _unknown(name, "no deployment is recorded", evidence=asked)
    last = f"the last one on {deployments.day(deployed.times[-1])}"
    return Measured(name, True, deployed.source, confidence=deployed.confidence, evidence=(last,))


def _from_log(read: deployment_log.DeploymentLog, environment: str, at: float) -> list[Measured]:
    """What only the deployment log tells: how often something goes wrong by hand, how long it takes to put it
    right, what share of the deploys fails.
    """
    names = ("manual_errors", "time_to_restore", "change_failure_rate")
    here = [entry for entry in read.entries if entry.environment == environment]
    unread = f"{deployment_log.ON_HOST} wasn't read ({read.unread})" if read.unread else ""
    if not here:
        reason = f"the deployment log has nothing of {environment}" if read.there else NO_LOG
        do = _to_read(read.unread) if unread else ""
        reason = f"{unread}, and {reason}" if unread else reason
        return [
            _unknown(name, reason, read.source if read.there else "", read.left_out, do=do) for name in names
        ]
    troubles = deployments.errors(read, environment)
    lately = [trouble for trouble in troubles if rates.since(at) < trouble.start <= at]
    kinds = [trouble.what for trouble in lately]
    seen = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))) or "nothing went wrong"
    still_open = sum(trouble.end is None for trouble in troubles)
    evidence = (f"in {WINDOW}: {seen}", *([unread] if unread else []), *read.left_out)
    told = Measured("", None, read.source, WINDOW, "medium" if unread else "high", evidence)

    def known(
        name: str, value_at: Callable[[float], float | None], reason: str, do: str, *evidence: str
    ) -> Measured:
        value, lines, history = value_at(at), (*told.evidence, *evidence), rates.history(value_at, at)
        if unread and not value:  # nothing went wrong in what is known here: elsewhere it may have
            return _unknown(name, unread, read.source, lines, do=_to_read(read.unread))
        if value is None:
            return _unknown(name, reason, read.source, lines, history, do)
        return replace(told, metric=name, value=value, evidence=lines, history=history)

    starts, began = [trouble.start for trouble in troubles], read.entries[0].at
    restored = deployments.restored(troubles)
    outcomes = deployments.outcomes(read, environment)
    return [
        known(
            "manual_errors",
            lambda then: rates.per_day(starts, began, then),
            rates.too_short(began, at),
            _wait(began),
            "the rate leaves out the worst week",
        ),
        known(
            "time_to_restore",
            lambda then: deployments.median_at(restored, then),
            f"nothing that went wrong was put right in {WINDOW}",
            "nothing, as long as nothing breaks; what does: `make record WHAT=incident`, then `make record"
            " WHAT=restored`",
            *([f"not over yet: {still_open}"] if still_open else []),
        ),
        known(
            "change_failure_rate",
            lambda then: deployments.share_failed_at(outcomes, then),
            f"no deploy in {WINDOW}",
            "",
        ),
    ]


# Production


NAMES = {
    "requests": "production_traffic.requests",
    "uptime": "measured_uptime",
    "users": "production_traffic.users",
}


def _from_prometheus(
    project: Path, recorded: Mapping[str, Any], wanted: settings.Settings, at: float, offline: bool
) -> list[Measured]:
    """Traffic and uptime: by a query of the person's where config/evolution.yml has one, else from what
    services serve from level 3 on.
    """
    stacked = host.has_prometheus(project)
    if not wanted.prometheus and not stacked:
        why = "no Prometheus is named: `sources: prometheus:` in config/evolution.yml"
        return [_no_figure(key, wanted, why) for key in NAMES]
    if offline:
        return [
            _no_figure(key, wanted, "not asked, offline", "run this without `--offline`") for key in NAMES
        ]
    name, services = str(recorded.get("project_name", "")), answers.recorded_services(dict(recorded))
    try:
        with host.way_to_prometheus(project, wanted.prometheus, wanted.environment) as (address, what):
            source = f"Prometheus ({what})"

            def ask_all(by: float) -> list[Measured]:
                ask = prometheus.Ask(address, at, by)
                return [
                    _production_figure(ask, key, name, services, wanted, source, stacked) for key in NAMES
                ]

            return web.within(web.LIMIT, "Prometheus", ask_all)
    except web.NotMeasured as error:
        return [_no_figure(key, wanted, str(error), _to_reach(wanted)) for key in NAMES]


def _production_figure(
    ask: prometheus.Ask,
    key: str,
    project_name: str,
    services: Sequence[Mapping[str, Any]],
    wanted: settings.Settings,
    source: str,
    stacked: bool,
) -> Measured:
    """One of the three figures, from a Prometheus that is there to be asked."""
    name, own = NAMES[key], wanted.queries.get(key, "")
    how = f"look at the query below `sources: prometheus: {key}:` in config/evolution.yml"
    query, why = own, ""
    try:
        if not own and stacked:
            told = _from_stack(ask, key, project_name, services, wanted.environment)
            if isinstance(told, stack.Told):
                evidence = tuple(map(shown, told.evidence))
                return Measured(
                    name, told.value, source, told.window, told.confidence, evidence, history=told.history
                )
            why, how = told, f"let it run on, or write a query below `sources: prometheus: {key}:`"
        if not own and key == "requests" and wanted.prometheus:
            query = prometheus.REQUESTS
        answer = prometheus.figure(ask, query) if query else why
    except web.Answered as error:
        answer = prometheus.refused(error)
    except web.NotMeasured as error:
        answer, how = str(error), _to_reach(wanted)
    if isinstance(answer, str) and why and query != own:
        answer = why  # what level 3's metrics lack says more than that there are none of another exporter
    if not answer:
        answer = f"no query is given: `sources: prometheus: {key}:` in config/evolution.yml"
        how = f"write the query below `sources: prometheus: {key}:` in config/evolution.yml"
    if not isinstance(answer, str) and key == "uptime" and not 0 <= answer[0] <= 1:
        answer = f"the query gives {answer[0]:g}, expected a share from 0 to 1"
    line = (shown(query),) if query else ()
    if isinstance(answer, str):
        return _unknown(name, answer, source, line, do=how)
    return Measured(name, answer[0], source, "as the query has it", "high", line, history=answer[1])


def _from_stack(
    ask: prometheus.Ask, key: str, project_name: str, services: Sequence[Mapping[str, Any]], environment: str
) -> stack.Told | str:
    where = stack.labels(project_name, environment)
    if key == "requests":
        return stack.requests(ask, where, ask.now)
    if key == "users":
        return stack.users(ask, where, ask.now)
    return stack.uptime(ask, where, [str(one["name"]) for one in services if one["kind"] == "web"], ask.now)


def _to_reach(wanted: settings.Settings) -> str:
    """What to do about a Prometheus that doesn't answer."""
    if wanted.prometheus:
        return "look whether the Prometheus of config/evolution.yml answers from this machine"
    return "run this on a machine that deploys there, or set PROMETHEUS_URL"


def _no_figure(key: str, wanted: settings.Settings, why: str, how: str = "") -> Measured:
    query = wanted.queries.get(key, prometheus.REQUESTS if key == "requests" and wanted.prometheus else "")
    source = f"Prometheus ({shown(wanted.prometheus)})" if wanted.prometheus else ""
    return _unknown(NAMES[key], why, source, (shown(query),) if query else (), do=how)


# What is known without measuring


def _services(recorded: Mapping[str, Any]) -> list[Measured]:
    names = [str(one["name"] if isinstance(one, Mapping) else one) for one in recorded.get("services", ())]
    told = Measured("", None, "the answer `services`", "now", "high", (_listed(names),))
    return [
        replace(told, metric="service_count", value=float(len(names))),
        replace(told, metric="multiple_services", value=len(names) > 1),
    ]


def _declared(wanted: settings.Settings, name: str) -> Measured:
    if name not in wanted.declared:
        return _unknown(name, f"nobody has said: `declared: {name}:` in {document.FILE}")
    return Measured(name, wanted.declared[name], f"{document.FILE}:{wanted.lines[name]}", "now", "high")
