"""One service's routes as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

import inspect
import re
from typing import Any

from ..source.routes import Auth, Route, Routes, Variable, View, variables

MARK = "levels api-docs"
METHODS = {"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"}  # what a path item takes

SCHEMES: dict[str, dict[str, str]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "digest": {"type": "http", "scheme": "digest"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "session", "description": "The session's cookie, by Flask's default name."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The usual name; the source may take another."},
}


def document(project: str, service: str, found: Routes) -> dict[str, Any]:
    """The document of a service. It holds what the source says: no response is described, because none stands in a route.

    Each operation has its rule as Flask has it (`x-rule`), where it stands (`x-source`) and the decorators that guard it
    (`x-auth`). Rules that OpenAPI has no place for are under `x-rules-without-place`, what the source doesn't settle under `x-unresolved`.
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
                without.append({"x-rule": route.rule, "method": method, "x-source": f"{route.file}:{route.line}", "why": reason})
                continue
            schemes |= {auth.scheme for auth in route.auth if auth.scheme}
            paths.setdefault(path, {})[method.lower()] = _operation(route, method, ids)
    result: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": f"{project}: {service}",
            "version": "unversioned",
            "description": "Written by `levels api-docs` from the source; responses and bodies are not told there.",
        },
        "servers": [{"url": "http://127.0.0.1:8000", "description": "this machine"}],
        "paths": paths,
        "x-generated-by": MARK,
    }
    if schemes:
        result["components"] = {"securitySchemes": {name: SCHEMES[name] for name in sorted(schemes)}}
    if without:
        result["x-rules-without-place"] = without
    result["x-unresolved"] = [{"x-source": f"{one.file}:{one.line}", "what": one.what, "why": one.why} for one in found.unresolved]
    return result


def documented(found: Routes) -> list[Route]:
    """The routes that documents show: all but Flask's own static files, and rules that only give a second name to one."""
    views = {(route.rule, route.subdomain) for route in found.routes if route.view}
    return [route for route in found.routes if not route.static and (route.view or (route.rule, route.subdomain) not in views)]


def shown_methods(methods: tuple[str, ...]) -> list[str]:
    """The methods without those that Flask adds by itself, HEAD beside GET and OPTIONS, unless there is nothing else."""
    return sorted(set(methods) - {"HEAD", "OPTIONS"}) or sorted(methods)


def template(rule: str) -> str:
    """A rule as a path of OpenAPI: /<int:page> is /{page}."""
    for variable in re.findall(r"<[^<>]*>", rule):
        found = variables(variable)
        if found:
            rule = rule.replace(variable, "{" + found[0].name + "}")
    return rule


def parts(doc: str) -> tuple[str, str]:
    """A docstring's first line, and the rest of it. What follows a line of --- is a machine's (flasgger, apispec) and left out."""
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


def _operation(route: Route, method: str, ids: set[str]) -> dict[str, Any]:
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
    operation["responses"] = {"default": {"description": "The source of the route doesn't tell."}}
    operation["x-rule"] = route.rule
    if route.subdomain:
        operation["x-subdomain"] = route.subdomain
    operation["x-source"] = f"{view.file}:{view.line}" if view else f"{route.file}:{route.line}"
    return operation


def _id(wanted: str, ids: set[str]) -> str:
    name = base = re.sub(r"\W+", "_", wanted, flags=re.ASCII).strip("_")
    number = 2
    while name in ids:
        name, number = f"{base}_{number}", number + 1
    ids.add(name)
    return name


def _security(guards: tuple[Auth, ...]) -> list[dict[str, list[str]]]:
    """All guards together. One of which the source doesn't tell what it wants is only in `x-auth`: OpenAPI has no word for that."""
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
    """What a converter takes (werkzeug/routing/converters.py), as a JSON schema. One that is the application's own takes any text."""
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
