"""What a view answers, as far as it stands literally in its source: status codes, and the shape of JSON.

Nothing is guessed. What is computed, comes from elsewhere, or passes a decorator that may change it, is left
open; so an answer that isn't found here may be given all the same.
"""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ..source.files import aside, walk
from ..source.modules import Function, Module, read_file
from ..source.routes import Route, View

Schema = dict[str, Any]

REGISTERING = {"route", "get", "post", "put", "patch", "delete", "head", "options"}
VIEWS = {"MethodView", "View", "Resource", "flask.views.MethodView", "views.MethodView"}
HANDLERS = (b"errorhandler", b"register_error_handler", b"handle_exception", b"handle_http_exception")
TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
CALLS = {
    "len": "integer",
    "int": "integer",
    "str": "string",
    "bool": "boolean",
    "float": "number",
    "dict": "object",
}
RENDERED = {"flask.render_template", "flask.render_template_string"}
WITHOUT_BODY = {204, 205, 304}


@dataclass(frozen=True)
class Answer:
    """A status, and the schema of the JSON that comes with it; None where the body is no JSON, or isn't
    known.
    """

    status: int
    json: Schema | None = None


class Reader:
    """Reads the views of one service's modules. `root` is the project's folder, `path` the service's."""

    def __init__(self, root: Path, path: str) -> None:
        self.root, self.path = root, path
        self.modules: dict[str, Module | None] = {}
        self._handled: bool | None = None

    def of(self, route: Route, view: View | None) -> dict[int, Schema | None]:
        """The statuses that a view surely may answer,
        each with its JSON where all of that status is known."""
        function, module = self._function(view)
        if (
            view is None
            or function is None
            or module is None
            or function.is_generator
            or not _untouched(function, module, route)
        ):
            return {}
        reading = _Reading(function, module)
        returned = [answer for node in reading.returns for answer in reading.answers(node.value)]
        found: dict[int, Schema | None] = {}
        for answer in filter(None, returned):
            known = found.get(answer.status, answer.json)
            found[answer.status] = _both(known, answer.json)
        if None in returned:  # what isn't known may have any status
            found = dict.fromkeys(found)
        if not self._error_handlers():  # one could answer otherwise
            found |= dict.fromkeys(reading.aborts)
        return dict(sorted(found.items()))

    def _function(self, view: View | None) -> tuple[Function | None, Module | None]:
        if view is None:
            return None, None
        if view.file not in self.modules:
            read = read_file(self.root, view.file)
            self.modules[view.file] = read if isinstance(read, Module) else None
        module = self.modules[view.file]
        functions = module.functions if module else ()
        return next((one for one in functions if one.line == view.line), None), module

    def _error_handlers(self) -> bool:
        """Whether a word in the service's source says that errors get answers of their own."""
        if self._handled is None:
            self._handled = any(word in text for text in self._texts() for word in HANDLERS)
        return self._handled

    def _texts(self) -> Iterator[bytes]:
        folder = self.root / self.path
        for below, names in walk(folder):
            for name in names:
                if not aside(posixpath.normpath(posixpath.join(self.path, below, name))):
                    try:
                        yield (folder / below / name).read_bytes()
                    except OSError:
                        continue


def _untouched(function: Function, module: Module, route: Route) -> bool:
    """Whether what a view returns reaches Flask as it is: no decorator but those that register it, and
    guards.
    """
    guards = {auth.name for auth in route.auth}
    for text in function.decorators:
        dotted = text.partition("(")[0]
        if dotted not in guards and not ("." in dotted and dotted.rpartition(".")[2] in REGISTERING):
            return False
    if not function.owner:
        return True
    owner = next((one for one in module.classes if one.qualname == function.owner), None)
    if owner is None or not {base.rpartition(".")[2] for base in owner.bases} <= VIEWS:
        return False
    assigned = [node for node in ast.walk(owner.node) if isinstance(node, ast.Assign)]
    names = {target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)}
    return not names & {"decorators", "method_decorators"}


