"""`levels set`: change answers, and render again; without any, show them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .. import answers, layers
from ..template import root

KNOWN = ("level", *answers.CHECKS)
TEXT = {key for key in KNOWN if key not in answers.YAML}


def run(project: Path, recorded: dict[str, Any], pairs: list[str]) -> int:
    """Take `pairs` (KEY=VALUE) as the new answers of the project, and move it there; returns the exit code. Raises Refused."""
    data = given(pairs or from_make(os.environ))
    if not data:
        print(*(shown(recorded, key) for key in KNOWN if key in recorded), sep="\n")
        return 0
    from .. import moves

    if "keep" in data:
        kept = wanted_keep(recorded["keep"], data["keep"])
        back = [path for path in recorded["keep"] if path not in kept]
        if back and (len(data) > 1 or set(kept) - set(recorded["keep"])):
            raise answers.Refused(f"keep: {', '.join(back)} is given back by a command of its own, as `keep=-{back[0]}`")
        _check_keep(recorded, kept)
        if back:
            for path in back:
                moves.give_back(project, answers.recorded_answers(project), path)
            return 0
        data["keep"] = kept
    answers.check(data, len(layers.layer_folders(root())))
    new = {key: value for key, value in data.items() if value != recorded.get(key)}
    if not new:
        print(*(f"{shown(recorded, key)} already" for key in data), sep="\n")
        return 0
    return moves.move(project, new)


def given(pairs: Iterable[str]) -> dict[str, Any]:
    """The answers in `pairs` as they are recorded: lists and truth values read as YAML. Raises Refused for what can't be read."""
    data: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise answers.Refused(f"{pair}: expected KEY=VALUE, as default_branch=trunk")
        known_key(key, pair)
        data[key] = value if key in TEXT or key == "keep" else answers.read(key, value)
    return data


def known_key(key: str, pair: str, more: tuple[str, ...] = ()) -> None:
    """Raises Refused where there is no answer `key`."""
    known = [*KNOWN, *more]
    if key not in known:
        near = difflib.get_close_matches(key, known, 1)
        raise answers.Refused(f"{pair}: there is no such answer{f'; did you mean {near[0]}?' if near else ', see docs/answers.md'}")


def from_make(environment: Mapping[str, str]) -> list[str]:
    """The answers that `make set KEY=VALUE` was given: make lists their names in MAKEFLAGS, and hands the values on as variables."""
    names = re.findall(r"(?:^|\s)(\w+)=", environment.get("MAKEFLAGS", ""))
    return [f"{name}={environment[name]}" for name in dict.fromkeys(names) if name in environment and name.islower()]


def wanted_keep(kept: list[str], value: str) -> list[str]:
    """What `keep` becomes by `+PATH` or PATH (one more), `-PATH` (one less), or a list (just these). Raises Refused."""
    if value.startswith("["):
        wanted = answers.read("keep", value)
        answers.CHECKS["keep"]("keep", wanted)
        return sorted(set(wanted))
    path = value.removeprefix("-").removeprefix("+").removeprefix("./")
    answers.CHECKS["keep"]("keep", [path])
    if value.startswith("-"):
        if path not in kept:
            raise answers.Refused(f"{path}: expected one of keep: {', '.join(kept) or 'nothing is kept'}")
        return [one for one in kept if one != path]
    return sorted({*kept, path})


def _check_keep(recorded: Mapping[str, Any], kept: list[str]) -> None:
    ours = layers.owners(root(), answers.recorded_services(recorded))
    for path in kept:
        if path not in recorded["keep"] and not any(answers.kept(one, [path]) for one in ours):
            raise answers.Refused(f"{path}: expected a file of the template's; the others are yours anyway")


def shown(recorded: Mapping[str, Any], key: str) -> str:
    """An answer as `levels set` takes it."""
    value = recorded[key]
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=100_000, sort_keys=False)
    return f"{key}={text.removesuffix('...' + chr(10)).strip()}"
