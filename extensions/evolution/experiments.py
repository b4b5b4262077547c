"""Experiments of config/experiments.yml: how one stands, how many units it needs, its start and its end.

The file is judged by the project's own ci/experiments.py, loaded from the template; what was counted is asked
of the project's ci/deploy/events.py.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from statistics import NormalDist
from typing import Any

from ..analytics.statistics import ALPHA, POWER, factor_as_planned
from ..errors import Refused
from ..project.git_and_files import shown, text_of
from ..template import layers
from ..template.place import root
from . import flags
from .sources import host, prometheus, web

FILE = "config/experiments.yml"
USERS = 'avg_over_time(max by (project) (service:users_daily:estimate{project="%s",environment="%s"})[7d:1h])'


def reader() -> Any:
    """The project's ci/experiments.py, from the layer: it judges as the pipeline will."""
    layer: Path = layers.layer_folders(root())[4]
    spec = importlib.util.spec_from_file_location("project_experiments", layer / "ci" / "experiments.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("flags")
    sys.modules["flags"] = (
        flags.resolver()
    )  # which it imports by this name, as it stands beside it in a project
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["flags"]
        if before is not None:
            sys.modules["flags"] = before
    return module


CODE = reader()


def read(project: Path) -> dict[str, dict[str, Any]]:
    """The experiments of a project by name. Raises Refused for what is wrong in the file."""
    try:
        return dict(CODE.read(text_of(str(project / FILE)) or "experiments:"))
    except CODE.Problem as problem:
        raise Refused(shown(str(problem))) from None


def state(one: Mapping[str, Any], now: datetime) -> str:
    """How an experiment stands, in words."""
    whole = sum(one["variants"].values())
    shares = ", ".join(f"{name} {weight / whole:.1%}" for name, weight in one["variants"].items())
    if "ended" in one:
        return f"ended {str(one['ended'].get('at'))[:10]}; all get {one['ended']['serve']}"
    if "started" not in one:
        lacking = ", ".join(CODE.missing(one))
        return f"{f'lacks {lacking}' if lacking else 'not started'}; all get {one['control']}, then {shares}"
    over = " (that has passed: stop it)" if one.get("end", "9") < now.date().isoformat() else ""
    since, until = str(one["started"].get("at"))[:10], one.get("end", "unknown")
    return f"runs since {since}, until {until}{over}; {shares} (control: {one['control']})"


def sample(
    mean: float, deviation: float | None, effect: float, weights: Mapping[str, int], control: str
) -> int:
    """The units that all variants need together, for a relative `effect`: the normal approximation for two
    independent samples. Without `deviation` the mean is a rate.

    N = (f + z(power))^2 (s1^2/w1 + s2^2/w2) / d^2 for shares w1 and w2 of the units: Kohavi, Tang and Xu,
    Trustworthy Online Controlled Experiments (2020), chapter 15, have it for halves, and z(1 - a/2) for f, as
    one looks once. What `levels analytics` says may be looked at every day: f is the factor of its intervals.
    The significance is shared out among the treatments (Bonferroni).

    Raises Refused where there is no such rate.
    """
    changed = mean * (1 + effect)
    if mean <= 0 or (deviation is None and changed >= 1):
        raise Refused(
            f"BASELINE is {mean:g}, expected more than 0, and for a rate less than 1 with the effect on top"
        )
    whole = sum(weights.values())
    treated = [weight / whole for name, weight in weights.items() if name != control and weight]
    if not treated or not weights[control]:
        raise Refused(f"{FILE}: expected a weight above 0 for {control} and for another variant")
    variances = [one * (1 - one) if deviation is None else deviation**2 for one in (mean, changed)]
    normal = NormalDist()
    z = factor_as_planned(ALPHA / len(treated)) + normal.inv_cdf(POWER)
    spread = variances[0] * whole / weights[control] + variances[1] / min(treated)
    return math.ceil(z**2 * spread / (mean * effect) ** 2)


@dataclass(frozen=True)
class Traffic:
    """What is known of the goal and of the units: None is unknown, and `why` says why. `exposed` are the
    units that have seen each variant.
    """

    baseline: float | None
    deviation: float | None
    units: float | None
    exposed: Mapping[str, int]
    why: str


@dataclass(frozen=True)
class Experiment:
    """One experiment of a project's file."""

    project: Path
    name: str
    says: Mapping[str, Any]
    now: datetime

    def traffic(self, environment: str, project_name: str, given: Mapping[str, str]) -> Traffic:
        """What events and Prometheus tell, and what is given by hand. Raises Refused for no number."""
        seen, why = _events(self.project, environment)
        goal = self.says.get("goal") or {"conversion": "", "kind": "rate"}
        counted, days = seen["conversions"].get(goal["conversion"]), len(seen["days"])
        exposed = seen["exposed"].get(self.says["flag"], {})
        whole = float(sum(exposed.values()))
        units, by = (whole / days if whole else None), "units"
        if not whole and environment:
            users, why_not = _users(self.project, environment, project_name)
            units, whole, by = users, (users or 0) * days, "daily"
            why = why or why_not
        baseline = deviation = None
        if counted and whole:
            baseline = (counted[by] if goal["kind"] == "rate" else counted["sum"]) / whole
            deviation = math.sqrt(max(counted["squares"] / whole - baseline**2, 0))
        elif not counted:
            why = why or f"no event of {goal['conversion'] or 'a goal'}"
        known = {"baseline": baseline, "deviation": deviation, "units": units}
        for name, text in given.items():
            if text:
                if not re.fullmatch(r"\d+(\.\d+)?%?", text) or not CODE.share(text):
                    raise Refused(f"{name.upper()} is {text!r}, expected a number above 0, as 4% or 12.5")
                known[name] = CODE.share(text)
        return Traffic(**known, exposed=exposed, why=why or "nobody has taken part yet")

    def planned(self, traffic: Traffic) -> dict[str, Any]:
        """Sample, days (None where unknown) and baseline. Raises Refused where the sample isn't known."""
        if lacking := CODE.missing(self.says):
            line = self.says["line"]
            raise Refused(f"{FILE}, line {line}: {self.name} can't be planned, expected {', '.join(lacking)}")
        rate = self.says["goal"]["kind"] == "rate"
        if traffic.baseline is None or (traffic.deviation is None and not rate):
            given = "BASELINE=4%" if rate else "BASELINE= and DEVIATION="
            raise Refused(f"the sample of {self.name} is unknown: {traffic.why}; {given} says it")
        effect = CODE.share(self.says["minimal_effect"])
        deviation = None if rate else traffic.deviation
        units = sample(traffic.baseline, deviation, effect, self.says["variants"], self.says["control"])
        days = math.ceil(units / traffic.units) if traffic.units else None
        return {"sample": units, "days": days, "baseline": traffic.baseline}

    def plan(self, traffic: Traffic) -> list[str]:
        """The plan for people. Raises Refused as `planned` does."""
        found, goal = self.planned(traffic), self.says["goal"]
        now = f"{traffic.baseline:.2%}"
        if goal["kind"] == "mean":
            now = f"{traffic.baseline:g}, standard deviation {traffic.deviation:g}"
        days = f"unknown: {traffic.why}; UNITS= a day says it"
        if found["days"]:
            days = f"{found['days']}, with {traffic.units:.0f} units a day"
        effect = CODE.share(self.says["minimal_effect"])
        lines = [
            f"{self.name}: {goal['conversion']} is {now}; a change by {effect:.1%} of that is to be seen",
            f"units: {found['sample']}, with power {POWER:.0%} at a significance of {ALPHA:.0%}",
            f"days: {days}",
        ]
        if not traffic.exposed and traffic.units:
            lines.append("who comes on several days counts once only, so it may take longer")
        there = (date.fromisoformat(self.says["end"]) - date.fromisoformat(self.says["start"])).days
        if found["days"] and found["days"] > there:
            lines.append(f"from {self.says['start']} to {self.says['end']} are {there} days: too few")
        return lines

    def start(self, traffic: Traffic) -> list[str]:
        """Write down the plan, which may not change from then on; the plan for people. Raises Refused."""
        if "started" in self.says:
            raise Refused(f"{self.name} was started before: another experiment needs another flag")
        if self.says.get("end", "9") <= self.now.date().isoformat():
            where = f"{FILE}, line {self.says['line']}: {self.name}: end"
            raise Refused(f"{where}: expected a day to come, got {self.says['end']}")
        lines = self.plan(traffic)
        frozen = {field: value for field, value in self.says.items() if field not in CODE.NOT_FROZEN}
        self._write("started", {"at": self._at, **self.planned(traffic), "plan": frozen})
        return [*lines, f"{self.name} starts"]

    def stop(self, variant: str) -> str:
        """Write down its end; from then on all get one variant. Raises Refused."""
        if not CODE.runs(self.says):
            raise Refused(f"{self.name} doesn't run: {state(self.says, self.now)}")
        if (serve := variant or self.says["control"]) not in self.says["variants"]:
            raise Refused(f"VARIANT is {serve!r}, expected one of {', '.join(self.says['variants'])}")
        self._write("ended", {"at": self._at, "serve": serve})
        return f"{self.name} ends, and all get {serve}"

    def status(self, traffic: Traffic) -> list[str]:
        """How it stands, and how many units have seen each variant."""
        lines = [f"{self.name}: {state(self.says, self.now)}"]
        shown_to = ", ".join(f"{name} {traffic.exposed.get(name, 0)}" for name in self.says["variants"])
        lines.append(f"units: {shown_to if traffic.exposed else f'unknown: {traffic.why}'}")
        if needed := self.says.get("started", {}).get("sample"):
            there, days = sum(traffic.exposed.values()), self.says["started"].get("days") or "unknown"
            lines.append(f"planned: {needed} units, days: {days}; there are {there} units")
        return lines

    @property
    def _at(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _write(self, field: str, value: Mapping[str, Any]) -> None:
        """Put a line below the experiment's name; all else stays as it stands. Raises Refused."""
        file, at = self.project / FILE, self.says["line"]
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        indent = re.match(r" +", lines[at] if at < len(lines) else "")
        if not indent or not lines[at - 1].partition("#")[0].rstrip().endswith(":"):
            raise Refused(f"{FILE}, line {at}: expected {self.name}: with a line for each field below it")
        lines.insert(at, f"{indent[0]}{field}: {json.dumps(value, ensure_ascii=False)}\n")
        new = file.with_suffix(".new")
        new.write_text("".join(lines), encoding="utf-8")
        os.replace(new, file)


def _events(project: Path, environment: str) -> tuple[dict[str, Any], str]:
    """What was counted, and why that isn't known."""
    nothing: dict[str, Any] = {"days": [], "exposed": {}, "conversions": {}}
    variables = {**os.environ, "PYTHONPATH": "ci", "ENV": environment}
    command = [sys.executable, "-P", "-m", "deploy.events", "summary"]
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return nothing, shown(said[-1] if said else f"exit code {done.returncode}")
    seen = json.loads(done.stdout)
    return seen, "" if seen["days"] else "there are no events yet"


def _users(project: Path, environment: str, project_name: str) -> tuple[float | None, str]:
    """The users a day that the environment's Prometheus has seen, and why that isn't known."""
    named = os.environ.get("PROMETHEUS_URL", "")
    try:
        with host.way_to_prometheus(project, named, environment) as (url, _):
            ask = prometheus.Ask(url, time.time(), time.monotonic() + web.LIMIT)
            users = ask.number(USERS % (project_name, environment))
    except (web.NotMeasured, web.Answered) as error:
        return None, shown(str(error))
    return users or None, "" if users else "its Prometheus knows no users"
