"""The target `experiment`: DO=plan, start, status or stop with NAME=, forget with UNIT=; without DO all are shown.

Traffic comes from the events on the host of ENV (here, without ENV, from EVENTS_FOLDER), and from its Prometheus;
BASELINE=4% or a mean with DEVIATION=, and UNITS= a day say what isn't known. VARIANT= is what all get after a stop.
"""

import contextlib
import datetime
import json
import math
import os
import re
import sys
import urllib.parse
import urllib.request
from statistics import NormalDist
from typing import Any

import experiments
import prometheus
import uv

from . import settings
from .compose import Compose
from .host import Host
from .shell import Stop, run

SIGNIFICANCE, POWER = 0.05, 0.8
CODE = "runtime/experiments.py"
USERS = 'avg_over_time(max by (project) (service:users_daily:estimate{project="%s",environment="%s"})[7d:1h])'


def asked(name: str) -> str:
    """Return what a variable of make says."""
    return os.environ.get(name, "")


def main() -> int:
    """Do what DO says, and return the exit code."""
    try:
        if (do := asked("DO")) == "forget":
            return forget()
        known = experiments.of("")["experiments"]
        if not do and not asked("NAME"):
            print("\n".join(f"{name}: {state(one)}" for name, one in known.items()) or "no experiments")
            return 0
        if do not in (*DO, ""):
            raise Stop(f"DO is {do!r}, expected {', '.join(DO)} or forget")
        if (name := asked("NAME")) not in known:
            raise Stop(f"NAME is {name!r}, expected one of {', '.join(known) or experiments.FILE + ', which has none'}")
        DO[do or "status"](name, known[name])
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.code
    return 0


def state(one: dict[str, Any]) -> str:
    """Return in words how an experiment stands."""
    whole = sum(one["variants"].values())
    shares = ", ".join(f"{name} {weight / whole:.1%}" for name, weight in one["variants"].items())
    if "ended" in one:
        return f"ended {one['ended']['at'][:10]}; all get {one['ended']['serve']}"
    if "started" not in one:
        lacks = f"lacks {', '.join(lacking)}" if (lacking := experiments.missing(one)) else "not started"
        return f"{lacks}; all get {one['control']}, then {shares}"
    over = " (its end has passed: DO=stop)" if one["end"] < today() else ""
    return f"runs since {one['started']['at'][:10]}, until {one['end']}{over}; {shares} (control: {one['control']})"


def today() -> str:
    """Return the day in UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def plan(name: str, one: dict[str, Any]) -> dict[str, Any]:
    """Print how many units an experiment needs, and how many days; return both. Raises Stop where that isn't known."""
    if lacking := experiments.missing(one):
        raise Stop(f"{experiments.FILE}, line {one['line']}: {name} can't be planned, expected {', '.join(lacking)}")
    mean, deviation, units, why = traffic(one)
    effect, rate = experiments.share(one["minimal_effect"]), one["goal"]["kind"] == "rate"
    if mean is None or (deviation is None and not rate):
        given = "BASELINE=4%" if rate else "BASELINE= and DEVIATION="
        raise Stop(f"the sample that {name} needs is unknown: {why}; {given} says it", 1)
    needed = sample(mean, None if rate else deviation, effect, one["variants"], one["control"])
    days = math.ceil(needed / units) if units else None
    shown = f"{mean:.2%}" if rate else f"{mean:g}, standard deviation {deviation:g}"
    print(f"{name}: {one['goal']['conversion']} is {shown}; a change by {effect:.1%} of that is to be seen")
    print(f"units: {needed}, with power {POWER:.0%} at a significance of {SIGNIFICANCE:.0%}")
    print(f"days: {days}, with {units:.0f} units a day" if units else f"days: unknown: {why}; UNITS= a day says it")
    planned = (datetime.date.fromisoformat(one["end"]) - datetime.date.fromisoformat(one["start"])).days
    if days and days > planned:
        print(f"from {one['start']} to {one['end']} are {planned} days: too few")
    return {"sample": needed, "days": days, "baseline": mean}


