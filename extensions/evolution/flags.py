"""`levels flags`: what is on and why, as the project's own ci/flags.py resolves it, and whether each trigger
holds now.

There is one resolver, the script that projects from level 2 on carry for their pipeline. It is loaded from
the template here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import Refused
from ..project.git_and_files import shown as escaped
from ..template import answers, layers
from ..template.place import root as template_root
from . import triggers
from .metrics import Measured


def resolver() -> ModuleType:
    """The project's ci/flags.py, from the template that this command belongs to."""
    [path] = template_root().glob("levels/*/ci/flags.py")
    spec = importlib.util.spec_from_file_location("project_flags", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def where_it_stands(level: int, environments: Sequence[str] = answers.ENVIRONMENTS) -> dict[str, Any]:
    """What the resolver takes of a project at `level`: as config/levels.json has it."""
    manifests = layers.manifests(template_root(), environments)
    return {
        "level": level,
        "levels": [asdict(manifest) for manifest in manifests],
        "environments": dict.fromkeys(environments, "") if level > 1 else {},
    }


def report(
    project: Path, level: int, environment: str, measured: Mapping[str, Measured], today: date
) -> dict[str, Any]:
    """The flags of the project at `project`, in one environment, or in each where `environment` is empty.

    Returns the `--json` document. Raises Refused for what is wrong in config/feature-flags.yml, its triggers
    included.
    """
    code = resolver()
    stands = where_it_stands(level, answers.environment_names(answers.recorded_answers(project)))
    file = project / code.FILE
    try:
        flags = code.read(file.read_text(encoding="utf-8-sig") if file.is_file() else "features: {}")
        names = [environment] if environment else list(flags["environments"]) or ["local"]
        resolved = {name: code.resolve(flags, stands, name) for name in names}
    except code.Problem as problem:
        raise Refused(escaped(str(problem))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{code.FILE}: expected a file in UTF-8 ({error.__class__.__name__})") from None
    features = flags["features"]
    asked = {
        name: where
        for one in stands["levels"]
        if one["level"] <= level
        for name, where in one["asked"].items()
    }
    read = {
        name: triggers.parse(str(flag["trigger"]), f"{code.FILE}, features.{name}.trigger")
        for name, flag in features.items()
        if flag.get("trigger")
    }
    values = {name: one.value for name, one in measured.items()}
    return {
        "level": level,
        "environments": [
            {
                "environment": name,
                "feature_flags": code.runtime(states, stands),
                "flags": [
                    {
                        **_flag(one, features.get(one, {}), read.get(one), values, states),
                        "asked_for": asked.get(one),
                    }
                    for one in states
                ],
            }
            for name, states in resolved.items()
        ],
        "warnings": [
            f"{code.FILE}: {name} was to go by {expires}: take it out of the code and of the file, or give it"
            " time"
            for name, flag in features.items()
            if (expires := _expires(name, flag)) and expires < today
        ],
    }


def _expires(name: str, flag: Mapping[str, Any]) -> date | None:
    """The last day of a flag. Raises Refused where it isn't one."""
    said = flag.get("expires")
    try:
        return said if said is None or isinstance(said, date) else date.fromisoformat(str(said))
    except ValueError:
        where = f"config/feature-flags.yml: features.{name}.expires"
        raise Refused(f"{where}: expected a date such as 2027-01-31, got {escaped(str(said))}") from None


def _flag(
    name: str,
    flag: Mapping[str, Any],
    trigger: triggers.Trigger | None,
    values: Mapping[str, triggers.Number],
    states: Mapping[str, tuple[bool, str]],
) -> dict[str, Any]:
    outcome = trigger.evaluate(values, {one: state[0] for one, state in states.items()}) if trigger else None
    expires = _expires(name, flag)
    return {
        "name": name,
        "on": states[name][0],
        "why": states[name][1],
        "description": str(flag.get("description") or ""),
        "expires": expires.isoformat() if expires else None,
        "trigger": trigger.text if trigger else None,
        "holds": outcome.value if outcome else None,
        "parts": [
            {
                "text": part.text,
                "metric": part.metric,
                "value": part.value,
                "threshold": part.threshold,
                "comparison": part.comparison,
                "outcome": part.outcome,
            }
            for part in (outcome.parts if outcome else ())
        ],
    }


def text(document: Mapping[str, Any], measured: Mapping[str, Measured]) -> str:
    """The report for people: a line for each flag, below it its trigger, whether that holds, and by which
    figures.
    """
    lines: list[str] = []
    for environment in document["environments"]:
        lines += ["", f"{environment['environment']}, level {document['level']}"]
        for flag in environment["flags"]:
            state, why = "on" if flag["on"] else "off", flag["why"]
            if flag["asked_for"] not in (None, environment["environment"]):
                state, why = "-", f"the workflows ask for {flag['asked_for']} only ({state} here: {why})"
            lines.append(f"{state:3}  {flag['name']:24} {why}")
            if flag["trigger"] is not None:
                lines.append(f"{'':30}{escaped(flag['trigger'])}: {_holds(flag, measured)}")
    return "\n".join([*lines, "", *document["warnings"]]).strip("\n")


def _holds(flag: Mapping[str, Any], measured: Mapping[str, Measured]) -> str:
    answer = {True: "holds", False: "doesn't hold", None: "unknown"}[flag["holds"]]
    figures = dict.fromkeys(_figure(part["metric"], part["value"], measured) for part in flag["parts"])
    return f"{answer} ({'; '.join(figures)})"


def _figure(metric: str, value: triggers.Number, measured: Mapping[str, Measured]) -> str:
    reason = measured[metric].reason if value is None and metric in measured else ""
    return escaped(
        f"{metric.removesuffix('.enabled')} is"
        f" {triggers.shown(value, metric)}{f': {reason}' if reason else ''}"
    )
