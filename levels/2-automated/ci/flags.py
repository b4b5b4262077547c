"""Which flags of config/feature-flags.yml are on in an environment, for the scripts beside this one.

A flag is on when the project's level has it, the file switches it on (for the environment, or else
everywhere), and every flag that its trigger asks for by NAME.enabled is on too. What a level brings and nothing
asks for, such as health_endpoints, is on whatever the file says. The make target `flags` tells people why, and
measures triggers.
"""

import importlib.util
import json
import os
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

FILE = "config/feature-flags.yml"
NEEDED = re.compile(r"([a-z][a-z0-9_]*)\.enabled")
KEYS = ("enabled", "trigger", "description", "expires", "owner", "type")
TYPES = ("release", "experiment", "operational", "permission")  # the last two stay; the others are to go
States = dict[str, tuple[bool, str]]  # a flag's name to whether it is on, and why


class Problem(ValueError):
    """The file is wrong, or what was asked for; the message is one line."""


def read(text: str) -> dict[str, Any]:
    """Return what the file says: its `features`, and by environment what it overrides. Raises Problem."""
    import yaml  # which Python's standard library lacks: see of()

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [str(key.value) for key, _ in node.value]
            if len(keys) > len(set(keys)):
                raise yaml.MarkedYAMLError(problem="a name twice", problem_mark=node.start_mark)
            return super().construct_mapping(node, deep)

    try:
        file = part(yaml.load(text, Loader), "the file", ("features", "environments"))
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        line = f", line {mark.line + 1}" if (mark := getattr(error, "problem_mark", None)) else ""
        got = getattr(error, "problem", "") or "something else"
        raise Problem(f"{FILE}{line}: expected YAML with each name once, got {got}") from None
    if "features" not in file:
        raise Problem(f"{FILE}: expected `features:` with a mapping of flags")
    features, environments = (
        part(file["features"], "features"),
        part(file.get("environments"), "environments"),
    )
    for name, flag in features.items():
        parts = part(flag, f"features.{name}", KEYS)
        boolean(parts.get("enabled"), f"features.{name}.enabled")
        needs(parts, name)
        if parts.get("type") not in (None, *TYPES):
            expected = f"expected one of {', '.join(TYPES)}"
            raise Problem(f"{FILE}: features.{name}.type: {expected}, got {parts['type']!r:.60}")
    for name, one in environments.items():
        where = f"environments.{name}.override"
        environments[name] = part(part(one, f"environments.{name}", ("override",)).get("override"), where)
        for flag, value in environments[name].items():
            boolean(value, f"{where}.{flag}")
    return {"features": features, "environments": environments}


def part(value: Any, where: str, keys: Collection[str] = ()) -> dict[str, Any]:
    """Return a mapping of the file, an empty one for null; with these keys, or with names for keys.

    Raises Problem.
    """
    if not isinstance(value, dict | None):
        raise Problem(f"{FILE}: {where}: expected a mapping, got {value!r:.60}")
    for key in value or {}:
        if key not in keys if keys else not re.fullmatch(r"[a-z][a-z0-9_-]{0,59}", str(key)):
            expected = " or ".join(keys) or "a name of a-z, 0-9, _ and -"
            raise Problem(f"{FILE}: {where}: expected {expected}, got {key!r:.60}")
    return value or {}


def boolean(value: Any, where: str) -> None:
    """Raise Problem where a value isn't true or false."""
    if not isinstance(value, bool):
        raise Problem(f"{FILE}: {where}: expected true or false, got {value!r:.60}")


