"""`levels threat-model`: docs/threat-model.md, from the routes, servers, data and secrets in the source.

A list to think along. What the source doesn't settle is in it as unknown, and never left out.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..environments.settings import SECRET, names
from ..evolution.facts import Facts
from ..project.git_and_files import counted
from ..source import dependencies, routes
from ..source.environment import Reads
from ..source.environment import read as read_environment
from ..source.routes import Route
from . import health, openapi, write
from .page import code, source, text

PAGE = "docs/threat-model.md"
MARK = "<!-- Written by `levels threat-model` from the source; what stands below the last line is yours. -->"
YOURS = "<!-- Yours, below: this stays. -->"
CHANGES = {"POST", "PUT", "PATCH", "DELETE"}
# Fields of a model, and what their names say of people. The value is never looked at.
FIELD = re.compile(
    r"^\s*(\w+)\s*(?::[^=#]+)?=\s*(?:\w+\.)*(Column|mapped_column|Field|\w+Field)\(|^\s*(\w+)\s*:\s*Mapped\[",
    re.M,
)
PERSONAL = re.compile(
    r"(^|_)(e?mail|password|phone|mobile|address|street|city|zip|postcode|birth\w*|born|ssn|tax_id|passport|iban|card"
    r"|first_?name|last_?name|full_?name|surname|user_?name|gender|health|diagnosis|salary|ip|location|lat|lon)(_|$)",
    re.IGNORECASE,
)
HOOK = re.compile(r"\.before_(?:app_)?request\b")
REFUSES = re.compile(r"\babort\(|\bredirect\(|\bUnauthorized\b|\bForbidden\b|\b40[13]\b|login", re.IGNORECASE)


@dataclass
class Exposed:
    """A route: what it takes, what it asks a caller for, and where it stands."""

    path: str
    methods: list[str]
    asks: list[str]
    source: str


@dataclass
class Model:
    """What was found, by services' names where it belongs to one; places are files, for lines move."""

    routes: dict[str, list[Exposed]] = field(default_factory=dict)
    probes: dict[str, list[str]] = field(default_factory=dict)
    servers: dict[str, list[str]] = field(default_factory=dict)
    personal: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    guards: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def find(facts: Facts) -> Model:
    """What the source of a project says."""
    model = Model()
    for service in facts.services:
        name = service["name"]
        found = routes.find(facts.folder, service)
        if service["kind"] == "web":
            model.routes[name] = [_exposed(route) for route in openapi.documented(found)]
            model.probes[name] = list(health.endpoints(facts.folder, service, found))
            if not model.routes[name]:
                model.unknown.append(f"{text(name)}: which routes there are; none was found")
        where = (f"{source(one.file)}: {code(one.what)}: {text(one.why)}" for one in found.unresolved)
        model.unknown += [f"which routes are added in {one}" for one in where]
        model.servers[name] = [_server(one) for one in dependencies.find(facts.folder, service)]
    hooks = []
    for path in facts.own_python:
        content = facts.text(path)
        hooks += [path] if HOOK.search(content) and REFUSES.search(content) else []
        fields = (match[1] or match[3] for match in FIELD.finditer(content))
        model.personal += [f"{code(one)} in {source(path)}" for one in fields if PERSONAL.search(one)]
    model.unknown += [
        f"whether the function before each request in {source(one)} asks for a login" for one in hooks
    ]
    reads = read_environment(facts.folder, facts.own_python)
    model.secrets = list(_secrets(facts, reads))
    model.unknown += [f"which variable is read at {text(one)}" for one in _files(reads.computed)]
    model.unknown += [
        f"what {source(one)} does: it can't be parsed" for one in sorted(set(_files(reads.unparsed)))
    ]
    model.guards = list(_guards(facts))
    model.personal = list(dict.fromkeys(model.personal))
    model.unknown = list(dict.fromkeys(model.unknown))
    return model


def _exposed(route: Route) -> Exposed:
    place = source(route.file, route.view.name if route.view else "")
    rule = f"{route.subdomain}: {route.rule}" if route.subdomain else route.rule
    return Exposed(rule, openapi.shown_methods(route.methods), [one.name for one in route.auth], place)


def _server(one: dependencies.Dependency) -> str:
    """A server that is used: its kind, the variable that holds its address, and where that is seen."""
    at = f", at {code(one.target)}" if one.target else ", at an address that the source doesn't tell"
    seen = next(iter(_files(one.evidence)), "")
    return f"{one.kind}{at}" + (f" ({source(seen)})" if seen else "")


def _files(places: Iterable[str]) -> list[str]:
    """The files of places such as `shop/db.py:12 why`; a line's number would be wrong after the next edit."""
    return list(dict.fromkeys(re.split(r":\d+", place)[0] for place in places))


