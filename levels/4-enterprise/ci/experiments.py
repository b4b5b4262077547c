"""What config/experiments.yml says, and the one flagd definition that it makes with config/feature-flags.yml.

`experiments.py ENV` prints both as JSON, on a Python that has PyYAML; everything else calls `of`.
"""

import datetime
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flags

FILE = "config/experiments.yml"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
# The operators of JsonLogic that flagd knows, its own three last.
LOGIC = re.compile(
    r"var|missing|missing_some|if|and|or|in|cat|substr|min|max|map|filter|reduce|all|none|some|merge"
    r"|[=!]==?|!!?|[<>]=?|[-+*/%]|starts_with|ends_with|sem_ver"
)
REQUIRED = ("hypothesis", "owner", "flag", "unit", "variants", "control")
TO_PLAN = ("goal", "minimal_effect", "start", "end")  # without which it can't be planned
NOT_FROZEN = {"owner", "started", "ended", "line"}  # all else is the plan


class Problem(flags.Problem):
    """The file is wrong; the message is one line."""


class Wrong(Exception):
    """A field of an experiment, what was expected, and what is there; None where it is missing."""


def is_text(value: Any) -> bool:
    """Return whether it is a text that says something."""
    return isinstance(value, str) and bool(value.strip())


def is_name(value: Any) -> bool:
    """Return whether it can name a flag, a variant or a conversion."""
    return isinstance(value, str) and bool(NAME.fullmatch(value))


