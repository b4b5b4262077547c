"""The routes of all services as docs/api.md. Text from the project is shown as text, whatever Markdown it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from ..project.git_and_files import shown
from ..source.routes import Route, Routes
from .openapi import documented, parts, said, shown_methods, view_of

MARK = "<!-- Written by `levels api-docs` from the source; edits are lost. -->"


def page(project: str, services: Sequence[tuple[Mapping[str, str], Routes, str]]) -> str:
    """The page. `services` are entries of the answer with their routes and the name of their OpenAPI document, empty for a worker."""
    lines = [MARK, "", f"# API of {text(project)}", ""]
    lines += ["What the source says of the routes. HEAD comes with GET, and OPTIONS with every path: they are not shown.", ""]
    for service, found, document in services:
        lines += _service(service, found, document)
    return "\n".join(lines).rstrip("\n") + "\n"


def _service(service: Mapping[str, str], found: Routes, document: str) -> list[str]:
    lines = [f"## {text(service['name'])}", ""]
    if not document:
        return [*lines, "A worker: it serves no routes, other than the health endpoints of `serve_health`.", ""]
    at = code(service["path"]) + (f", {code(service['app'])}" if service.get("app") else "")
    lines += [f"{at}; for machines: [{document}]({quote(document)})", ""]
    routes = documented(found)
    if routes:
        lines += ["| path | methods | asks for | what it does | source |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(route) for route in routes]
        lines.append("")
    else:
        lines += ["No route is found.", ""]
    for route in routes:
        lines += _details(route)
    if found.unresolved:
        count = len(found.unresolved)
        lines += [f"### Not resolved in {text(service['name'])}", ""]
        lines += [f"{count} {'place' if count == 1 else 'places'} where routes may be added in a way that the source doesn't settle:", ""]
        lines += [f"- {source(one.file, one.line)}: {code(one.what)}: {text(one.why)}" for one in found.unresolved]
        lines.append("")
    return lines


def _row(route: Route) -> str:
    summaries = dict.fromkeys(parts(said(route, method))[0] for method in shown_methods(route.methods))
    cells = [
        _cell(route.rule) + (f" on {_cell(route.subdomain)}" if route.subdomain else ""),
        ", ".join(map(text, shown_methods(route.methods))),
        ", ".join(_cell(auth.name) for auth in route.auth),
        "; ".join(text(one) for one in summaries if one),
        source(route.file, route.line),
    ]
    return "| " + " | ".join(cells) + " |"


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
        lines += [f"{who}{text(first)}" + (f" ({source(where.file, where.line)})" if who and where else ""), ""]
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


def source(file: str, line: int) -> str:
    """A link from docs/ to a line of a file."""
    return f"[{text(file)}:{line}](../{quote(file)}#L{line})"


def text(value: str) -> str:
    """`value` in one line of Markdown that shows it as it is, wherever in a line it stands."""
    value = shown(re.sub(r"\s+", " ", value).strip())
    value = re.sub(r"([\\`*_\[\]|~$]|^[#+=:-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]|:(?=//)|(?<=www)\.)", r"\\\1", value)
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