def _both(one: Schema | None, other: Schema | None) -> Schema | None:
    if one is None or other is None:
        return None
    if one == other:
        return one
    listed = one["anyOf"] if set(one) == {"anyOf"} else [one]
    return {"anyOf": listed if other in listed else [*listed, other]}


class _Reading:
    """One function."""

    def __init__(self, function: Function, module: Module) -> None:
        nodes = list(_own(function.node))
        self.returns = [node for node in nodes if isinstance(node, ast.Return)]
        stored = {
            node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        }
        inner = {
            node.name
            for node in nodes
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        }
        self.local = stored | inner | {one.name for one in function.parameters}
        self.imports = {
            one.name: one.module if one.attribute is None else f"{one.module}.{one.attribute}"
            for one in module.imports
        }
        defined = [(one.name, one.qualname) for one in module.functions] + [
            (one.name, one.qualname) for one in module.classes
        ]
        assigned = {
            target.id
            for node in module.tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self.bound = self.local | {name for name, qualname in defined if name == qualname} | assigned
        calls = [
            node
            for node in nodes
            if isinstance(node, ast.Call) and self._name(node.func) in ABORTS and node.args
        ]
        codes = [self._status(node.args[0]) for node in calls]
        self.aborts = sorted({code for code in codes if code is not None and code >= 400})

    def _name(self, node: ast.expr) -> str:
        """What a name was imported as: with `from flask import jsonify as j`, "j" is "flask.jsonify"; empty
        for all else.
        """
        if isinstance(node, ast.Attribute):
            inner = self._name(node.value)
            return f"{inner}.{node.attr}" if inner else ""
        if not isinstance(node, ast.Name) or node.id in self.bound:
            return ""
        return self.imports.get(node.id, "")

    def _builtin(self, node: ast.expr) -> str:
        known = isinstance(node, ast.Name) and node.id not in self.bound and node.id not in self.imports
        return node.id if known and isinstance(node, ast.Name) else ""

    def answers(self, node: ast.expr | None) -> list[Answer | None]:
        """What `return node` answers; None where that can't be told."""
        if isinstance(node, ast.IfExp):
            return [*self.answers(node.body), *self.answers(node.orelse)]
        if isinstance(node, ast.Tuple):
            return [self._tuple(node.elts)]
        if node is None:
            return [None]
        if isinstance(node, (ast.Constant, ast.JoinedStr)):
            return [
                Answer(200) if not isinstance(node, ast.Constant) or isinstance(node.value, str) else None
            ]
        if isinstance(node, ast.Call):
            name = self._name(node.func)
            if name in RENDERED:
                return [Answer(200)]
            if name in ("flask.redirect", "werkzeug.utils.redirect"):
                given = [*node.args[1:2], *(one.value for one in node.keywords if one.arg == "code")]
                status = self._status(given[0]) if given else 302
                return [Answer(status) if status else None]
        body = self._json(node)
        return [None if body is None else Answer(200, body)]

    def _tuple(self, parts: list[ast.expr]) -> Answer | None:
        """(body, status), (body, status, headers) and (body, headers), as Flask takes them."""
        if not 2 <= len(parts) <= 3 or any(isinstance(one, ast.Starred) for one in parts):
            return None
        body, status = self._json(parts[0]), self._status(parts[1])
        headers = parts[2] if len(parts) == 3 else None
        if status is None:
            text = isinstance(parts[0], ast.JoinedStr) or (
                isinstance(parts[0], ast.Constant) and isinstance(parts[0].value, str)
            )
            if len(parts) == 3 or not isinstance(parts[1], ast.Dict) or (body is None and not text):
                return None
            status, headers = 200, parts[1]
        if headers is not None:
            keys = headers.keys if isinstance(headers, ast.Dict) else [None]
            plain = [
                key.value.lower()
                for key in keys
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            ]
            body = body if len(plain) == len(keys) and "content-type" not in plain else None
        return Answer(status, None if status in WITHOUT_BODY else body)

    def _status(self, node: ast.expr) -> int | None:
        if isinstance(node, ast.Constant):
            text = node.value[:3] if isinstance(node.value, str) else node.value
            code = int(text) if isinstance(text, str) and text.isascii() and text.isdecimal() else text
            return code if type(code) is int and 200 <= code <= 599 else None
        name = self._name(node)
        member = name.removeprefix("http.HTTPStatus.").removesuffix(".value")
        return (
            HTTPStatus[member].value
            if name.startswith("http.HTTPStatus.") and member in HTTPStatus.__members__
            else None
        )

    def _json(self, node: ast.expr) -> Schema | None:
        """The schema of what Flask makes JSON of; None for all else."""
        if isinstance(node, ast.Call):
            name = self._name(node.func)
            if name in ("flask.jsonify", "flask.json.jsonify"):
                if any(isinstance(one, ast.Starred) for one in node.args):
                    return {}
                if node.args:
                    return (
                        self._schema(node.args[0])
                        if len(node.args) == 1 and not node.keywords
                        else {"type": "array"}
                    )
                return self._object(
                    [ast.Constant(one.arg) if one.arg else None for one in node.keywords], node.keywords
                )
            return self._schema(node) if self._builtin(node.func) == "dict" else None
        literal = (ast.Dict, ast.DictComp, ast.List, ast.ListComp)
        return self._schema(node) if isinstance(node, literal) else None

    def _schema(self, node: ast.expr) -> Schema:
        """What is sure of a value; {} where nothing is."""
        if isinstance(node, ast.Constant):
            return {"type": TYPES[type(node.value)]} if type(node.value) in TYPES else {}
        if isinstance(node, ast.JoinedStr):
            return {"type": "string"}
        if isinstance(node, ast.UnaryOp):
            return {"type": "boolean"} if isinstance(node.op, ast.Not) else self._number(node)
        if isinstance(node, ast.Compare):
            sure = all(isinstance(one, (ast.Is, ast.IsNot, ast.In, ast.NotIn)) for one in node.ops)
            return {"type": "boolean"} if sure else {}
        if isinstance(node, ast.Dict):
            return self._object(node.keys, node.values)
        if isinstance(node, ast.DictComp):
            return {"type": "object"}
        if isinstance(node, (ast.List, ast.Tuple)):
            items = [self._schema(one) for one in node.elts]
            same = items and all(one == items[0] for one in items) and items[0]
            return {"type": "array", "items": items[0]} if same else {"type": "array"}
        if isinstance(node, ast.ListComp):
            items = [self._schema(node.elt)]
            return {"type": "array", "items": items[0]} if items[0] else {"type": "array"}
        if isinstance(node, ast.IfExp):
            one, other = self._schema(node.body), self._schema(node.orelse)
            return (_both(one, other) or {}) if one and other else {}
        if isinstance(node, ast.Call):
            name = self._builtin(node.func)
            if name == "dict" and not node.args:
                return self._object(
                    [ast.Constant(one.arg) if one.arg else None for one in node.keywords], node.keywords
                )
            return {"type": CALLS[name]} if name in CALLS else {}
        return {}

    def _number(self, node: ast.UnaryOp) -> Schema:
        inner = self._schema(node.operand) if isinstance(node.operand, ast.Constant) else {}
        return inner if inner.get("type") in ("integer", "number") else {}

    def _object(self, keys: list[Any], values: list[Any]) -> Schema:
        """An object. What stands before a `**` may be replaced by it, and a key that isn't literal may be
        any.
        """
        properties: Schema = {}
        for key, value in zip(keys, values, strict=True):
            if (
                isinstance(key, ast.Constant)
                and isinstance(key.value, (str, int))
                and not isinstance(key.value, bool)
            ):
                properties[str(key.value)] = self._schema(
                    value.value if isinstance(value, ast.keyword) else value
                )
            else:
                properties = {known: {} for known in properties}
        return (
            {"type": "object", "properties": properties, "required": list(properties)}
            if properties
            else {"type": "object"}
        )


ABORTS = {"flask.abort", "werkzeug.exceptions.abort"}


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function and in none inside of it."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield from _own(child)
