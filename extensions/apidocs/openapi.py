"""One service's routes as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from ..source.routes import Auth, Route, Routes, Variable, View, variables
from .responses import WITHOUT_BODY, Schema

MARK = "levels api-docs"
Answers = Callable[[Route, View | None], Mapping[int, Schema | None]]
METHODS = {"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"}  # what a path item takes

SCHEMES: dict[str, dict[str, str]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "digest": {"type": "http", "scheme": "digest"},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "session",
        "description": "The session's cookie, by Flask's default name.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The usual name; the source may take another.",
    },
}


def nothing(route: Route, view: View | None) -> Mapping[int, Schema | None]:
    """For who has no source to look at: no answer is known."""
    return {}


def document(
    project: str,
    service: str,
    found: Routes,
    version: str = "",
    answers: Answers = nothing,
    health: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The document of a service.

    It holds what the source says; `answers` gives that of responses, `health` the paths of health.py.

    Each operation has its rule as Flask has it (`x-rule`), the view that answers (`x-source`) and the
    decorators that guard it (`x-auth`). Rules that OpenAPI has no place for are under
    `x-rules-without-place`, what the source doesn't settle under `x-unresolved`. No line numbers: they change
    with every edit above.
    """
    paths: dict[str, dict[str, Any]] = {}
    shapes: dict[str, str] = {}
    without: list[dict[str, str]] = []
    schemes: set[str] = set()
    ids: set[str] = set()
    for route in documented(found):
        path = template(route.rule)
        # Paths that differ in the names of their parts alone are the same one to OpenAPI.
        same = shapes.setdefault(re.sub(r"\{[^}]*\}", "{}", path), path)
        for method in shown_methods(route.methods):
            reason = ""
            standing = paths.get(path, {}).get(method.lower(), {})
            if standing.get("x-rule") == route.rule and standing.get("x-subdomain", "") == route.subdomain:
                continue  # registered twice: the first one answers
            if same != path or standing:
                reason = "OpenAPI has one operation for a method and a path, whatever the converters"
            elif method not in METHODS:
                reason = "OpenAPI doesn't know the method"
            if reason:
                without.append(
                    {"x-rule": route.rule, "method": method, "x-source": where(route, method), "why": reason}
                )
                continue
            schemes |= {auth.scheme for auth in route.auth if auth.scheme}
            paths.setdefault(path, {})[method.lower()] = _operation(route, method, ids, answers)
    for path, operation in (health or {}).items():
        if "get" not in paths.get(path, {}):
            paths.setdefault(path, {})["get"] = {
                **operation,
                "operationId": _id(operation["operationId"], ids),
            }
    result: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": f"{project}: {service}",
            "version": version or "unversioned",
            "description": (
                "Written by `levels api-docs` from the source. What doesn't stand there literally is left"
                " open."
            ),
        },
        "servers": [{"url": "http://127.0.0.1:8000", "description": "this machine"}],
        "paths": paths,
        "x-generated-by": MARK,
    }
    if schemes:
        result["components"] = {"securitySchemes": {name: SCHEMES[name] for name in sorted(schemes)}}
    if without:
        result["x-rules-without-place"] = without
    told = [{"x-source": one.file, "what": one.what, "why": one.why} for one in found.unresolved]
    result["x-unresolved"] = [one for number, one in enumerate(told) if one not in told[:number]]
    return result


def documented(found: Routes) -> list[Route]:
    """The routes that documents show: all but Flask's own static files, and rules that only give a second
    name to one.
    """
    views = {(route.rule, route.subdomain) for route in found.routes if route.view}
    return [
        route
        for route in found.routes
        if not route.static and (route.view or (route.rule, route.subdomain) not in views)
    ]


def shown_methods(methods: tuple[str, ...]) -> list[str]:
    """The methods without those that Flask adds by itself, HEAD beside GET and OPTIONS, unless there is
    nothing else.
    """
    return sorted(set(methods) - {"HEAD", "OPTIONS"}) or sorted(methods)


def template(rule: str) -> str:
    """A rule as a path of OpenAPI: /<int:page> is /{page}."""
    for variable in re.findall(r"<[^<>]*>", rule):
        found = variables(variable)
        if found:
            rule = rule.replace(variable, "{" + found[0].name + "}")
    return rule


def parts(doc: str) -> tuple[str, str]:
    """A docstring's first line, and the rest of it.

    What follows a line of --- is a machine's (flasgger, apispec) and left out.
    """
    text = re.split(r"^\s*---\s*$", inspect.cleandoc(doc), maxsplit=1, flags=re.MULTILINE)[0].strip()
    first, _, rest = text.partition("\n")
    return first.strip(), rest.strip("\n").rstrip()


