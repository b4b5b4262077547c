"""`levels flags`: what is on and why, as the project's own ci/flags.py resolves it, and whether each trigger holds as it is measured now.

There is one resolver, the script that projects from level 2 on carry and their workflows run. It is loaded from the template here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import Refused
from ..project.git_and_files import shown as escaped
from ..template import layers
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


def report(project: Path, level: int, environment: str, measured: Mapping[str, Measured], today: date) -> dict[str, Any]:
    """The flags of the project at `project`, in one environment, or in each where `environment` is empty: the `--json` document.

    Raises Refused, with the line, for what is wrong in config/feature-flags.yml, its triggers included.
    """
    code = resolver()
    levels = code.levels_of(level, [asdict(one) for one in layers.manifests(template_root())])
    try:
        flags = code.load(project, levels)
        names = [environment] if environment else list(flags.environments) or ["local"]
        resolved = {name: code.resolve(flags, levels, name) for name in names}
    except code.Problem as problem:
        raise Refused(str(problem)) from None
    read = {
        name: triggers.parse(flag.trigger, f"{code.FILE}, line {flag.trigger_line}") for name, flag in flags.flags.items() if flag.trigger
    }
    values = {name: one.value for name, one in measured.items()}
    return {
        "level": level,
        "environments": [
            {
                "environment": name,
                "feature_flags": code.env_line(states).partition("=")[2],
                "flags": [_flag(one, flags.flags.get(one.name), read.get(one.name), values, states) for one in states],
            }
            for name, states in resolved.items()
        ],
        "warnings": [f"{code.FILE}, line {line}: {warning}" for line, warning in code.overdue(flags, today)],
    }


def _flag(state: Any, flag: Any, trigger: triggers.Trigger | None, values: Mapping[str, triggers.Number], states: Any) -> dict[str, Any]:
    outcome = trigger.evaluate(values, {one.name: one.on for one in states}) if trigger else None
    return {
        "name": state.name,
        "on": state.on,
        "why": state.why,
        "description": flag.description if flag else "",
        "expires": flag.expires.isoformat() if flag and flag.expires else None,
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
    """The report for people: a line for each flag, below it its trigger, whether that holds, and by which figures."""
    lines: list[str] = []
    for environment in document["environments"]:
        lines += ["", f"{environment['environment']}, level {document['level']}"]
        for flag in environment["flags"]:
            lines.append(f"{'on' if flag['on'] else 'off':3}  {flag['name']:24} {flag['why']}")
            if flag["trigger"] is not None:
                lines.append(f"{'':30}{escaped(flag['trigger'])}: {_holds(flag, measured)}")
    return "\n".join([*lines, "", *document["warnings"]]).strip("\n")


def _holds(flag: Mapping[str, Any], measured: Mapping[str, Measured]) -> str:
    answer = {True: "holds", False: "doesn't hold", None: "unknown"}[flag["holds"]]
    figures = dict.fromkeys(_figure(part["metric"], part["value"], measured) for part in flag["parts"])
    return f"{answer} ({'; '.join(figures)})"


def _figure(metric: str, value: triggers.Number, measured: Mapping[str, Measured]) -> str:
    reason = measured[metric].reason if value is None and metric in measured else ""
    return escaped(f"{metric.removesuffix('.enabled')} is {triggers.shown(value, metric)}{f': {reason}' if reason else ''}")
