"""Say what is on in an environment, and why. config/feature-flags.yml decides; nothing is measured here.

    python3 ci/flags.py                      every flag in every environment
    python3 ci/flags.py staging              those of one, each with its reason
    python3 ci/flags.py staging --env-line   FEATURE_FLAGS=name,name for a service's environment

In a workflow the second form also sets outputs, name=true or name=false, for `if:` to look at.

A flag is on when the project's level has it, the file switches it on (for the environment, or else everywhere), and
every flag that its trigger asks for by NAME.enabled is on too. All else in a trigger is advice, which `levels flags`
measures.
Exit codes: 0 resolved, 2 something in the file is wrong, told in one line.
"""

import argparse
import contextlib
import datetime
import difflib
import graphlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

PYYAML = "6.0.3"
FILE = "config/feature-flags.yml"

FLAG_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
ENVIRONMENT_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
CONDITION = re.compile(r"([a-z][a-z0-9_]*)\.enabled")


class Problem(ValueError):
    """The file is wrong, or what was asked for; the message is one line."""


@dataclass(frozen=True)
class Levels:
    """Where the project stands: its level, the level of each feature, and the features that no level has yet."""

    level: int
    features: Mapping[str, int]
    later: Mapping[str, int]


def levels_of(level: int, manifests: Iterable[Mapping[str, Any]]) -> Levels:
    """Return where a project at `level` stands, from what each level declares: `level`, `features` and `later`."""
    features, later = ({name: one["level"] for one in manifests for name in one[key]} for key in ("features", "later"))
    return Levels(level, features, later)


@dataclass(frozen=True)
class Flag:
    """One flag as the file has it, with the lines that its parts stand in."""

    name: str
    enabled: bool
    enabled_line: int
    trigger: str = ""
    trigger_line: int = 0
    description: str = ""
    expires: datetime.date | None = None
    expires_line: int = 0
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flags:
    """What the file says: its flags, and for each environment what it overrides (the value, and its line)."""

    flags: dict[str, Flag] = field(default_factory=dict)
    environments: dict[str, dict[str, tuple[bool, int]]] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """Whether a flag is on in an environment, and why, in words."""

    name: str
    on: bool
    why: str


# ---- reading ----


def read(text: str, levels: Levels) -> Flags:
    """Return what the file's text says. Raises Problem, with the line and what was expected there."""
    import yaml  # which may have to be fetched first: see with_yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
        wrong(line, f"expected YAML, got {getattr(error, 'problem', None) or 'a character that YAML refuses'}")
    except RecursionError:
        wrong(1, "expected a mapping of flags, got hundreds of lists or mappings inside of each other")
    parts = mapping(root, "the file", {"features", "environments"})
    if "features" not in parts:
        wrong(1, "expected `features:` with a mapping of flags")
    flags = {name: flag(name, node) for name, node in mapping(parts["features"], "features", FLAG_NAME).items()}
    known = [*flags, *levels.features, *levels.later]
    for one in flags.values():
        for name in one.needs:
            if name not in known:
                wrong(one.trigger_line, f"expected a flag before .enabled, got {name}{did_you_mean(name, known)}")
    named = mapping(parts.get("environments"), "environments", ENVIRONMENT_NAME)
    environments = {name: overrides(name, node, known) for name, node in named.items()}
    refuse_circles(flags)
    return Flags(flags, environments)


def flag(name: str, node: Any) -> Flag:
    """Return one flag. Raises Problem."""
    parts = mapping(node, name, {"enabled", "trigger", "description", "expires"})
    if "enabled" not in parts:
        wrong(line_of(node), f"expected `enabled: true` or `enabled: false` in {name}")
    trigger = text_of(parts["trigger"], f"{name}.trigger") if "trigger" in parts else ""
    trigger_line = line_of(parts["trigger"]) if trigger else 0
    expires = parts.get("expires")
    return Flag(
        name,
        truth(parts["enabled"], f"{name}.enabled"),
        line_of(parts["enabled"]),
        trigger,
        trigger_line,
        text_of(parts["description"], f"{name}.description") if "description" in parts else "",
        date_of(expires, f"{name}.expires") if expires else None,
        line_of(expires) if expires else 0,
        needs(trigger, trigger_line),
    )