def sample(mean: float, deviation: float | None, effect: float, weights: dict[str, int], control: str) -> int:
    """Return the units that all variants need together: the normal approximation for two independent samples.

    N = (z(1 - a/2) + z(power))^2 (s1^2/w1 + s2^2/w2) / d^2 for shares w1 and w2 of the units; as in Kohavi, Tang, Xu,
    Trustworthy Online Controlled Experiments (2020), chapter 15, for halves. The significance is shared out
    among the treatments (Bonferroni). Raises Stop where there is no such rate.
    """
    changed = mean * (1 + effect)
    if mean <= 0 or (deviation is None and changed >= 1):
        raise Stop(f"BASELINE is {mean:g}, expected more than 0, and for a rate less than 1 with the effect on top")
    whole = sum(weights.values())
    treated = {name: weight / whole for name, weight in weights.items() if name != control and weight}
    if not treated or not weights[control]:
        raise Stop(f"{experiments.FILE}: {control} and another variant need a weight above 0")
    variances = [one * (1 - one) if deviation is None else deviation**2 for one in (mean, changed)]
    normal, most = NormalDist(), min(treated.values())
    z = normal.inv_cdf(1 - SIGNIFICANCE / len(treated) / 2) + normal.inv_cdf(POWER)
    return math.ceil(z**2 * (variances[0] * whole / weights[control] + variances[1] / most) / (mean * effect) ** 2)


def traffic(one: dict[str, Any]) -> tuple[float | None, float | None, float | None, str]:
    """Return the goal's mean and deviation by unit, the units a day, and why what is None isn't known. Raises Stop."""
    seen, why = events()
    goal, days = seen["conversions"].get(one["goal"]["conversion"]), len(seen["days"])
    exposed = sum(seen["exposed"].get(one["flag"], {}).values())
    units, whole = (exposed / days, exposed) if exposed else (None, 0.0)
    by = "units"
    if not exposed and (users := users_a_day()):
        print(f"by the users a day of Prometheus, {users:.0f}: who comes again counts again, so it takes longer")
        units, whole, by = users, users * days, "daily"
    mean = deviation = None
    if goal and whole:
        counted = goal[by] if one["goal"]["kind"] == "rate" else goal["sum"]
        mean = counted / whole
        deviation = math.sqrt(max(goal["squares"] / whole - mean**2, 0))
    elif not why:
        why = f"no event of {one['goal']['conversion']}" if not goal else "no exposure, and no users in Prometheus"
    numbers: dict[str, float | None] = {"BASELINE": mean, "DEVIATION": deviation, "UNITS": units}
    for name in numbers:
        if text := asked(name):
            if not re.fullmatch(r"\d+(\.\d+)?%?", text) or not experiments.share(text):
                raise Stop(f"{name} is {text!r}, expected a number above 0, as 4% or 12.5")
            numbers[name] = experiments.share(text)
    return numbers["BASELINE"], numbers["DEVIATION"], numbers["UNITS"], why or "nothing is missing"


def events() -> tuple[dict[str, Any], str]:
    """Return what the events come to, and why there are none. Raises Stop."""
    nothing: dict[str, Any] = {"days": [], "exposed": {}, "conversions": {}}
    if not asked("ENV") and not os.environ.get("EVENTS_FOLDER"):
        return nothing, "neither ENV nor EVENTS_FOLDER says where events are"
    seen = json.loads(inside("summary"))
    return seen, "" if seen["days"] else "there are no events yet"


def inside(command: str, text: str = "") -> str:
    """Run a command of runtime/experiments.py where the events are; return what it printed. Raises Stop."""
    if not (environment := asked("ENV")):
        return run([sys.executable, str(uv.ROOT / CODE), command], text)
    told = settings.read(environment)
    with Host(told).connected() as host:
        target = Compose(host, told, settings.rules())
        release = target.last()
        if release is None:
            raise Stop(f"nothing has been deployed to {environment}", 1)
        # Its user owns the files, and it knows the key.
        service = release.builds[0].service
        return host.read(f"{target.command(release.number)} exec -T {service} python {CODE} {command}", text, command)


