"""What runs when a service starts: the calls of a file, the functions that a start reaches, and the imports
that may not happen.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from dataclasses import dataclass

from .addresses import Source, flat

_START = re.compile(
    r"_?(create|make|build|get)_(app|application|celery|celery_app|flask_app)|init_app|lifespan|on_startup"
)
_SCRIPT = "__name__"
_SERVES = {"run", "serve", "serve_forever", "run_forever", "start_consuming"}
_APP = {"app", "application", "flask_app"}
_CACHED = {"cache", "lru_cache", "cached_property"}


@dataclass
class Scope:
    """A function, with the class around it, whether its body runs when the service starts, and the setting
    that this hangs on.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef
    owner: str
    starts: bool = False
    condition: str = ""


@dataclass(frozen=True)
class Call:
    """A call, the function around it, the setting that an `if` around it asks for, and whether it asks if the
    file is run as a script.
    """

    node: ast.Call
    scope: Scope | None
    condition: str
    script: bool

    @property
    def name(self) -> str:
        """The last part of what is called."""
        function = self.node.func
        return (
            function.attr
            if isinstance(function, ast.Attribute)
            else function.id
            if isinstance(function, ast.Name)
            else ""
        )


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
                optional = "suppress" in ast.dump(node.items[0].context_expr) and "ImportError" in ast.dump(
                    node.items[0].context_expr
                )
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
            calls.append(Call(node, scope, "" if condition == _SCRIPT else condition, condition == _SCRIPT))
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
    """The test, where it asks for a setting: what stands under it is not always there. _SCRIPT where it asks
    who runs the file.
    """
    text = ast.unparse(test)
    if "__name__" in text:
        return _SCRIPT
    return text[:60] if re.search(r"environ|getenv|config|settings|\b[A-Z][A-Z0-9_]{3,}\b", text) else ""


def mark_starts(
    source: Source, calls: list[Call], scopes: list[Scope], web: bool, elsewhere: Collection[str]
) -> bool:
    """Mark the functions that run when the service starts: factories, what gets the app, cached getters, and
    what those call.

    `web` says that the service is served from its app: a script beside it has a main that the service doesn't
    run. `elsewhere` are classes that other files make. The result is whether the service runs the file as a
    script.
    """
    makes_app = [call for call in calls if source.origin(call.node.func) in ("flask.Flask", "quart.Quart")]
    script = not web or bool(makes_app) or any(call.name in _SERVES for call in calls)
    by_name: dict[str, list[Scope]] = {}
    for scope in scopes:
        by_name.setdefault(scope.node.name, []).append(scope)
        gets_app = not _APP.isdisjoint(
            one.arg for one in [*scope.node.args.posonlyargs, *scope.node.args.args]
        )
        scope.starts = _is_start(scope.node) or (script and scope.node.name == "main")
        scope.starts |= gets_app and (scope.node.name != "__init__" or scope.owner in elsewhere)
    inside: dict[int, list[Call]] = {}
    for call in calls:
        inside.setdefault(id(call.scope), []).append(call)
    for call in makes_app:
        if call.scope:
            call.scope.starts = True
    todo = [
        call for call in calls if (call.scope is None or call.scope.starts) and (script or not call.script)
    ]
    while todo:
        call = todo.pop()
        function = call.node.func
        name = function.id if isinstance(function, ast.Name) else ""
        if (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id in ("self", "cls")
        ):
            name = function.attr
        reached = by_name.get(name, []) if name not in source.classes else []
        reached = reached + [one for one in by_name.get("__init__", []) if one.owner == name]
        condition = call.condition or (call.scope.condition if call.scope else "")
        for scope in reached:
            if not scope.starts or (scope.condition and not condition):
                scope.starts, scope.condition = True, condition
                todo += inside.get(id(scope), [])
    return script


def _is_start(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    decorators = {
        ast.unparse(one.func if isinstance(one, ast.Call) else one).split(".")[-1]
        for one in node.decorator_list
    }
    if _START.fullmatch(node.name) or not _CACHED.isdisjoint(decorators):
        return True
    names = {name for one in flat(node.body) if isinstance(one, ast.Global) for name in one.names}
    for one in flat(node.body):
        for target in one.targets if isinstance(one, ast.Assign) else []:
            kept = (
                isinstance(target, ast.Attribute)
                and isinstance(target.value, ast.Name)
                and target.value.id == "g"
            )
            # Flask's way, and the other one.
            if kept or (isinstance(target, ast.Name) and target.id in names):
                return True
    return False
