"""What runs when a service starts: the calls of a file, the functions that a start reaches, and the imports that may not happen."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from .addresses import Source, flat

_START = re.compile(r"_?(create|make|build|get)_(app|application|celery|celery_app|flask_app)|main|init_app|lifespan|on_startup")
_APP = {"app", "application", "flask_app"}
_CACHED = {"cache", "lru_cache", "cached_property"}


@dataclass
class Scope:
    """A function, with the class around it and whether its body runs when the service starts."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    owner: str
    starts: bool = False


@dataclass(frozen=True)
class Call:
    """A call, the function around it, and the setting that an `if` around it asks for."""

    node: ast.Call
    scope: Scope | None
    condition: str


def guards_of(source: Source) -> dict[str, str]:
    """Imported names whose import may not happen, with why."""
    guards: dict[str, str] = {}
    free: set[str] = set()

    def visit(body: list[ast.stmt], why: str) -> None:
        for node in body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    name = alias.asname or alias.name.split(".")[0]
                    if why:
                        guards.setdefault(name, why)
                    else:
                        free.add(name)
            elif isinstance(node, ast.Try):
                optional = any(_catches_import(handler) for handler in node.handlers)
                inner = ", imported only if it is installed" if optional else why
                visit(node.body, why or inner)
                for handler in node.handlers:
                    visit(handler.body, why or inner)
                visit(node.orelse, why or inner)
                visit(node.finalbody, why)
            elif isinstance(node, ast.If):
                typing = "TYPE_CHECKING" in ast.dump(node.test)
                visit(node.body, why or (", imported for types only" if typing else ""))
                visit(node.orelse, why)
            elif isinstance(node, ast.With):
                optional = "suppress" in ast.dump(node.items[0].context_expr) and "ImportError" in ast.dump(node.items[0].context_expr)
                visit(node.body, why or (", imported only if it is installed" if optional else ""))

    visit(source.tree.body, "")
    for node in source.nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            visit(node.body, "")  # whether the function runs at the start is asked of the call
    return {name: why for name, why in guards.items() if name not in free}


def _catches_import(handler: ast.ExceptHandler) -> bool:
    names = ast.dump(handler.type) if handler.type else "'Exception'"
    return any(f"'{name}'" in names for name in ("ImportError", "ModuleNotFoundError", "Exception"))


def calls_of(source: Source) -> tuple[list[Call], list[Scope]]:
    """Every call of a file with the function around it and the condition on a setting, and every function."""
    calls: list[Call] = []
    scopes: list[Scope] = []
    todo: list[tuple[ast.AST, Scope | None, str, str]] = [(source.tree, None, "", "")]
    while todo:
        node, scope, owner, condition = todo.pop()
        if isinstance(node, ast.Call):
            calls.append(Call(node, scope, condition))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            outer = scope
            scope = Scope(node, owner)
            scopes.append(scope)
            todo += [(one, outer, owner, condition) for one in node.decorator_list]
            todo += [(one, scope, owner, "") for one in node.body]
        elif isinstance(node, ast.ClassDef):
            todo += [(one, scope, node.name, condition) for one in ast.iter_child_nodes(node)]
        elif isinstance(node, (ast.If, ast.IfExp)):
            body = node.body if isinstance(node.body, list) else [node.body]
            orelse = node.orelse if isinstance(node.orelse, list) else [node.orelse]
            asks = condition or _asks(node.test)
            todo.append((node.test, scope, owner, condition))
            todo += [(one, scope, owner, asks) for one in [*body, *orelse]]
        else:
            todo += [(one, scope, owner, condition) for one in ast.iter_child_nodes(node)]
    calls.sort(key=lambda call: (call.node.lineno, call.node.col_offset))
    return calls, scopes


def _asks(test: ast.expr) -> str:
    """The test, where it asks for a setting: what stands under it is not always there."""
    text = ast.unparse(test)
    return text[:60] if re.search(r"environ|getenv|config|settings|\b[A-Z][A-Z0-9_]{3,}\b", text) and "__name__" not in text else ""


def mark_starts(source: Source, calls: list[Call], scopes: list[Scope]) -> None:
    """Mark the functions that run when the service starts: factories, what gets the app, cached getters, and what those call."""
    by_name: dict[str, list[Scope]] = {}
    for scope in scopes:
        by_name.setdefault(scope.node.name, []).append(scope)
        scope.starts = _is_start(scope.node)
    inside: dict[int, list[ast.Call]] = {}
    for call in calls:
        inside.setdefault(id(call.scope), []).append(call.node)
        if call.scope and source.origin(call.node.func) in ("flask.Flask", "quart.Quart"):
            call.scope.starts = True
    todo = [call.node for call in calls if call.scope is None or call.scope.starts]
    while todo:
        function = todo.pop().func
        name = function.id if isinstance(function, ast.Name) else ""
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in ("self", "cls"):
            name = function.attr
        reached = by_name.get(name, []) if name not in source.classes else []
        reached = reached + [one for one in by_name.get("__init__", []) if one.owner == name]
        for scope in reached:
            if not scope.starts:
                scope.starts = True
                todo += inside.get(id(scope), [])


def _is_start(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = {one.arg for one in [*node.args.posonlyargs, *node.args.args]}
    decorators = {ast.unparse(one.func if isinstance(one, ast.Call) else one).split(".")[-1] for one in node.decorator_list}
    if _START.fullmatch(node.name) or not _APP.isdisjoint(arguments) or not _CACHED.isdisjoint(decorators):
        return True
    names = {name for one in flat(node.body) if isinstance(one, ast.Global) for name in one.names}
    for one in flat(node.body):
        for target in one.targets if isinstance(one, ast.Assign) else []:
            kept = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "g"
            if kept or (isinstance(target, ast.Name) and target.id in names):  # Flask's way, and the other one
                return True
    return False