def view_of(route: Route, method: str) -> View | None:
    """What answers a method: a method of a view class, or the view."""
    return route.by_method.get(method) or route.view


def said(route: Route, method: str) -> str:
    """The docstring for a method: that of the method, or else of the view."""
    own = route.by_method.get(method)
    return (own.doc if own else "") or route.doc


def where(route: Route, method: str) -> str:
    """The file and the view that answers a method, or the file in which the route is made."""
    view = view_of(route, method)
    return f"{view.file}: {view.name}" if view else route.file


def _operation(route: Route, method: str, ids: set[str], answers: Answers) -> dict[str, Any]:
    summary, description = parts(said(route, method))
    view = view_of(route, method)
    operation: dict[str, Any] = {"operationId": _id(f"{method.lower()}_{route.endpoint}", ids)}
    if summary:
        operation["summary"] = summary
    if description:
        operation["description"] = description
    if "." in route.endpoint:
        operation["tags"] = [route.endpoint.rpartition(".")[0]]
    if given := [_parameter(variable) for variable in route.variables]:
        operation["parameters"] = given
    if security := _security(route.auth):
        operation["security"] = security
    if route.auth:
        operation["x-auth"] = [auth.name for auth in route.auth]
    known = {str(status): _response(status, schema) for status, schema in answers(route, view).items()}
    rest = (
        "Any other answer; the source doesn't tell it literally."
        if known
        else "The source doesn't tell it literally."
    )
    operation["responses"] = {**known, "default": {"description": rest}}
    operation["x-rule"] = route.rule
    if route.subdomain:
        operation["x-subdomain"] = route.subdomain
    operation["x-source"] = where(route, method)
    return operation


def _response(status: int, schema: Schema | None) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase if status in {one.value for one in HTTPStatus} else f"Status {status}"
    if schema is None or status in WITHOUT_BODY:
        return {"description": phrase}
    return {"description": phrase, "content": {"application/json": {"schema": schema}}}


def _id(wanted: str, ids: set[str]) -> str:
    name = base = re.sub(r"\W+", "_", wanted, flags=re.ASCII).strip("_")
    number = 2
    while name in ids:
        name, number = f"{base}_{number}", number + 1
    ids.add(name)
    return name


def _security(guards: tuple[Auth, ...]) -> list[dict[str, list[str]]]:
    """All guards together. One of which the source doesn't tell what it wants is only in `x-auth`: OpenAPI
    has no word for that.
    """
    known: dict[str, list[str]] = {auth.scheme: [] for auth in guards if auth.scheme}
    return [known] if known else []


def _parameter(variable: Variable) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": variable.name, "in": "path", "required": True}
    if variable.converter == "path":
        parameter["description"] = "It may hold slashes."
    elif variable.converter not in ("default", "string", "int", "float", "any", "uuid"):
        parameter["description"] = f"By the application's own converter {variable.converter}."
    parameter["schema"] = schema(variable)
    return parameter


def schema(variable: Variable) -> dict[str, Any]:
    """What a converter takes (werkzeug/routing/converters.py), as a JSON schema.

    One that is the application's own takes any text.
    """
    kind, given = variable.converter, dict(re.findall(r"(\w+)\s*=\s*([^,\s]+)", variable.arguments))
    result: dict[str, Any]
    if kind in ("int", "float"):
        result = {"type": "integer" if kind == "int" else "number"}
        if given.get("signed") != "True":
            result["minimum"] = 0
        for name, key in (("min", "minimum"), ("max", "maximum")):
            if re.fullmatch(r"-?\d+(\.\d+)?", given.get(name, "")):
                result[key] = float(given[name]) if "." in given[name] else int(given[name])
        return result
    if kind == "uuid":
        return {"type": "string", "format": "uuid"}
    if kind == "any":
        return {"type": "string", "enum": _items(variable.arguments)}
    result = {"type": "string"}
    if kind in ("default", "string"):
        result["minLength"] = 1
        for names, key in ((("minlength", "length"), "minLength"), (("maxlength", "length"), "maxLength")):
            for name in names:
                if given.get(name, "").isdecimal():
                    result[key] = int(given[name])
    return result


def _items(arguments: str) -> list[str]:
    found = re.findall(r"\s*(?:\"([^\"]*)\"|'([^']*)'|([^,\s]+))\s*(?:,|$)", arguments)
    return list(dict.fromkeys(double or single or bare for double, single, bare in found))
