"""Flags that have done their work: on everywhere for 90 days, past their day, or asked for by no code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import ModuleType
from typing import Any

from ..project.git_and_files import ask_git
from ..source.modules import Module, read_file
from . import flags
from .facts import Facts

FILE = "config/feature-flags.yml"
DAYS = 90
STAY = ("operational", "permission")  # types of flags that have no end


@dataclass(frozen=True)
class Flag:
    """A flag of the person's own: where it stands, what the file says of it, and where code names it."""

    name: str
    line: int
    says: Mapping[str, Any]
    used: tuple[str, ...]  # path:line

    @property
    def place(self) -> str:
        return f"{FILE}:{self.line}"


def own(facts: Facts) -> list[Flag]:
    """The flags of config/feature-flags.yml that no level brings. Raises the resolver's Problem."""
    code = flags.resolver()
    text = facts.text(FILE)
    said = code.read(text or "features: {}")["features"]
    brought = {
        name for one in flags.where_it_stands(1)["levels"] for name in (*one["features"], *one["later"])
    }
    names = [name for name in said if name not in brought]
    uses = used(facts, set(names)) if names else {}
    return [Flag(name, line_of(text, name), said[name], tuple(uses.get(name, ()))) for name in names]


def line_of(text: str, name: str) -> int:
    """The line of a flag's name; 1 where it stands in a form of its own."""
    found = re.search(rf"(?m)^[ ]+[\"']?{re.escape(name)}[\"']?[ ]*:", text)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def used(facts: Facts, names: set[str]) -> dict[str, list[str]]:
    """Where the person's code has a text that is a flag's name, or that names flags with commas between."""
    found: dict[str, list[str]] = {}
    for path in facts.own_python:
        module = read_file(facts.folder, path)
        if not isinstance(module, Module):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for name in names & {one.strip() for one in node.value.split(",")}:
                    found.setdefault(name, []).append(f"{path}:{node.lineno}")
    return found


def stale(facts: Facts, mine: list[Flag]) -> Iterator[str]:
    """A line for each flag that is to go: its place, why, and where code names it."""
    since = on_since(facts, [one.name for one in mine if one.says.get("type") not in STAY])
    for flag in mine:
        why = ""
        expires = flag.says.get("expires")
        if isinstance(expires, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", expires):
            expires = date.fromisoformat(expires)
        if isinstance(expires, date) and expires < facts.now.date():
            why = f"was to go by {expires}"
        elif flag.name in since:
            why = f"is on everywhere for {DAYS} days or more"
        elif not flag.used:
            why = "is asked for by no code"
        if why:
            yield f"{flag.place}: {flag.name} {why}{': ' if flag.used else ''}{', '.join(flag.used)}"


def on_since(facts: Facts, names: list[str]) -> set[str]:
    """Those of these flags that were on in all environments 90 days ago, and at each commit since."""
    if not names:
        return set()
    then = (facts.now - timedelta(days=DAYS)).isoformat()
    _, before, _ = ask_git(facts.folder, "rev-list", "-1", f"--before={then}", "HEAD")
    if not before.strip():
        return set()  # the project is younger, or the clone is shallow: nothing is known
    _, later, _ = ask_git(facts.folder, "log", f"--since={then}", "--format=%H", "--", FILE)
    code, on = flags.resolver(), set(names)
    for commit in [before.strip(), *later.split(), ""]:
        text = ask_git(facts.folder, "show", f"{commit}:./{FILE}")[1] if commit else facts.text(FILE)
        on &= fully_on(code, text)
    return on


def fully_on(code: ModuleType, text: str) -> set[str]:
    """The flags that a text of the file has on in all of its environments; none where it is wrong."""
    try:
        said = code.read(text or "features: {}")
    except code.Problem:
        return set()
    off = {name for one in said["environments"].values() for name, value in one.items() if not value}
    everywhere = [set(filter(one.get, one)) for one in said["environments"].values()]
    on = {name for name, one in said["features"].items() if one["enabled"]}
    return (on | set.intersection(*everywhere) if everywhere else on) - off


def without(mine: list[Flag], keys: tuple[str, ...]) -> Iterator[str]:
    """A line for each flag that lacks one of these keys."""
    for flag in mine:
        if lacks := [key for key in keys if not flag.says.get(key)]:
            yield f"{flag.place}: {flag.name} has no {' and no '.join(lacks)}"


def ended(experiments: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """A line for each experiment that is over for 90 days."""
    for name, one in experiments.items():
        at = str(one.get("ended", {}).get("at", ""))[:10]
        if at and at < (now - timedelta(days=DAYS)).date().isoformat():
            line = one["line"]
            yield f"config/experiments.yml:{line}: {name} ended {at}: take it out of the code and of the file"