def share(value: Any) -> float:
    """Return a share such as 5% or 0.05 as a number; 0 where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", str(value))
    return float(found[1]) / (100 if found[2] else 1) if found else 0.0


def is_day(value: Any) -> bool:
    """Return whether it is a day such as 2027-01-31."""
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value) and datetime.date.fromisoformat(value))
    except (TypeError, ValueError):
        return False


def is_weights(value: Any) -> bool:
    """Return whether it is two or more variants with whole numbers for shares, which flagd asks for."""
    if not isinstance(value, dict) or len(value) < 2 or not all(map(is_name, value)):
        return False
    return all(type(one) is int and 0 <= one <= 1_000_000 for one in value.values()) and any(value.values())


def is_metric(value: Any, keys: tuple[str, ...] = ("conversion", "kind")) -> bool:
    """Return whether it names a conversion and what is taken of it, with these keys and no others."""
    if not isinstance(value, dict) or set(value) != {*keys}:
        return False
    return is_name(value["conversion"]) and value["kind"] in ("rate", "mean")


def is_guardrail(value: Any) -> bool:
    """Return whether it says what may not get worse, and by how much it may at most."""
    known = is_metric(value, ("conversion", "kind", "worse", "at_most"))
    return known and value["worse"] in ("up", "down") and share(value["at_most"]) > 0


def is_logic(value: Any) -> bool:
    """Return whether it is a rule of JsonLogic: one operator, with what it works on."""
    if not isinstance(value, dict) or len(value) != 1 or not LOGIC.fullmatch(str(*value)):
        return False
    return all(map(is_operand, value.values()))


def is_operand(value: Any) -> bool:
    """Return whether it can stand in a rule."""
    if isinstance(value, list):
        return all(map(is_operand, value))
    return not isinstance(value, dict) or is_logic(value)


DAY = (is_day, "a day such as 2027-01-31")
GUARDRAIL = "{conversion: NAME, kind: rate or mean, worse: up or down, at_most: 5%}"
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "hypothesis": (is_text, "a sentence"),
    "owner": (is_text, "who answers for it"),
    "flag": (is_name, "a name of a-z, 0-9, _ and -"),
    "unit": (is_text, "what keeps its variant, such as user"),
    "variants": (is_weights, "two or more names, each with a whole number from 0 on, as {old: 50, new: 50}"),
    "control": (is_name, "the name of a variant"),
    "targeting": (is_logic, "a rule of JsonLogic, as {==: [{var: country}, DE]}"),
    "goal": (is_metric, "{conversion: NAME, kind: rate or mean}"),
    "guardrails": (lambda value: isinstance(value, list) and all(map(is_guardrail, value)), f"a list of {GUARDRAIL}"),
    "minimal_effect": (lambda value: share(value) > 0, "a share of what the control variant has, such as 5%"),
    "start": DAY,
    "end": DAY,
    "started": (lambda value: isinstance(value, dict) and isinstance(value.get("plan"), dict), "what DO=start wrote"),
    "ended": (lambda value: isinstance(value, dict) and is_name(value.get("serve")), "what DO=stop wrote"),
}


def read(text: str) -> dict[str, dict[str, Any]]:
    """Return the experiments by name, each with the `line` of its name. Raises Problem."""
    told, lines = parse(text)
    if not isinstance(told, dict) or set(told) != {"experiments"} or not isinstance(told["experiments"], dict | None):
        raise Problem(f"{FILE}: expected `experiments:` with a mapping of experiments, and nothing else")
    found: dict[str, dict[str, Any]] = {}
    for name, said in (told["experiments"] or {}).items():
        where = f"experiments.{name}"
        try:
            if not is_name(name) or not isinstance(said, dict):
                raise Wrong("", "a name of a-z, 0-9, _ and - with a mapping", said if is_name(name) else name)
            one = {field: value for field, value in said.items() if value is not None}
            check(one)
            for other, known in found.items():
                if known["flag"] == one["flag"]:
                    expected = f"one that {other} hasn't: the same units would get the same variants"
                    raise Wrong("flag", expected, one["flag"])
        except Wrong as wrong:
            field, expected, got = wrong.args
            place = f"{where}.{field}".rstrip(".")
            what = "and it is missing" if got is None else f"got {got!r:.60}"
            line = lines.get(place, lines[where])
            raise Problem(f"{FILE}, line {line}: {place}: expected {expected}, {what}") from None
        found[name] = {**one, "line": lines[where]}
    return found


def parse(text: str) -> tuple[Any, dict[str, int]]:
    """Return what the YAML holds, and the line of each name, as experiments.mine.flag. Raises Problem."""
    import yaml  # which Python's standard library lacks: see of()

    class Loader(yaml.SafeLoader):
        """YAML in which `on`, `off` and days are texts: they are names of variants here."""

    plain = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    known = yaml.SafeLoader.yaml_implicit_resolvers.items()
    Loader.yaml_implicit_resolvers = {key: [one for one in pairs if one[0] not in plain] for key, pairs in known}
    Loader.add_implicit_resolver(plain[0], re.compile("^(true|false)$"), ["t", "f"])
    lines: dict[str, int] = {}

    def places(node: Any, where: str) -> None:
        names = [str(key.value) for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        if len(names) > len(set(names)):
            raise yaml.MarkedYAMLError(problem="a name twice", problem_mark=node.start_mark)
        for name, (key, value) in zip(names, node.value if names else (), strict=True):
            lines[f"{where}{name}"] = key.start_mark.line + 1
            places(value, f"{where}{name}.")

    try:
        loader = Loader(text)
        node = loader.get_single_node()
        places(node, "")
        return loader.construct_document(node) if node else None, lines
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        line = f", line {mark.line + 1}" if (mark := getattr(error, "problem_mark", None)) else ""
        got = getattr(error, "problem", "") or "something else"
        raise Problem(f"{FILE}{line}: expected YAML with each name once, got {got}") from None


def check(one: dict[str, Any]) -> None:
    """Raise Wrong for the first thing that is wrong in an experiment."""
    for field, value in one.items():
        if field not in FIELDS:
            raise Wrong(field, " or ".join(FIELDS), field)
        if not FIELDS[field][0](value):
            raise Wrong(field, FIELDS[field][1], value)
    for field in REQUIRED:
        if field not in one:
            raise Wrong(field, FIELDS[field][1], None)
    variants = f"one of {', '.join(one['variants'])}"
    if one["control"] not in one["variants"]:
        raise Wrong("control", variants, one["control"])
    if (serve := one.get("ended", {}).get("serve", one["control"])) not in one["variants"]:
        raise Wrong("ended", f"serve: {variants}", serve)
    if one.get("start", "") >= one.get("end", "9"):
        raise Wrong("end", f"a day after {one['start']}", one["end"])
    if runs(one):
        plan, since = one["started"]["plan"], one["started"].get("at", "?")
        for field in sorted({*plan, *one} - NOT_FROZEN):
            if one.get(field) != plan.get(field):
                expected = f"{json.dumps(plan.get(field))}, as planned; it runs since {since}: set it back, or stop it"
                raise Wrong(field, expected, one.get(field))


def missing(one: Mapping[str, Any]) -> list[str]:
    """Return the fields without which an experiment can't be planned or started."""
    return [field for field in TO_PLAN if field not in one]


