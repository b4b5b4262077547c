"""`levels set`: change answers, and render again; without any, show them."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import Refused
from ..template import answers, layers
from ..template.place import root
from .arguments import answer, check, project_answers

HELP = "change answers and render again, as default_branch=trunk; without any, show them"
PAIRS = (
    "an answer, as default_branch=trunk; keep=+FILE takes a file over, keep=-FILE shows how it differs and"
    " gives it back"
)
ANSWERS = ("level", *answers.CHECKS)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help=PAIRS)


def run(options: argparse.Namespace) -> int:
    from ..moving import moves

    project = Path.cwd()
    recorded = project_answers(project)
    data = given(options.pairs or from_make(os.environ))
    if not data:
        print(*(shown(recorded, key) for key in ANSWERS if key in recorded), sep="\n")
        return 0
    if "keep" in data:
        data["keep"] = kept = wanted_keep(recorded, data["keep"])
        back = [path for path in recorded["keep"] if path not in kept]
        if back and (len(data) > 1 or set(kept) - set(recorded["keep"])):
            raise Refused(
                f"keep: {', '.join(back)} is given back by a command of its own, as keep=-{back[0]}"
            )
        if back:
            return max(moves.give_back(project, project_answers(project), path) for path in back)
    check(data)
    new = {key: value for key, value in data.items() if value != recorded.get(key)}
    if not new:
        print(*(f"{shown(recorded, key)} already" for key in data), sep="\n")
        return 0
    return moves.move(project, new)


def given(pairs: Iterable[str]) -> dict[str, Any]:
    """The answers in `pairs` as they are recorded: lists and truth values read as YAML.

    Raises Refused for what can't be read.
    """
    data: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise Refused(f"{pair}: expected KEY=VALUE, as default_branch=trunk")
        answer(pair, key)
        data[key] = answers.read(key, value) if key in answers.YAML and key != "keep" else value
    return data


def from_make(environment: Mapping[str, str]) -> list[str]:
    """The answers that `make set KEY=VALUE` was given: make lists their names in MAKEFLAGS, and hands the
    values on as variables.
    """
    names = re.findall(r"(?:^|\s)(\w+)=", environment.get("MAKEFLAGS", ""))
    return [
        f"{name}={environment[name]}"
        for name in dict.fromkeys(names)
        if name in environment and name.islower()
    ]


def wanted_keep(recorded: Mapping[str, Any], value: str) -> list[str]:
    """What `keep` becomes by `+PATH` or PATH (one more), `-PATH` (one less), or a list (just these).

    Raises Refused.
    """
    before: list[str] = recorded["keep"]
    if value.startswith("["):
        wanted = answers.read("keep", value)
    else:
        path = value.removeprefix("-").removeprefix("+").removeprefix("./")
        if value.startswith("-") and path not in before:
            raise Refused(f"{path}: expected one of keep: {', '.join(before) or 'nothing is kept'}")
        wanted = [one for one in before if one != path] if value.startswith("-") else [*before, path]
    check({"keep": wanted})
    ours = layers.owners(root(), answers.recorded_services(recorded), answers.environment_names(recorded))
    for path in wanted:
        if path not in before and not any(answers.kept(one, [path]) for one in ours):
            raise Refused(f"{path}: expected a file of the template's; the others are yours anyway")
    return sorted(set(wanted))


def shown(recorded: Mapping[str, Any], key: str) -> str:
    """An answer as `levels set` takes it."""
    value = recorded[key]
    text = (
        value
        if isinstance(value, str)
        else yaml.safe_dump(value, default_flow_style=True, width=100_000, sort_keys=False)
    )
    return f"{key}={text.removesuffix('...' + chr(10)).strip()}"