def needs(flag: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the flags that a flag's trigger asks for by NAME.enabled. Raises Problem where that isn't plain."""
    condition = re.sub(r"^\s*when[\s_]+", "", str(flag.get("trigger") or ""), flags=re.I)
    asked, parts = NEEDED.findall(condition), re.split(r"\s+and\s+", condition.strip(), flags=re.I)
    # Whether `a.enabled OR team_size > 2` holds can't be told where nothing is measured.
    plain = sum(map(bool, map(NEEDED.fullmatch, parts))) == len(asked)
    if asked and (not plain or re.search(r"[()]|\b(or|not)\b", condition, re.I)):
        expected = "expected NAME.enabled alone or joined by AND, without OR, NOT and ( )"
        raise Problem(f"{FILE}: features.{name}.trigger: {expected}, got {condition!r:.60}")
    return tuple(dict.fromkeys(asked))


def resolve(file: Mapping[str, Any], stands: Mapping[str, Any], environment: str) -> States:
    """Return every flag as it is in `environment`: those of the file first.

    `file` is what read() returns; `stands` has the project's `level` and what each of the `levels` brings.
    Raises Problem.
    """
    features, environments, levels = file["features"], file["environments"], stands["levels"]
    brings, later = ({name: one["level"] for one in levels for name in one[key]} for key in ("features", "later"))
    hung_on = {name for one in levels for name in [*one["asked"], *one["runtime"]]}
    known = list(dict.fromkeys([*features, *brings, *later]))
    for where, names, there in [
        ("ENV", [environment] if environments else [], {**environments, **stands.get("environments", {})}),
        *((f"{FILE}: environments.{name}.override", one, known) for name, one in environments.items()),
        *((f"{FILE}: features.{name}.trigger", needs(one, name), known) for name, one in features.items()),
    ]:
        if unknown := [name for name in names if name not in there]:
            expected = f"expected one of {', '.join(there)}"
            raise Problem(f"{where}: {expected}, got {unknown[0]!r:.60}")

    def state(name: str, way: tuple[str, ...]) -> tuple[bool, str]:
        if name in way:
            raise Problem(f"{FILE}: expected flags that don't wait for each other, got {' for '.join([*way, name])}")
        if name in later:
            return False, f"level {later[name]} has nothing for it in this version of the template"
        if brings.get(name, 0) > stands["level"]:
            return False, f"it belongs to level {brings[name]}, and the project is at level {stands['level']}"
        if name in brings and name not in hung_on:
            return True, f"level {brings[name]} brings it, and nothing switches it off"
        on, why = True, f"level {brings.get(name)} brings it, and {FILE} doesn't name it"
        if name in features:
            on, why = features[name]["enabled"], f"features.{name}.enabled"
        if name in environments.get(environment, {}):
            on, why = environments[environment][name], f"environments.{environment}.override"
        missing = [need for need in needs(features.get(name, {}), name) if not state(need, (*way, name))[0]]
        return (False, f"its trigger asks for {' and '.join(missing)}") if on and missing else (on, why)

    return {name: state(name, ()) for name in known}


def runtime(states: States, stands: Mapping[str, Any]) -> str:
    """Return FEATURE_FLAGS: your own flags that are on, and those that a level hands on to services."""
    ours = {name for one in stands["levels"] for name in {*one["features"], *one["later"]} - {*one["runtime"]}}
    return ",".join(name for name, (on, _) in states.items() if on and name not in ours)


def with_yaml() -> list[str]:
    """Return the command of a Python that has PyYAML: this one, or else one that uv makes."""
    import uv

    if importlib.util.find_spec("yaml"):
        return [sys.executable]
    python = [uv.find(), "run", "--quiet", "--isolated", "--no-project", "--python", sys.executable]
    return [*python, "--with", "pyyaml==6.0.3", "python"]


def of(environment: str) -> dict[str, Any]:
    """Return `flags` (a flag's name to [on, why]) and `runtime` of an environment.

    PyYAML is fetched where it is missing. Ends the script with one line where the file is wrong.
    """
    import uv

    done = uv.call([*with_yaml(), __file__, environment], capture_output=True)
    if done.returncode:
        uv.fail((done.stderr.strip().splitlines() or ["the flags can't be read"])[-1])
    return dict(json.loads(done.stdout))


def off(name: str, environment: str, what: str) -> bool:
    """Return whether a flag is off; then say, on the page of a workflow's run too, that `what` isn't run.

    Without an environment no flag is asked, as by hand. (One with a slash is what a shell means by ENV.)
    """
    if not environment or "/" in environment:
        return False
    on, why = of(environment)["flags"][name]
    if not on:
        tell(f"{what}: not run, because {name} is off for {environment} ({why})")
    return not on


def tell(text: str) -> None:
    """Print a line; in a workflow, show it on the page of the run too."""
    print(f"::notice::{text}" if os.environ.get("GITHUB_ACTIONS") else text, flush=True)
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(page, "a", encoding="utf-8") as file:
            file.write(f"{text}\n\n")


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    stands = json.loads((root / "config" / "levels.json").read_text(encoding="utf-8"))
    try:
        text = (root / FILE).read_text(encoding="utf-8-sig") if (root / FILE).exists() else "features: {}"
        flags = resolve(read(text), stands, sys.argv[1])
    except (Problem, UnicodeDecodeError) as problem:
        sys.exit(str(problem) if isinstance(problem, Problem) else f"{FILE}: expected UTF-8")
    print(json.dumps({"flags": flags, "runtime": runtime(flags, stands)}))
