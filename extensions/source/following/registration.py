"""Registering routes and blueprints on an app or a blueprint, as far as it is known; all else becomes a
note.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from .plain import is_plain
from .values import UNKNOWN, Call, Class, Decorator, Nested, Owner, Place, Rule

if TYPE_CHECKING:
    from .follower import Follower

VERBS = {"get", "post", "put", "delete", "patch"}
# What registers routes on objects of others: flask-restx, flask-restful, flask-classful, flask-admin and
# their like.
REGISTERING = {
    "route",
    "add_url_rule",
    "add_resource",
    "add_namespace",
    "register_blueprint",
    "register_view",
    "add_view",
}
# Extensions that are given the app and add no routes to it; others are named as unresolved.
HARMLESS = {
    "flask_alembic", "flask_babel", "flask_bcrypt", "flask_caching", "flask_compress", "flask_cors",
    "flask_httpauth",
    "flask_jwt_extended", "flask_limiter", "flask_login", "flask_mail", "flask_marshmallow",
    "flask_migrate", "flask_mongoengine",
    "flask_moment", "flask_pymongo", "flask_redis", "flask_seasurf", "flask_session", "flask_sock",
    "flask_sqlalchemy", "flask_talisman",
    "flask_wtf", "authlib", "celery", "elasticapm", "flask", "opentelemetry", "sentry_sdk", "sqlalchemy",
    "structlog", "werkzeug",
}  # fmt: skip


def handed(follower: Follower, name: str | None, call: Call) -> None:
    """Note that an app or a blueprint goes where it can't be followed; `name` is what is called, where that
    is known.
    """
    package = (name or "").split(".")[0]
    # A module that is looked up at run time may do anything; what the template's own extension point loads is
    # known, see routes.py.
    known = package in HARMLESS or (package in sys.stdlib_module_names and package != "importlib")
    if not call.scope or known or any(getattr(one, "name", "") == "init_service" for one in follower.running):
        return
    for one in chain(call.arguments, call.named.values()):
        if isinstance(one, Owner):
            what = "app" if one.is_app else "blueprint"
            follower.note(
                call.node,
                call.scope,
                f"the {what} goes to {name or 'code'} that is not followed, which may add routes",
            )
            return


def class_guards(follower: Follower, cls: Class, name: str) -> Iterator[tuple[ast.expr, Any]]:
    """The decorators that a class of views lists under that name, as they stand in the source."""
    for node in cls.node.body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        if any(isinstance(one, ast.Name) and one.id == name for one in targets):
            listed = getattr(node, "value", None)
            if isinstance(listed, (ast.List, ast.Tuple)):
                yield from ((one, follower.value(one, cls.scope)) for one in listed.elts)
            return
    for base in cls.bases:
        if isinstance(base, Class):
            yield from class_guards(follower, base, name)


def register(follower: Follower, owner: Owner, name: str, call: Call) -> Any:
    """Do what a method of an app or a blueprint does, as far as routes are concerned; what it gives."""
    node, place = (
        call.node,
        Place(call.scope.file if call.scope else owner.place.file, getattr(call.node, "lineno", 1)),
    )
    if name in ("route", *VERBS):
        return _route(follower, owner, name, call, place)
    if name == "add_url_rule":
        options = (
            dict(
                zip(
                    ("rule", "endpoint", "view_func", "provide_automatic_options"),
                    call.arguments,
                    strict=False,
                )
            )
            | call.named
        )
        rule, endpoint, view = (
            options.pop("rule", UNKNOWN),
            options.pop("endpoint", None),
            options.pop("view_func", None),
        )
        _add(follower, owner, Rule(place, rule, endpoint, view, options), node)
    elif name == "register_blueprint":
        options = dict(zip(("blueprint",), call.arguments, strict=False)) | call.named
        blueprint = options.pop("blueprint", UNKNOWN)
        doubt = _doubt(follower, owner)
        if not isinstance(blueprint, Owner):
            follower.note(node, place, "which blueprint it is, is known only at run time")
        elif "**" in options:
            follower.note(node, place, "its options are known only at run time")
        elif doubt:
            follower.note(node, place, doubt)
            blueprint.options["registered in doubt"] = True
        else:
            owner.entries.append(Nested(place, blueprint, options))
    elif name in ("before_request", "before_app_request") and call.arguments:
        owner.guards += getattr(call.arguments[0], "guards", ())
        return call.arguments[0]
    elif name == "record" or name == "record_once":
        follower.note(node, place, "what a recorded function registers is known only at run time")
    elif name not in VERBS and any(
        isinstance(one, Owner) for one in chain(call.arguments, call.named.values())
    ):
        follower.note(node, place, "it may add routes")
    return UNKNOWN


def _route(follower: Follower, owner: Owner, name: str, call: Call, place: Place) -> Decorator:
    options = dict(call.named)
    rule = call.arguments[0] if call.arguments else options.pop("rule", UNKNOWN)
    endpoint = options.pop("endpoint", None)
    if name != "route":
        options["methods"] = [name.upper()]
    doubts = list(follower.doubts)

    def put(view: Any) -> None:
        now, follower.doubts = follower.doubts, [*follower.doubts, *doubts[len(follower.doubts) :]]
        try:
            _add(follower, owner, Rule(place, rule, endpoint, view, options), call.node)
        finally:
            follower.doubts = now

    return Decorator(put)


def _add(follower: Follower, owner: Owner, rule: Rule, node: ast.AST) -> None:
    doubt = _doubt(follower, owner)
    if doubt:
        follower.note(node, rule.place, doubt)
    elif not isinstance(rule.rule, str):
        follower.note(node, rule.place, "its path is known only at run time")
    elif "**" in rule.options or not _known_methods(rule.options.get("methods")):
        follower.note(node, rule.place, "its options are known only at run time")
    else:
        owner.entries.append(rule)


def _doubt(follower: Follower, owner: Owner) -> str:
    """Why it is not sure that what is registered on `owner` now is registered whenever `owner` is there;
    empty where it is.
    """
    since = 0
    while (
        since < min(len(owner.doubts), len(follower.doubts)) and owner.doubts[since] == follower.doubts[since]
    ):
        since += 1
    return follower.doubts[-1] if follower.doubts[since:] else ""


def _known_methods(value: Any) -> bool:
    return value is None or (isinstance(value, list) and is_plain(value))