def overrides(environment: str, node: Any, known: Iterable[str]) -> dict[str, tuple[bool, int]]:
    """Return what an environment overrides: by flag the value and its line. Raises Problem."""
    parts = mapping(node, environment, {"override"})
    found = mapping(parts.get("override"), f"{environment}.override", FLAG_NAME)
    for name, value in found.items():
        if name not in known:
            wrong(line_of(value), f"expected a flag in {environment}.override, got {name}{did_you_mean(name, known)}")
    return {name: (truth(value, f"{environment}.override.{name}"), line_of(value)) for name, value in found.items()}


def needs(trigger: str, line: int) -> tuple[str, ...]:
    """Return the flags that a trigger asks for by NAME.enabled. Raises Problem where that isn't plain."""
    if not CONDITION.search(trigger):
        return ()
    condition = re.sub(r"^\s*when[\s_]+", "", trigger, flags=re.IGNORECASE)
    parts = re.split(r"\s+and\s+", condition.strip(), flags=re.IGNORECASE)
    found = [match[1] for part in parts if (match := CONDITION.fullmatch(part))]
    # Whether `a.enabled OR team_size > 2` holds can't be told where nothing is measured.
    if len(found) != len(CONDITION.findall(trigger)) or re.search(r"[()]|\b(or|not)\b", condition, re.IGNORECASE):
        wrong(line, f"expected NAME.enabled alone or joined by AND, without OR, NOT and ( ), got {quoted(trigger)}")
    return tuple(dict.fromkeys(found))


def refuse_circles(flags: Mapping[str, Flag]) -> None:
    """Raise Problem where flags wait for each other."""
    try:
        graphlib.TopologicalSorter({name: one.needs for name, one in flags.items()}).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1][::-1]
        way = ", which asks for ".join(f"{name} (line {flags[name].trigger_line})" for name in circle)
        wrong(flags[circle[0]].trigger_line, f"expected flags that don't wait for each other, got {way}")


# ---- parts of YAML, with their lines ----


def mapping(node: Any, where: str, keys: set[str] | re.Pattern[str]) -> dict[str, Any]:
    """Return the entries of a mapping; none of null. `keys` are those that there are, or their form. Raises Problem."""
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return {}
    if node.id != "mapping":
        wrong(line_of(node), f"expected a mapping in {where}, got {described(node)}")
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = key.value if key.id == "scalar" else ""
        if isinstance(keys, set) and name not in keys:
            wrong(
                line_of(key),
                f"expected {' or '.join(sorted(keys))} in {where}, got {described(key)}{did_you_mean(name, keys)}",
            )
        if not isinstance(keys, set) and (key.tag != "tag:yaml.org,2002:str" or not keys.fullmatch(name)):
            letters = "a-z, 0-9 and _" if keys is FLAG_NAME else "a-z, 0-9 and -"
            wrong(line_of(key), f"expected a name of {letters} in {where}, got {described(key)}")
        if name in found:
            wrong(line_of(key), f"expected {name} once in {where}, got it again (first in line {line_of(found[name])})")
        found[name] = value
    return found


def truth(node: Any, where: str) -> bool:
    """Return true or false. Raises Problem."""
    if node.tag != "tag:yaml.org,2002:bool":
        wrong(line_of(node), f"expected true or false in {where}, got {described(node)}")
    return str(node.value).lower() in {"true", "yes", "on"}


def text_of(node: Any, where: str) -> str:
    """Return one line of text. Raises Problem."""
    if node.tag != "tag:yaml.org,2002:str" or not node.value.isprintable() or len(node.value) > 1000:
        wrong(line_of(node), f"expected one line of text in {where}, got {described(node)}")
    return str(node.value)


