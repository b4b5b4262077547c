"""What an attribute of a value gives."""

from __future__ import annotations

import ast
from typing import Any

from .registration import REGISTERING
from .values import UNKNOWN, Api, Attribute, Class, External, Function, Instance, Method, Module, Owner, Rule


def attribute(value: Any, name: str) -> Any:
    if isinstance(value, Module):
        if name in value.scope.names:
            return value.scope.names[name]
        return UNKNOWN
    if isinstance(value, External):
        return External(f"{value.name}.{name}", value.is_result)
    if isinstance(value, Owner):
        if name in value.attributes:
            return value.attributes[name]
        if value.of and isinstance(method := value.of.lookup(name), Function):
            return _bound(method, value, value.of)
        if name == "view_functions":
            return [one.endpoint for one in value.entries if isinstance(one, Rule)]
        if name == "name":
            return value.options.get("name", UNKNOWN)
        if name in ("url_map", "config", "jinja_env", "logger", "extensions", "wsgi_app", "cli"):
            return Attribute(value, name) if name == "url_map" else UNKNOWN
        return Method(value, name)
    if isinstance(value, (Attribute, Api)):
        return Method(value, name)
    if isinstance(value, (Instance, Class)):
        if isinstance(value, Instance) and name in value.attributes:
            return value.attributes[name]
        cls = value.of if isinstance(value, Instance) else value
        found = cls.lookup(name)
        if found is UNKNOWN and isinstance(value, Class):
            return Method(value, name)
        if found is UNKNOWN and name in REGISTERING:
            return Method(UNKNOWN, name)  # of a class from outside that it inherits from
        return (
            _bound(found, value if isinstance(value, Instance) else None, cls)
            if isinstance(found, Function)
            else found
        )
    if isinstance(value, Function) and name in ("__name__", "__doc__"):
        return value.name if name == "__name__" else UNKNOWN
    if isinstance(value, (str, list, dict)):
        return Method(value, name)
    return Method(UNKNOWN, name) if name in REGISTERING else UNKNOWN


def _bound(function: Function, me: Owner | Instance | None, cls: Class) -> Function:
    """A function of a class,
    with what it is given first: nothing for one that is reached through the class."""
    decorators = {one.id for one in getattr(function.node, "decorator_list", []) if isinstance(one, ast.Name)}
    first = cls if "classmethod" in decorators else None if "staticmethod" in decorators else me
    return function if first is None else Function(function.node, function.scope, first, function.guards)