def runs(one: Mapping[str, Any]) -> bool:
    """Return whether an experiment has been started, and not ended."""
    return "started" in one and "ended" not in one


def definition(experiments: Mapping[str, Any], states: flags.States, stands: Mapping[str, Any]) -> dict[str, Any]:
    """Return flagd's definition for an environment: your own flags, on or off, and the experiments' variants."""
    brought = {name for one in stands["levels"] for name in (*one["features"], *one["later"])}
    made: dict[str, Any] = {
        name: {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on" if on else "off"}
        for name, (on, _) in states.items()
        if name not in brought
    }
    for name, one in experiments.items():
        on = states["a_b_testing"][0] and states.get(one["flag"], (True, ""))[0]
        serves = one["ended"]["serve"] if on and "ended" in one else one["control"]
        flag = {"state": "ENABLED", "variants": {key: key for key in one["variants"]}, "defaultVariant": serves}
        if on and runs(one):
            # By flagd's hash of the flag's key and the unit. Who isn't asked, or is nobody, gets the default variant.
            asked = [{"!": [{"in": [{"var": "targetingKey"}, ["", None]]}]}, *filter(None, [one.get("targeting")])]
            flag["targeting"] = {"if": [{"and": asked}, {"fractional": [[*pair] for pair in one["variants"].items()]}]}
        made[one["flag"]] = {**flag, "metadata": {"experiment": name}}
    revision = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:12]
    return {"$schema": "https://flagd.dev/schema/v0/flags.json", "metadata": {"version": revision}, "flags": made}


def of(environment: str) -> dict[str, Any]:
    """Return the `experiments` and, where an environment is given, its `flagd` definition.

    Ends the script with one line where a file is wrong.
    """
    import uv

    done = uv.call([*flags.with_yaml(), __file__, environment], capture_output=True)
    if done.returncode:
        uv.fail((done.stderr.strip().splitlines() or [f"{FILE} can't be read"])[-1])
    return dict(json.loads(done.stdout))


def said(environment: str) -> dict[str, Any]:
    """Return what `of` does, on a Python that has PyYAML. Raises Problem, UnicodeDecodeError."""
    import uv

    text = {
        name: file.read_text(encoding="utf-8-sig") for name in (FILE, flags.FILE) if (file := uv.ROOT / name).is_file()
    }
    found = read(text.get(FILE, "experiments:"))
    told: dict[str, Any] = {"experiments": found}
    if environment:
        states = flags.resolve(flags.read(text.get(flags.FILE, "features: {}")), uv.PROJECT, environment)
        told["flagd"] = definition(found, states, uv.PROJECT)
    return told


if __name__ == "__main__":
    try:
        print(json.dumps(said(sys.argv[1])))
    except (flags.Problem, UnicodeDecodeError) as problem:
        sys.exit(str(problem) if isinstance(problem, flags.Problem) else f"{Path(FILE)}: expected UTF-8")