def date_of(node: Any, where: str) -> datetime.date:
    """Return a date. Raises Problem."""
    try:
        if node.id == "scalar" and re.fullmatch(r"\d{4}-\d\d-\d\d", node.value, re.ASCII):
            return datetime.date.fromisoformat(node.value)
    except ValueError:
        pass
    wrong(line_of(node), f"expected a date such as 2027-01-31 in {where}, got {described(node)}")


def line_of(node: Any) -> int:
    """Return the line that a part begins in."""
    return int(node.start_mark.line) + 1


def described(node: Any) -> str:
    """Return what stands there, fit for one line."""
    return quoted(node.value) if node.id == "scalar" else f"a {node.id}"


def quoted(text: str) -> str:
    """Return a text fit for one line."""
    shown = text if len(text) <= 60 else text[:57] + "..."
    return "'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown) + "'"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message: the nearest of the `known` names, or nothing."""
    close = difflib.get_close_matches(name[:60], list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def wrong(line: int, message: str) -> NoReturn:
    """Raise Problem for a line of the file."""
    raise Problem(f"{FILE}, line {line}: {message}")


# ---- resolving: level, flag, environment ----


def resolve(flags: Flags, levels: Levels, environment: str) -> list[State]:
    """Return every flag as it is in `environment`: those of the file in its order, then what else the levels have.

    Raises Problem where the file has environments, and none of that name.
    """
    if flags.environments and environment not in flags.environments:
        known = ", ".join(flags.environments)
        hint = did_you_mean(environment, flags.environments) or f"; or add it to {FILE}"
        raise Problem(f"ENV: expected one of {known}, got {quoted(environment)}{hint}")
    names = list(dict.fromkeys([*flags.flags, *levels.features, *levels.later]))
    graph = {name: flags.flags[name].needs if name in flags.flags else () for name in names}
    states: dict[str, State] = {}
    for name in graphlib.TopologicalSorter(graph).static_order():  # what others ask for comes first
        states[name] = state(name, flags, levels, environment, states)
    return [states[name] for name in names]


def state(name: str, flags: Flags, levels: Levels, environment: str, states: Mapping[str, State]) -> State:
    """Return one flag as it is in `environment`; `states` has those that it asks for."""
    level = levels.features.get(name, 0)
    if name in levels.later:
        return State(name, False, f"level {levels.later[name]} has nothing for it in this version of the template")
    if level > levels.level:
        return State(name, False, f"it belongs to level {level}, and the project is at level {levels.level}")
    one, override = flags.flags.get(name), flags.environments.get(environment, {}).get(name)
    if override:
        on, why = override[0], f"line {override[1]} switches it {word(override[0])} for {environment}"
    elif one:
        on, why = one.enabled, f"line {one.enabled_line} has it {word(one.enabled)}"
    else:
        on, why = True, f"level {level} brings it, and {FILE} doesn't name it"
    if on and one and (missing := [need for need in one.needs if not states[need].on]):
        return State(name, False, f"line {one.trigger_line} asks for {' and '.join(missing)}, off here; else {why}")
    return State(name, on, why)


def word(on: bool) -> str:
    """Return on or off."""
    return "on" if on else "off"


def overdue(flags: Flags, today: datetime.date) -> list[tuple[int, str]]:
    """Return a line number and a warning for each flag whose last day is over."""
    return [
        (
            one.expires_line,
            f"{one.name} was to go by {one.expires}: take it out of the code and of {FILE}, or give it time",
        )
        for one in flags.flags.values()
        if one.expires and one.expires < today
    ]


# ---- telling ----


def lines(states: Iterable[State], flags: Flags) -> list[str]:
    """Return what people read: a line for each flag, and one for its trigger."""
    told = []
    for one in states:
        told.append(f"{word(one.on):3}  {one.name:24} {one.why}")
        if one.name in flags.flags and flags.flags[one.name].trigger:
            told.append(" " * 30 + flags.flags[one.name].trigger)
    return told


def table(flags: Flags, levels: Levels) -> list[str]:
    """Return a line for each flag, with a column for each environment. Raises Problem."""
    environments = list(flags.environments) or ["local"]
    columns = [resolve(flags, levels, name) for name in environments]
    width = max(len(name) for name in environments)
    head = f"{'':24} " + "  ".join(f"{name:{width}}" for name in environments)
    rows = [
        f"{row[0].name:24} " + "  ".join(f"{word(one.on):{width}}" for one in row) for row in zip(*columns, strict=True)
    ]
    return [line.rstrip() for line in (head, *rows)]


def env_line(states: Iterable[State]) -> str:
    """Return the setting by which a service knows what is on."""
    return "FEATURE_FLAGS=" + ",".join(one.name for one in states if one.on)


def hand_over(states: Iterable[State]) -> None:
    """Give a workflow its outputs, and the page of its run a table."""
    for name, text in (
        ("GITHUB_OUTPUT", [f"{one.name}={str(one.on).lower()}" for one in states]),
        ("GITHUB_STEP_SUMMARY", ["| flag | | why |", "| --- | --- | --- |", *map(row, states), ""]),
    ):
        if path := os.environ.get(name):
            with open(path, "a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in text))


def row(one: State) -> str:
    """Return a flag as a row of a Markdown table."""
    return f"| `{one.name}` | {word(one.on)} | {one.why} |"


# ---- the command ----


def main(arguments: list[str]) -> int:
    """Read the command line, do it, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", nargs="?", default="", help="such as staging")
    parser.add_argument("--env-line", action="store_true")
    asked = parser.parse_args(arguments)
    root = Path(__file__).resolve().parent.parent
    try:
        stands = json.loads((root / "config" / "levels.json").read_text(encoding="utf-8"))
        levels = levels_of(stands["level"], stands["levels"])
        flags = load(root, levels)
        if asked.env_line and not asked.environment:
            raise Problem("ENV: expected an environment, as in ENV=staging")
        if asked.env_line:
            print(env_line(resolve(flags, levels, asked.environment)))
            return 0
        if asked.environment:
            states = resolve(flags, levels, asked.environment)
            print("\n".join(lines(states, flags)))
            hand_over(states)
        else:
            print("\n".join(table(flags, levels)) + "\n\nWith ENV=staging it says why.")
        for line, warning in overdue(flags, datetime.datetime.now(datetime.UTC).date()):
            print(f"::warning file={FILE},line={line}::{warning}" if os.environ.get("GITHUB_ACTIONS") else warning)
    except Problem as problem:
        print(f"flags: {problem}", file=sys.stderr)
        return 2
    return 0


def load(root: Path, levels: Levels) -> Flags:
    """Return the flags of the project at `root`; none where it has no file. Raises Problem."""
    try:
        return read((root / FILE).read_text(encoding="utf-8-sig"), levels)
    except FileNotFoundError:
        return Flags()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{FILE}: expected a file in UTF-8 ({error.__class__.__name__})") from error


def with_yaml() -> None:
    """Become the same command with PyYAML, which Python's standard library lacks, where it isn't here."""
    if importlib.util.find_spec("yaml") or "FLAGS_WITH_YAML" in os.environ:
        return
    import uv

    with contextlib.redirect_stdout(sys.stderr):  # what it says of itself is not for who reads our output
        command = [uv.find(), "run", "--quiet", "--isolated", "--no-project", "--python", sys.executable]
    command += ["--with", f"pyyaml=={PYYAML}", "python", *sys.argv]
    os.execve(command[0], command, {**uv.environment(), "FLAGS_WITH_YAML": "1"})


if __name__ == "__main__":
    with_yaml()
    sys.exit(main(sys.argv[1:]))