def _secrets(facts: Facts, reads: Reads) -> Iterator[str]:
    """The settings whose names say that they are secrets: where each is read, or which template has it."""
    found = {one.name: _files(one.places) for one in reads.variables.values()}
    for template in sorted((facts.folder / "config").glob("*.env.template")):
        path = template.relative_to(facts.folder).as_posix()
        for name in names(facts.text(path)):
            found.setdefault(name, [path])
    for name in sorted(filter(SECRET.search, found)):
        yield f"{code(name)}: {', '.join(source(one) for one in found[name])}"


def _guards(facts: Facts) -> Iterator[str]:
    """What the project has against attacks, and whether it is switched on."""
    settings, exceptions = "config/security.toml", "config/security-exceptions.txt"
    said = facts.text(settings)
    try:
        on = tomllib.loads(said).get("enabled", True) if said else None
        state = {True: "on", False: "off", None: f"unknown: {settings} isn't here"}.get(on, "unknown")
    except tomllib.TOMLDecodeError:
        state = f"unknown: {settings} can't be read"
    yield f"security headers, flags of cookies, limit of bodies: {state}"
    lines = [line.split() for line in facts.text(exceptions).splitlines() if line.strip() and line[0] != "#"]
    known = sum(words[0] != "findings:" for words in lines)
    reported = ["findings:", "report"] in lines
    state = "only printed so far" if reported else f"new ones fail; {counted(known, 'exception')}"
    yield f"findings of `{facts.make} security`: {state if lines else f'unknown: {exceptions} is not here'}"
    reports = "SECURITY.md" if facts.text("SECURITY.md") else "not said: SECURITY.md isn't here"
    yield f"how somebody reports a vulnerability: {reports}"


def page(project: str, model: Model) -> str:
    """The page, as far as it is written from the source."""
    lines = [MARK, "", f"# Threat model of {text(project)}", ""]
    lines += [
        "What the source says, to think along: what is open, what is behind it, what could be stolen.",
        "",
    ]
    for name, found in model.routes.items():
        lines += [f"## What {text(name)} exposes", ""]
        open_ones = [one for one in found if not one.asks]
        changing = [one for one in open_ones if CHANGES & set(one.methods)]
        lines += [
            f"{counted(len(found), 'route')}; of {len(open_ones)} the source shows no login, and"
            f" {len(changing)} of those may change something: they come first.",
            "",
        ]
        order = sorted(found, key=lambda one: (bool(one.asks), not CHANGES & set(one.methods), one.path))
        lines += ["| path | methods | asks for | source |", "| --- | --- | --- | --- |"] if found else []
        for one in order:
            asks = ", ".join(map(_cell, one.asks)) or "nothing that the source shows"
            lines.append(
                f"| {_cell(one.path)} | {', '.join(map(text, one.methods))} | {asks} | {one.source} |"
            )
        if model.probes.get(name):
            probes = ", ".join(map(code, model.probes[name]))
            lines += [*([""] if found else []), f"Without a login, by the template: {probes}."]
        lines.append("")
    lines += ["## What it stores and reaches", ""]
    for name, servers in model.servers.items():
        lines += [f"- {text(name)}: {one}" for one in servers] or [
            f"- {text(name)}: no server that the source shows"
        ]
    sections = {
        "Data about people, by the names of fields": (
            model.personal,
            "None that the names of a model's fields tell.",
        ),
        "Secrets, by name": (model.secrets, "None that a setting's name tells."),
        "What guards it": (model.guards, ""),
        "Unknown": (model.unknown, "Nothing that was looked for."),
    }
    for heading, (found_lines, none) in sections.items():
        lines += ["", f"## {heading}", "", *(f"- {one}" for one in found_lines)]
        lines += [] if found_lines else [none]
    return "\n".join([*lines, "", "## What follows", "", YOURS]) + "\n"


def _cell(value: str) -> str:
    return code(value).replace("|", "\\|")


def ours(file: Path) -> bool:
    """Whether a file was written by this command, as it says of itself."""
    return write.text_at(file).startswith(MARK)


def run(facts: Facts, check: bool, as_json: bool) -> int:
    """Write the page, or with `check` say whether it is out of date. 0 done, 1 out of date.

    Raises Refused, before anything is written, where a page stands that this command didn't write.
    """
    file = facts.folder / PAGE
    write.refuse_others(facts.folder, [PAGE], ours, "levels threat-model")
    model = find(facts)
    before = write.text_at(file)
    wanted = page(str(facts.recorded.get("project_name") or "this project"), model)
    wanted += before.partition(f"{YOURS}\n")[2]
    late = before != wanted
    if not check:
        write.put(file, wanted)
    if as_json:
        print(json.dumps({**asdict(model), "out_of_date": late}, indent=2))
    elif check and late:
        print(f"{PAGE}: out of date\nrun `{facts.make} threat-model` and commit what it writes")
    else:
        found = [one for listed in model.routes.values() for one in listed]
        without = sum(not one.asks for one in found)
        print(
            f"{PAGE}: {counted(len(found), 'route')}, {without} without a login;"
            f" {counted(len(model.secrets), 'secret')} by name; {len(model.unknown)} unknown"
        )
    return int(check and late)
