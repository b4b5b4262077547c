"""What an attribute of a value gives."""

from __future__ import annotations

import ast
from typing import Any

from .registration import REGISTERING
from .values import UNKNOWN, Attribute, Class, External, Function, Instance, Method, Module, Owner, Rule


def attribute(value: Any, name: str) -> Any:
    if isinstance(value, Module):
        if name in value.scope.names:
            return value.scope.names[name]
        return UNKNOWN
    if isinstance(value, External):
        return External(f"{value.name}.{name}", value.made)
    if isinstance(value, Owner):
        if name in value.attributes:
            return value.attributes[name]
        if value.of and isinstance(method := value.of.lookup(name), Function):
            return Function(method.node, method.scope, value, method.guards)
        if name == "view_functions":
            return [one.endpoint for one in value.entries if isinstance(one, Rule)]
        if name == "name":
            return value.options.get("name", UNKNOWN)
        if name in ("url_map", "config", "jinja_env", "logger", "extensions", "wsgi_app", "cli"):
            return Attribute(value, name) if name == "url_map" else UNKNOWN
        return Method(value, name)
    if isinstance(value, Attribute):
        return Method(value, name)
    if isinstance(value, (Instance, Class)):
        if isinstance(value, Instance) and name in value.attributes:
            return value.attributes[name]
        cls = value.of if isinstance(value, Instance) else value
        found = cls.lookup(name)
        if found is UNKNOWN and isinstance(value, Class):
            return Method(value, name)
        if isinstance(found, Function) and isinstance(value, Instance) and not _is_static(found):
            return Function(found.node, found.scope, value, found.guards)
        return found
    if isinstance(value, Function) and name in ("__name__", "__doc__"):
        return value.name if name == "__name__" else UNKNOWN
    if isinstance(value, (str, list, dict)):
        return Method(value, name)
    return Method(UNKNOWN, name) if name in REGISTERING else UNKNOWN


def _is_static(function: Function) -> bool:
    decorators = getattr(function.node, "decorator_list", [])
    return any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in decorators)
