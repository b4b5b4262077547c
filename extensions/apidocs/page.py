"""The routes of all services as docs/api.md.

Text from the project is shown as text, whatever Markdown it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..project.git_and_files import shown
from ..source.routes import Route
from .openapi import Answers, documented, parts, said, shown_methods, view_of

if TYPE_CHECKING:
    from .write import Documented

MARK = "<!-- Written by `levels api-docs` from the source; edits are lost. -->"


def page(project: str, services: Sequence[Documented]) -> str:
    """The page of all services."""
    lines = [MARK, "", f"# API of {text(project)}", ""]
    lines += [
        (
            "What the source says of the routes. HEAD comes with GET, and OPTIONS with every path: they are"
            " not shown."
        ),
        "",
    ]
    lines += ["Answers are those that stand literally in the source; there may be others.", ""]
    for one in services:
        lines += _service(one)
    return "\n".join(lines).rstrip("\n") + "\n"


def _service(one: Documented) -> list[str]:
    service, found, document = one.service, one.found, one.document.removeprefix("docs/")
    lines = [f"## {text(service['name'])}", ""]
    if not document:
        return [
            *lines,
            "A worker: it serves no routes, other than the health endpoints of `serve_health`.",
            "",
        ]
    at = code(service["path"]) + (f", {code(service['app'])}" if service.get("app") else "")
    lines += [f"{at}; for machines: [{document}]({quote(document)})", ""]
    routes = documented(found)
    rows = [
        *(_row(route, one.answers) for route in routes),
        *(_probe(path, probe) for path, probe in one.health.items()),
    ]
    if rows:
        lines += [
            "| path | methods | asks for | answers | what it does | source |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [*rows, ""]
    if not routes:
        lines += ["No route is found.", ""]
    for route in routes:
        lines += _details(route)
    if found.unresolved:
        told = dict.fromkeys(
            f"- {source(it.file)}: {code(it.what)}: {text(it.why)}" for it in found.unresolved
        )
        lines += [f"### Not resolved in {text(service['name'])}", ""]
        lines += ["Here routes may be added in a way that the source doesn't settle:", "", *told, ""]
    return lines


def _row(route: Route, answers: Answers) -> str:
    methods = shown_methods(route.methods)
    summaries = dict.fromkeys(parts(said(route, method))[0] for method in methods)
    statuses = {status for method in methods for status in answers(route, view_of(route, method))}
    cells = [
        _cell(route.rule) + (f" on {_cell(route.subdomain)}" if route.subdomain else ""),
        ", ".join(map(text, methods)),
        ", ".join(_cell(auth.name) for auth in route.auth),
        _statuses(statuses),
        "; ".join(text(one) for one in summaries if one),
        source(route.file, route.view.name if route.view else ""),
    ]
    return "| " + " | ".join(cells) + " |"


def _probe(path: str, operation: Mapping[str, Any]) -> str:
    statuses = _statuses(map(int, operation["responses"]))
    return (
        f"| {_cell(path)} | GET |  | {statuses} | {text(operation['summary'])} |"
        f" {source(operation['x-answered-by'])} |"
    )


def _statuses(found: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(found)))


def _cell(value: str) -> str:
    """`code` in a table, where a bar ends the cell even within code."""
    return code(value).replace("|", "\\|")


def _details(route: Route) -> list[str]:
    """What the table has no room for: parameters, and docstrings of more than a line."""
    long = [(method, parts(said(route, method))) for method in shown_methods(route.methods)]
    if not route.variables and not any(rest for _, (_, rest) in long):
        return []
    lines = [f"### {', '.join(map(text, shown_methods(route.methods)))} {code(route.rule)}", ""]
    lines += [f"- {code(one.name)}: {text(_kind(one.converter, one.arguments))}" for one in route.variables]
    lines += [""] if route.variables else []
    told: dict[tuple[str, str], list[str]] = {}
    for method, doc in long:
        if any(doc):
            told.setdefault(doc, []).append(method)
    for (first, rest), methods in told.items():
        who = f"{', '.join(map(text, methods))}: " if len(told) > 1 or len(methods) < len(long) else ""
        where = view_of(route, methods[0])
        lines += [
            f"{who}{text(first)}" + (f" ({source(where.file, where.name)})" if who and where else ""),
            "",
        ]
        lines += [*_fenced(rest), ""] if rest else []
    return lines


KINDS = {
    "default": "text without a slash",
    "string": "text without a slash",
    "path": "text, with slashes",
    "int": "a whole number",
    "float": "a number with a point",
    "uuid": "a UUID",
    "any": "one of",
}


def _kind(converter: str, arguments: str) -> str:
    name = KINDS.get(converter, f"by the application's converter {converter}")
    return f"{name} ({arguments})" if arguments else name


def source(file: str, name: str = "") -> str:
    """A link from docs/ to a file, with what to look for in it.

    A number of a line would be wrong after the next edit above it.
    """
    return f"[{text(file)}](../{quote(file)})" + (f": {_cell(name)}" if name else "")


def text(value: str) -> str:
    """`value` in one line of Markdown that shows it as it is, wherever in a line it stands."""
    value = shown(re.sub(r"\s+", " ", value).strip())
    value = re.sub(
        r"([\\`*_\[\]|~$]|^[#+=:-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]|:(?=//)|(?<=www)\.)", r"\\\1", value
    )
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(value: str) -> str:
    """`value` as code within a line: the fence is longer than any run of backticks in it."""
    value = shown(re.sub(r"\s+", " ", value)).strip()
    fence = "`" * (max(map(len, re.findall(r"`+", value)), default=0) + 1)
    space = " " if "`" in value or not value else ""
    return f"{fence}{space}{value}{space}{fence}"


def _fenced(value: str) -> list[str]:
    """`value` as a block of plain text that nothing in it can end."""
    fence = "`" * max(3, max(map(len, re.findall(r"`+", value)), default=0) + 1)
    return [f"{fence}text", *(shown(line) for line in value.expandtabs().split("\n")), fence]