def users_a_day() -> float | None:
    """Return the users a day by the environment's Prometheus; None where nothing is known."""
    if not (environment := asked("ENV")):
        return None
    told, query = settings.read(environment), USERS % (uv.PROJECT["project"], environment)
    problems = (Stop, OSError, ValueError, LookupError, TypeError)
    with contextlib.suppress(*problems), Host(told).connected() as host, prometheus.address(told, host) as url:
        asked_for = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(asked_for, timeout=10) as answer:
            return float(json.load(answer)["data"]["result"][0]["value"][1]) or None
    return None


def start(name: str, one: dict[str, Any]) -> None:
    """Start an experiment: what is planned is written down, and may not change while it runs. Raises Stop."""
    if "started" in one:
        raise Stop(f"{name} was started {one['started']['at'][:10]}: another experiment needs another flag")
    if one.get("end", "9") <= today():
        raise Stop(f"{experiments.FILE}, line {one['line']}: {name}: end: expected a day to come, got {one['end']}")
    planned = plan(name, one)
    frozen = {field: value for field, value in one.items() if field not in experiments.NOT_FROZEN}
    write(name, one, "started", {"at": now(), **planned, "plan": frozen})
    deliver(name, "starts")


def stop(name: str, one: dict[str, Any]) -> None:
    """End an experiment; from then on all get one variant. Raises Stop."""
    if not experiments.runs(one):
        raise Stop(f"{name} doesn't run: {state(one)}")
    if (serve := asked("VARIANT") or one["control"]) not in one["variants"]:
        raise Stop(f"VARIANT is {serve!r}, expected one of {', '.join(one['variants'])}")
    write(name, one, "ended", {"at": now(), "serve": serve})
    deliver(name, "ends")


def now() -> str:
    """Return the time in UTC."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def deliver(name: str, what: str) -> None:
    """Say what remains to be done."""
    print(f"{name} {what} where {experiments.FILE} is delivered: commit it, then `{uv.MAKE} flags ENV=… APPLY=1`")


def write(name: str, one: dict[str, Any], field: str, value: dict[str, Any]) -> None:
    """Put a line into the experiment, below its name; all else stays as it stands. Raises Stop."""
    file = uv.ROOT / experiments.FILE
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    following = lines[one["line"]] if one["line"] < len(lines) else ""
    indent = re.match(r" *", following)
    if not indent or not indent[0] or not lines[one["line"] - 1].partition("#")[0].rstrip().endswith(":"):
        raise Stop(f"{experiments.FILE}, line {one['line']}: expected {name}: with a line for each field below it")
    lines.insert(one["line"], f"{indent[0]}{field}: {json.dumps(value, ensure_ascii=False)}\n")
    new = file.with_suffix(".new")
    new.write_text("".join(lines), encoding="utf-8")
    os.replace(new, file)


def status(name: str, one: dict[str, Any]) -> None:
    """Print how an experiment stands, and how many units have seen each variant. Raises Stop."""
    print(f"{name}: {state(one)}")
    seen, why = events()
    shown = seen["exposed"].get(one["flag"], {})
    units = ", ".join(f"{variant} {shown.get(variant, 0)}" for variant in one["variants"])
    unknown = f"unknown: {why or 'nobody has taken part yet'}"
    print(f"units: {units if shown else unknown}")
    if needed := one.get("started", {}).get("sample"):
        days = one["started"]["days"] or "an unknown number of"
        print(f"planned: {needed} units, {days} days; there are {sum(shown.values())}")


def forget() -> int:
    """Delete the events of UNIT; return the exit code. Raises Stop."""
    if not (unit := asked("UNIT")):
        raise Stop("UNIT is empty, expected the unit whose events are deleted, such as a user's id")
    if not asked("ENV") and not os.environ.get("EVENTS_FOLDER"):
        raise Stop("ENV is empty, expected the environment whose events they are")
    print(f"{inside('forget', unit).strip()} events deleted in {asked('ENV') or os.environ['EVENTS_FOLDER']}")
    return 0


DO = {"plan": plan, "start": start, "status": status, "stop": stop}

if __name__ == "__main__":
    sys.argv[0] = "experiment"  # what messages begin with
    sys.exit(main())
