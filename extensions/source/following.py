"""Follow what importing a Flask service would do, without importing it.

Statements are gone through in the order in which Python would run them, from the module that the service starts from: imports between
its files, calls of its functions (factories, `init_app`), loops over lists that stand in the source. Values are followed only as far as
routes need: texts and lists, functions, classes, Flask apps and blueprints; all else is UNKNOWN. What happens only under a condition that
the source doesn't settle is in doubt, and a registration that is in doubt is a line of `unresolved`, never a route.
"""

from __future__ import annotations

import ast
import posixpath
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from .files import parsed
from .values import (
    UNKNOWN,
    Attribute,
    Class,
    Decorator,
    External,
    Function,
    Instance,
    Method,
    Module,
    Nested,
    Note,
    Owner,
    Place,
    Rule,
    Scope,
    ViewClass,
)

STEPS = 400_000  # expressions looked at; a large service takes a few ten thousand
DEPTH = 40  # calls within calls
ROUND = 500  # rounds of a loop
LONGEST = 10_000  # characters of a text, items of a list: what doubles itself ends here

VERBS = {"get", "post", "put", "delete", "patch"}
VIEW_METHODS = {"get", "post", "head", "options", "delete", "put", "trace", "patch"}
# What registers routes on objects of others: flask-restx, flask-restful, flask-classful, flask-admin and their like.
REGISTERING = {"route", "add_url_rule", "add_resource", "add_namespace", "register_blueprint", "register_view", "add_view"}
# Extensions that are given the app and add no routes to it; others are named as unresolved.
HARMLESS = {
    "flask_alembic", "flask_babel", "flask_bcrypt", "flask_caching", "flask_compress", "flask_cors", "flask_httpauth",
    "flask_jwt_extended", "flask_limiter", "flask_login", "flask_mail", "flask_marshmallow", "flask_migrate", "flask_mongoengine",
    "flask_moment", "flask_pymongo", "flask_redis", "flask_seasurf", "flask_session", "flask_sock", "flask_sqlalchemy", "flask_talisman",
    "flask_wtf", "authlib", "celery", "elasticapm", "flask", "opentelemetry", "sentry_sdk", "sqlalchemy", "structlog", "werkzeug",
}  # fmt: skip


class TooMuch(Exception):
    """There are more than STEPS."""


def is_flask(name: str) -> bool:
    """Whether a class from outside is Flask's app or one made from it, as APIFlask."""
    return name.rpartition(".")[2].endswith("Flask")


def is_blueprint(name: str) -> bool:
    return name.rpartition(".")[2].endswith("Blueprint")


class Follower:
    """Goes through the modules of one service. `apps`, `blueprints` and `notes` hold what it met."""

    def __init__(self, root: Path, folders: Sequence[str]) -> None:
        """`folders` are where the service's modules are imported from, as POSIX paths from `root`, the best first."""
        self.root, self.folders = root, list(dict.fromkeys(folders))
        self.apps: list[Owner] = []
        self.blueprints: list[Owner] = []
        self.notes: list[Note] = []
        self.modules: dict[str, Module] = {}  # by file
        self.seams: list[tuple[str, Any]] = []  # calls of the template's `init_service`: the health.py, and the app
        self._doubts: list[str] = []
        self._calls: list[ast.AST] = []
        self._steps = 0

    # Modules

    def module(self, name: str) -> Any:
        """The module of that dotted name, gone through with the packages above it; External where it is not the project's."""
        parts = name.split(".")
        for folder in self.folders:
            found: Module | None = None
            for count in range(1, len(parts) + 1):
                file = self._file(posixpath.join(folder, *parts[:count]))
                if file is None:
                    # A folder without __init__.py is a package too.
                    if count < len(parts) and (self.root / folder / posixpath.join(*parts[:count])).is_dir():
                        continue
                    found = None
                    break
                above, found = found, self.load(file, ".".join(parts[:count]))
                if above:
                    above.scope.names.setdefault(parts[count - 1], found)
            if found:
                return found
        return External(name)

    def _file(self, path: str) -> str | None:
        path = posixpath.normpath(path)
        for file in (f"{path}/__init__.py", f"{path}.py"):
            try:
                if (self.root / file).is_file():
                    return file
            except (OSError, ValueError):
                return None
        return None

    def load(self, file: str, name: str) -> Module:
        """Go through a file, once; a circular import sees what is bound so far."""
        if file in self.modules:
            return self.modules[file]
        scope = Scope(file, name)
        scope.names["__name__"] = name
        self.modules[file] = module = Module(scope, file.endswith("/__init__.py"))
        try:
            tree = parsed((self.root / file).read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None) or 1
            self.notes.append(Note(Place(file, line), "the file", f"not readable as Python: {getattr(error, 'msg', None) or error}"))
            return module
        self._block(tree.body, scope)
        return module

    # Statements: each gives None, or the reason for which what follows in the function is not reached for sure

    def _block(self, body: Sequence[ast.stmt], scope: Scope) -> Any:
        pushed = 0
        result: Any = None
        try:
            for statement in body:
                done = self._statement(statement, scope)
                if isinstance(done, _Returned):
                    if done.sure:
                        return _Returned(done.value if result is None else _either(result.value, done.value), True)
                    # One branch has left the function: the rest of it runs only where the other was taken.
                    result = done if result is None else _Returned(_either(result.value, done.value), False)
                    self._doubts.append(done.doubt)
                    pushed += 1
        finally:
            del self._doubts[len(self._doubts) - pushed :]
        return result

    def _statement(self, node: ast.stmt, scope: Scope) -> Any:
        self._step()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._define(node, scope)
        elif isinstance(node, ast.ClassDef):
            self._class(node, scope)
        elif isinstance(node, ast.Return):
            return _Returned(self.value(node.value, scope) if node.value else None, True)
        elif isinstance(node, ast.Raise):
            return _Returned(UNKNOWN, True, raised=True)
        elif isinstance(node, ast.Assign):
            value = self.value(node.value, scope)
            for target in node.targets:
                self._bind(target, value, scope)
        elif isinstance(node, ast.AnnAssign):
            if node.value:
                self._bind(node.target, self.value(node.value, scope), scope)
        elif isinstance(node, ast.AugAssign):
            self._augment(node, scope)
        elif isinstance(node, ast.Expr):
            self.value(node.value, scope)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node, scope)
        elif isinstance(node, ast.If):
            return self._if(node, scope)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            return self._for(node, scope)
        elif isinstance(node, ast.While):
            return self._doubtful(node.body, scope, f"in a loop at line {node.lineno}")
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                value = self.value(item.context_expr, scope)
                if item.optional_vars:
                    self._bind(item.optional_vars, value if isinstance(value, Owner) else UNKNOWN, scope)
            return self._block(node.body, scope)
        elif isinstance(node, ast.Global):
            scope.top = self.modules[scope.file].scope
            scope.shared.update(node.names)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                self._doubtful(case.body, scope, f"in a case of the match at line {node.lineno}")
        elif isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
            return self._try(node, scope)
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                self._bind(target, UNKNOWN, scope)
        return None

    def _doubtful(self, body: Sequence[ast.stmt], scope: Scope, why: str) -> Any:
        """Go through what may or may not run; what it binds to another value than before is unknown afterwards."""
        before = dict(scope.names)
        self._doubts.append(why)
        try:
            done = self._block(body, scope)
        finally:
            self._doubts.pop()
        _merge(scope.names, before)
        return done if done is None or not done.sure else _Returned(done.value, False, done.raised, why)

    def _if(self, node: ast.If, scope: Scope) -> Any:
        text = ast.unparse(node.test)
        if "TYPE_CHECKING" in text:
            return self._block(node.orelse, scope)
        test = truth(self.value(node.test, scope))
        if test is not UNKNOWN:
            return self._block(node.body if test else node.orelse, scope)
        why = f"only where {text if len(text) <= 60 else text[:57] + '...'}"
        before = dict(scope.names)
        results = []
        ends = []
        for body in (node.body, node.orelse):
            scope.names = dict(before)
            self._doubts.append(why)
            try:
                done = self._block(body, scope)
            finally:
                self._doubts.pop()
            results.append(done)
            if not (isinstance(done, _Returned) and done.sure):
                ends.append(scope.names)
        if not ends:
            left = [one for one in results if not one.raised] or results
            return _Returned(_either(left[0].value, left[-1].value), True, all(one.raised for one in results))
        scope.names = ends[0]
        if len(ends) == 2:
            _merge(scope.names, ends[1])
        returned = [one for one in results if isinstance(one, _Returned) and not one.raised]
        if returned:
            value = returned[0].value if len(returned) == 1 else _either(returned[0].value, returned[1].value)
            return _Returned(value, False, doubt=why)
        return None

    def _for(self, node: ast.For | ast.AsyncFor, scope: Scope) -> Any:
        over = self.value(node.iter, scope)
        # A `break` or `continue` makes the rounds differ.
        leaves = any(isinstance(one, (ast.Break, ast.Continue)) for one in ast.walk(node))
        if isinstance(over, dict):
            over = list(over)
        if isinstance(over, (list, tuple)) and len(over) <= ROUND and not leaves:
            for item in over:
                self._bind(node.target, item, scope)
                done = self._block(node.body, scope)
                if isinstance(done, _Returned):
                    return done
            return self._block(node.orelse, scope)
        self._bind(node.target, UNKNOWN, scope)
        return self._doubtful(node.body, scope, f"in a loop over {ast.unparse(node.iter)[:60]}")

    def _try(self, node: Any, scope: Scope) -> Any:
        """A `try` is taken to succeed, unless it asks whether something from outside is installed."""
        asks = False
        for statement in node.body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                asks = asks or self._outside(statement, scope)
        if asks:
            before = dict(scope.names)
            why = f"only where the import at line {node.body[0].lineno} succeeds"
            self._doubts.append(why)
            try:
                done = self._block([*node.body, *node.orelse], scope)
            finally:
                self._doubts.pop()
            after, scope.names = scope.names, before
            endings = [after]
            for handler in node.handlers:
                scope.names = dict(before)
                self._doubts.append("only where an import fails")
                try:
                    failed = self._block(handler.body, scope)
                finally:
                    self._doubts.pop()
                if not (isinstance(failed, _Returned) and failed.sure):
                    endings.append(scope.names)
            scope.names = endings[0]
            for other in endings[1:]:
                _merge(scope.names, other)
            if isinstance(done, _Returned):
                return _Returned(done.value, False, done.raised, why)
        else:
            done = self._block([*node.body, *node.orelse], scope)
            names = dict(scope.names)
            for handler in node.handlers:
                self._doubts.append("only after an exception")
                try:
                    self._block(handler.body, scope)
                finally:
                    self._doubts.pop()
                scope.names = dict(names)
            if isinstance(done, _Returned):
                return done
        return self._block(node.finalbody, scope)

    def _outside(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> bool:
        """Whether it imports what is neither the project's nor Python's own."""
        if isinstance(node, ast.ImportFrom):
            if node.level:
                return False
            names = [node.module or ""]
        else:
            names = [alias.name for alias in node.names]
        tops = {name.split(".")[0] for name in names}
        return any(
            top not in sys.stdlib_module_names and top != "flask" and not any(self._is_ours(folder, top) for folder in self.folders)
            for top in tops
        )

    def _is_ours(self, folder: str, top: str) -> bool:
        path = posixpath.join(folder, top)
        return self._file(path) is not None or (self.root / path).is_dir()

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                found = self.module(alias.name)
                top = alias.name.split(".")[0]
                scope.set(alias.asname or top, found if alias.asname or "." not in alias.name else self.module(top))
            return
        name = node.module or ""
        if node.level:
            package = scope.module if self.modules[scope.file].package else scope.module.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            name = ".".join(filter(None, (package, name)))
        source = self.module(name) if name else UNKNOWN
        for alias in node.names:
            if alias.name == "*":
                if isinstance(source, Module):
                    public = source.scope.names.get("__all__")
                    listed = public if isinstance(public, (list, tuple)) else [n for n in source.scope.names if n[:1] != "_"]
                    for one in listed:
                        if isinstance(one, str):
                            scope.set(one, source.scope.get(one))
                elif name == "flask":
                    scope.set("Flask", External("flask.Flask"))
                    scope.set("Blueprint", External("flask.Blueprint"))
                continue
            scope.set(alias.asname or alias.name, self._from(source, name, alias.name))

    def _from(self, source: Any, name: str, wanted: str) -> Any:
        if isinstance(source, Module):
            if wanted in source.scope.names:
                return source.scope.names[wanted]
            below = self.module(f"{name}.{wanted}")
            return below if isinstance(below, Module) else UNKNOWN
        if isinstance(source, External):
            below = self.module(f"{name}.{wanted}")  # a module in a folder without __init__.py
            return below if isinstance(below, Module) else External(f"{name}.{wanted}")
        below = self.module(wanted)  # `from . import x` in a script's folder
        return below if isinstance(below, Module) else UNKNOWN

    # Definitions

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        value: Any = Function(node, scope)
        for decorator in reversed(node.decorator_list):
            value = self._decorated(value, decorator, scope)
        scope.set(node.name, value)

    def _decorated(self, value: Any, decorator: ast.expr, scope: Scope) -> Any:
        by = self.value(decorator, scope)
        if isinstance(by, Decorator):
            by.register(value)
            return value
        if isinstance(by, Method) and isinstance(by.owner, Owner):
            if by.name in ("before_request", "before_app_request"):
                by.owner.guards += [(one, what) for one, what in getattr(value, "guards", ())]
            return value
        if isinstance(by, External) and by.name in ("builtins.staticmethod", "builtins.classmethod", "builtins.property"):
            return value if by.name == "builtins.staticmethod" else UNKNOWN if by.name.endswith("property") else value
        if isinstance(by, Function):
            self.call(by, [value], {}, decorator)  # it may register the function
        if isinstance(value, Function):
            return Function(value.node, value.scope, value.bound, ((decorator, by), *value.guards))
        return value

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        bases = tuple(self.value(base, scope) for base in node.bases)
        body = Scope(scope.file, scope.module, {}, scope, is_class=True)
        made: Any = Class(node, body, bases)
        self._block(node.body, body)
        for decorator in reversed(node.decorator_list):
            by = self.value(decorator, scope)
            if isinstance(by, Decorator):
                by.register(made)
            elif isinstance(by, Method) and by.name in REGISTERING:
                self.note(decorator, scope, "on an object that adds routes at run time")
        scope.set(node.name, made)

    def _bind(self, target: ast.expr, value: Any, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            scope.set(target.id, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            known = isinstance(value, (list, tuple)) and len(value) == len(target.elts)
            known = known and not any(isinstance(one, ast.Starred) for one in target.elts)
            for index, one in enumerate(target.elts):
                self._bind(one, value[index] if known else UNKNOWN, scope)
        elif isinstance(target, ast.Starred):
            self._bind(target.value, UNKNOWN, scope)
        elif isinstance(target, ast.Attribute):
            owner = self.value(target.value, scope)
            if isinstance(owner, Attribute) and owner.name == "url_map" and target.attr == "strict_slashes":
                owner.owner.strict_slashes = value
            elif isinstance(owner, (Owner, Instance)):
                owner.attributes[target.attr] = value
            elif isinstance(owner, Module):
                owner.scope.names[target.attr] = value
        elif isinstance(target, ast.Subscript):
            container, key = self.value(target.value, scope), self.value(target.slice, scope)
            if isinstance(container, dict) and isinstance(key, (str, int)) and not self._doubts:
                container[key] = value
            elif isinstance(container, (dict, list)):
                container.clear()
                self._forget(target.value, scope)

    def _augment(self, node: ast.AugAssign, scope: Scope) -> None:
        new = self._added(self.value(node.target, scope), self.value(node.value, scope)) if isinstance(node.op, ast.Add) else UNKNOWN
        self._bind(node.target, new, scope)

    def _forget(self, node: ast.expr, scope: Scope) -> None:
        if isinstance(node, ast.Name):
            scope.set(node.id, UNKNOWN)

    # Expressions

    def _step(self) -> None:
        self._steps += 1
        if self._steps > STEPS:
            raise TooMuch

    def value(self, node: ast.expr | None, scope: Scope) -> Any:
        """What an expression gives, as far as it is followed."""
        self._step()
        if node is None or isinstance(node, ast.Constant):
            return node.value if node else None
        how = getattr(self, f"_of_{type(node).__name__}", None)
        value = how(node, scope) if how else UNKNOWN
        return UNKNOWN if isinstance(value, (str, list, dict)) and len(value) > LONGEST else value

    def _of_Name(self, node: ast.Name, scope: Scope) -> Any:
        return scope.get(node.id)

    def _of_Tuple(self, node: ast.Tuple | ast.List, scope: Scope) -> Any:
        items: list[Any] = []
        for one in node.elts:
            if isinstance(one, ast.Starred):
                inner = self.value(one.value, scope)
                if not isinstance(inner, (list, tuple)):
                    return UNKNOWN
                items += inner[: LONGEST + 1]
                if len(items) > LONGEST:
                    return UNKNOWN
            else:
                items.append(self.value(one, scope))
        return items

    _of_List = _of_Set = _of_Tuple

    def _of_Dict(self, node: ast.Dict, scope: Scope) -> Any:
        result: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            given = self.value(value, scope)
            if key is None:
                if not isinstance(given, dict):
                    return UNKNOWN
                result.update(given)
                continue
            name = self.value(key, scope)
            if not isinstance(name, (str, int)):
                return UNKNOWN
            result[name] = given
        return result

    def _of_JoinedStr(self, node: ast.JoinedStr, scope: Scope) -> Any:
        parts = []
        for one in node.values:
            value = self.value(one.value if isinstance(one, ast.FormattedValue) else one, scope)
            plain = not isinstance(one, ast.FormattedValue) or (one.format_spec is None and one.conversion == -1)
            if not plain or type(value) not in (str, int):
                return UNKNOWN
            parts.append(str(value))
            if sum(map(len, parts[-50:])) > LONGEST:
                return UNKNOWN
        return "".join(parts)

    def _of_BinOp(self, node: ast.BinOp, scope: Scope) -> Any:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        if isinstance(node.op, ast.Add):
            return self._added(left, right)
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            values = right if isinstance(right, list) else [right]
            if all(type(one) in (str, int) for one in values) and re.fullmatch(r"(?:[^%]|%%|%[sd])*", left):
                try:
                    return left % tuple(values)
                except (TypeError, ValueError):
                    return UNKNOWN
        return UNKNOWN

    def _added(self, left: Any, right: Any) -> Any:
        if isinstance(left, str) and isinstance(right, str) and len(left) + len(right) <= LONGEST:
            return left + right
        if isinstance(left, list) and isinstance(right, list) and len(left) + len(right) <= LONGEST:
            return left + right
        return UNKNOWN

    def _of_IfExp(self, node: ast.IfExp, scope: Scope) -> Any:
        test = truth(self.value(node.test, scope))
        if test is UNKNOWN:
            return _either(self.value(node.body, scope), self.value(node.orelse, scope))
        return self.value(node.body if test else node.orelse, scope)

    def _of_BoolOp(self, node: ast.BoolOp, scope: Scope) -> Any:
        stops = isinstance(node.op, ast.Or)
        value: Any = UNKNOWN
        for one in node.values:
            value = self.value(one, scope)
            known = truth(value)
            if known is UNKNOWN or known is stops:
                return value
        return value

    def _of_UnaryOp(self, node: ast.UnaryOp, scope: Scope) -> Any:
        value = truth(self.value(node.operand, scope))
        return not value if isinstance(node.op, ast.Not) and value is not UNKNOWN else UNKNOWN

    def _of_Compare(self, node: ast.Compare, scope: Scope) -> Any:
        left, right = self.value(node.left, scope), self.value(node.comparators[0], scope)
        if len(node.ops) != 1 or left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        op = node.ops[0]
        if isinstance(op, (ast.Is, ast.IsNot)) and (left is None or right is None):
            return (left is right) is isinstance(op, ast.Is)
        if isinstance(op, (ast.Eq, ast.NotEq)) and type(left) is type(right) and isinstance(left, (str, int, bool)):
            return (left == right) is isinstance(op, ast.Eq)
        if isinstance(op, (ast.In, ast.NotIn)) and isinstance(left, str) and isinstance(right, (list, dict)) and _plain(right):
            return (left in right) is isinstance(op, ast.In)
        return UNKNOWN

    def _of_NamedExpr(self, node: ast.NamedExpr, scope: Scope) -> Any:
        value = self.value(node.value, scope)
        self._bind(node.target, value, scope)
        return value

    def _of_Await(self, node: ast.Await, scope: Scope) -> Any:
        return self.value(node.value, scope)

    def _of_Lambda(self, node: ast.Lambda, scope: Scope) -> Any:
        return Function(node, scope)

    def _of_Subscript(self, node: ast.Subscript, scope: Scope) -> Any:
        container, key = self.value(node.value, scope), self.value(node.slice, scope)
        if isinstance(container, dict) and isinstance(key, (str, int)):
            return container.get(key, UNKNOWN)
        if isinstance(container, list) and isinstance(key, int) and -len(container) <= key < len(container):
            return container[key]
        return UNKNOWN

    def _of_ListComp(self, node: ast.ListComp, scope: Scope) -> Any:
        if len(node.generators) != 1 or node.generators[0].ifs:
            return UNKNOWN
        over = self.value(node.generators[0].iter, scope)
        if not isinstance(over, (list, tuple)) or len(over) > ROUND:
            return UNKNOWN
        inner = Scope(scope.file, scope.module, {}, scope)
        items = []
        for one in over:
            self._bind(node.generators[0].target, one, inner)
            items.append(self.value(node.elt, inner))
        return items

    _of_GeneratorExp = _of_ListComp

    def _of_Attribute(self, node: ast.Attribute, scope: Scope) -> Any:
        return self._attribute(self.value(node.value, scope), node.attr)

    def _attribute(self, value: Any, name: str) -> Any:
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

    # Calls

    def _of_Call(self, node: ast.Call, scope: Scope) -> Any:
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call) and _is_super(node.func.value):
            return self._super(node, node.func.attr, scope)
        function = self.value(node.func, scope)
        arguments, named = self._arguments(node, scope)
        if isinstance(function, External) and function.name == "importlib.import_module" and arguments and isinstance(arguments[0], str):
            return self._import_module(arguments, scope)
        return self.call(function, arguments, named, node, scope)

    def _arguments(self, node: ast.Call, scope: Scope) -> tuple[list[Any], dict[str, Any]]:
        """Positional and named arguments; the name "**" stands for some that are not known, UNKNOWN at the end for more."""
        arguments: list[Any] = []
        named: dict[str, Any] = {}
        for one in node.args:
            value = self.value(one.value if isinstance(one, ast.Starred) else one, scope)
            if not isinstance(one, ast.Starred):
                arguments.append(value)
            elif isinstance(value, (list, tuple)):
                arguments += value
            else:
                named["**"] = UNKNOWN
        for pair in node.keywords:
            value = self.value(pair.value, scope)
            if pair.arg:
                named[pair.arg] = value
            elif isinstance(value, dict):
                named.update({key: one for key, one in value.items() if isinstance(key, str)})
            else:
                named["**"] = UNKNOWN
        return arguments, named

    def _import_module(self, arguments: list[Any], scope: Scope) -> Any:
        name = arguments[0]
        if name.startswith("."):
            package = arguments[1] if len(arguments) > 1 else UNKNOWN
            if not isinstance(package, str):
                return UNKNOWN
            name = f"{package}{name}" if not name.startswith("..") else ""
        return self.module(name) if name else UNKNOWN

    def _super(self, node: ast.Call, attr: str, scope: Scope) -> Any:
        arguments, named = self._arguments(node, scope)
        me = scope.get("self")
        if isinstance(me, Owner) and attr == "__init__":
            me.options.update(_owner_options(me.is_app, arguments, named))
            return None
        if isinstance(me, Owner):
            return self._register(me, attr, arguments, named, node, scope)
        cls = me.of if isinstance(me, Instance) else None
        for base in cls.bases if cls else ():
            if isinstance(base, Class) and isinstance(method := base.lookup(attr), Function):
                return self.call(Function(method.node, method.scope, me), arguments, named, node, scope)
        return UNKNOWN

    def call(
        self, function: Any, arguments: list[Any], named: dict[str, Any], node: ast.AST, scope: Scope | None = None, quiet: bool = False
    ) -> Any:
        """What a call gives, and what it registers."""
        self._step()
        if isinstance(function, Function):
            return self._run(function, arguments, named, node)
        if isinstance(function, Class):
            return self._make(function, arguments, named, node, scope)
        if isinstance(function, Method):
            return self._method(function, arguments, named, node, scope)
        if isinstance(function, Decorator):
            view = arguments[0] if arguments else UNKNOWN
            function.register(view)
            return view
        if isinstance(function, External):
            return self._external(function, arguments, named, node, scope)
        self._handed(None, arguments, named, node, scope)
        return UNKNOWN

    def _run(self, function: Function, arguments: list[Any], named: dict[str, Any], node: ast.AST) -> Any:
        if len(self._calls) >= DEPTH or function.node in self._calls:
            return UNKNOWN
        inner = Scope(function.scope.file, function.scope.module, {}, function.scope)
        _parameters(self, function, arguments, named, inner)
        self._calls.append(function.node)
        if function.name == "init_service" and posixpath.basename(function.scope.file) == "health.py" and arguments:
            self.seams.append((function.scope.file, arguments[0]))
        try:
            if isinstance(function.node, ast.Lambda):
                return self.value(function.node.body, inner)
            if any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in _own(function.node)):
                return UNKNOWN
            done = self._block(function.node.body, inner)
        finally:
            self._calls.pop()
        if isinstance(done, _Returned):
            return done.value
        return None

    def _make(self, cls: Class, arguments: list[Any], named: dict[str, Any], node: ast.AST, scope: Scope | None) -> Any:
        outside = list(cls.externals())
        made: Owner | Instance
        if any(map(is_flask, outside)) or any(map(is_blueprint, outside)):
            made = self._owner(any(map(is_flask, outside)), arguments, named, node, scope)
            made.of = cls
        else:
            made = Instance(cls)
        if isinstance(start := cls.lookup("__init__"), Function):
            self.call(Function(start.node, start.scope, made), arguments, named, node, scope)
        return made

    def _owner(self, is_app: bool, arguments: list[Any], named: dict[str, Any], node: ast.AST, scope: Scope | None) -> Owner:
        place = Place(scope.file if scope else "", getattr(node, "lineno", 1))
        owner = Owner(is_app, place, tuple(self._doubts), _owner_options(is_app, arguments, named))
        (self.apps if is_app else self.blueprints).append(owner)
        return owner

    def _external(self, function: External, arguments: list[Any], named: dict[str, Any], node: ast.AST, scope: Scope | None) -> Any:
        name = function.name
        if not function.made and (is_flask(name) or is_blueprint(name)):
            owner = self._owner(is_flask(name), arguments, named, node, scope)
            if is_flask(name) and not name.startswith("flask.") and scope:
                self.note(node, scope, f"{name} may add routes of its own")
            return owner
        if name in ("builtins.list", "builtins.tuple", "builtins.sorted", "builtins.set", "builtins.reversed") and len(arguments) == 1:
            return list(arguments[0]) if isinstance(arguments[0], (list, dict)) else UNKNOWN
        if name == "builtins.enumerate" and len(arguments) == 1 and isinstance(arguments[0], list):
            return [[index, one] for index, one in enumerate(arguments[0])]
        if name == "builtins.zip" and all(isinstance(one, list) for one in arguments):
            return [list(pair) for pair in zip(*arguments, strict=False)]
        if name == "builtins.str" and len(arguments) == 1 and type(arguments[0]) in (str, int):
            return str(arguments[0])
        if name == "builtins.dict" and not arguments and "**" not in named:
            return dict(named)
        if name == "builtins.getattr" and len(arguments) > 1 and isinstance(arguments[1], str):
            return self._attribute(arguments[0], arguments[1])
        if function.made and name.rpartition(".")[2] in REGISTERING and scope:
            self.note(node, scope, f"on a {name.rpartition('.')[0]}, which adds routes at run time")
            return Decorator(lambda view: None)
        self._handed(name, arguments, named, node, scope)
        if name in ("functools.partial",) and arguments and not arguments[1:] and not named:
            return arguments[0]
        return External(name, True)

    def _handed(self, name: str | None, arguments: list[Any], named: dict[str, Any], node: ast.AST, scope: Scope | None) -> None:
        """Note that an app or a blueprint goes where it can't be followed."""
        package = (name or "").split(".")[0]
        # A module that is looked up at run time may do anything; what the template's own seam loads is known, see routes.py.
        known = package in HARMLESS or (package in sys.stdlib_module_names and package != "importlib")
        if not scope or known or any(getattr(one, "name", "") == "init_service" for one in self._calls):
            return
        for one in chain(arguments, named.values()):
            if isinstance(one, Owner):
                what = "app" if one.is_app else "blueprint"
                self.note(node, scope, f"the {what} goes to {name or 'code'} that is not followed, which may add routes")
                return

    def _method(self, method: Method, arguments: list[Any], named: dict[str, Any], node: ast.AST, scope: Scope | None) -> Any:
        target = method.owner
        if isinstance(target, Owner):
            return self._register(target, method.name, arguments, named, node, scope)
        if isinstance(target, Attribute):
            if target.name == "url_map" and method.name == "add" and scope:
                self.note(node, scope, "a rule is put into the url_map directly")
            return UNKNOWN
        if isinstance(target, Class):
            if method.name == "as_view":
                given = arguments[0] if arguments else named.get("name", UNKNOWN)
                guards = tuple(self._class_guards(target))
                return ViewClass(target, given, guards)
            if method.name == "register" and any("classful" in one or "classy" in one for one in target.externals()) and scope:
                self.note(node, scope, "its routes are made from the class's methods at run time")
            return UNKNOWN
        if isinstance(target, str):
            return _text(target, method.name, arguments, named)
        if isinstance(target, list) and method.name in ("append", "extend", "insert", "add", "update"):
            if self._doubts:
                target.clear()  # what it holds is no longer known, see _forgotten
                target.append(UNKNOWN)
            elif method.name in ("append", "add") and len(arguments) == 1:
                target.append(arguments[0])
            elif method.name == "extend" and len(arguments) == 1 and isinstance(arguments[0], list) and len(target) <= LONGEST:
                target.extend(arguments[0])
            else:
                target.append(UNKNOWN)
            return None
        if isinstance(target, dict):
            if method.name == "items":
                return [[key, value] for key, value in target.items()]
            if method.name == "values":
                return list(target.values())
            if method.name == "keys":
                return list(target)
            if method.name == "get" and arguments and isinstance(arguments[0], (str, int)):
                return target.get(arguments[0], arguments[1] if len(arguments) > 1 else None)
            return UNKNOWN
        if target is UNKNOWN and method.name in REGISTERING and scope:
            if self._speaks_of_flask(scope):
                self.note(node, scope, "on an object that is known only at run time")
            return Decorator(lambda view: None)
        self._handed(None, arguments, named, node, scope)
        return UNKNOWN

    def _speaks_of_flask(self, scope: Scope) -> bool:
        names = self.modules[scope.file].scope.names.values() if scope.file in self.modules else ()
        return any(isinstance(one, External) and "flask" in one.name.lower() for one in names)

    def _class_guards(self, cls: Class) -> Iterator[tuple[ast.expr, Any]]:
        """The class's `decorators`, as they stand in the source."""
        for node in cls.node.body:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
            if any(isinstance(one, ast.Name) and one.id == "decorators" for one in targets):
                listed = getattr(node, "value", None)
                if isinstance(listed, (ast.List, ast.Tuple)):
                    yield from ((one, self.value(one, cls.scope)) for one in listed.elts)
                return
        for base in cls.bases:
            if isinstance(base, Class):
                yield from self._class_guards(base)

    # Registration

    def _register(self, owner: Owner, name: str, arguments: list[Any], named: dict[str, Any], node: ast.AST, scope: Scope | None) -> Any:
        place = Place(scope.file if scope else owner.place.file, getattr(node, "lineno", 1))
        if name in ("route", *VERBS):
            return self._route(owner, name, arguments, dict(named), node, place)
        if name == "add_url_rule":
            given = dict(zip(("rule", "endpoint", "view_func", "provide_automatic_options"), arguments, strict=False)) | named
            rule, endpoint, view = given.pop("rule", UNKNOWN), given.pop("endpoint", None), given.pop("view_func", None)
            self._add(owner, rule, endpoint, view, given, node, place)
        elif name == "register_blueprint":
            given = dict(zip(("blueprint",), arguments, strict=False)) | named
            blueprint = given.pop("blueprint", UNKNOWN)
            doubt = self._doubt(owner)
            if not isinstance(blueprint, Owner):
                self._unresolved(node, place, "which blueprint it is, is known only at run time")
            elif "**" in given:
                self._unresolved(node, place, "its options are known only at run time")
            elif doubt:
                self._unresolved(node, place, doubt)
                blueprint.options["registered in doubt"] = True
            else:
                owner.entries.append(Nested(place, blueprint, given))
        elif name in ("before_request", "before_app_request") and arguments:
            owner.guards += getattr(arguments[0], "guards", ())
            return arguments[0]
        elif name == "record" or name == "record_once":
            self._unresolved(node, place, "what a recorded function registers is known only at run time")
        elif name not in VERBS and any(isinstance(one, Owner) for one in chain(arguments, named.values())):
            self._unresolved(node, place, "it may add routes")
        return UNKNOWN

    def _route(self, owner: Owner, name: str, arguments: list[Any], named: dict[str, Any], node: ast.AST, place: Place) -> Decorator:
        rule = arguments[0] if arguments else named.pop("rule", UNKNOWN)
        endpoint = named.pop("endpoint", None)
        if name != "route":
            named["methods"] = [name.upper()]
        doubts = list(self._doubts)

        def register(view: Any) -> None:
            now, self._doubts = self._doubts, [*self._doubts, *doubts[len(self._doubts) :]]
            try:
                self._add(owner, rule, endpoint, view, named, node, place)
            finally:
                self._doubts = now

        return Decorator(register)

    def _add(self, owner: Owner, rule: Any, endpoint: Any, view: Any, options: dict[str, Any], node: ast.AST, place: Place) -> None:
        doubt = self._doubt(owner)
        if doubt:
            self._unresolved(node, place, doubt)
        elif not isinstance(rule, str):
            self._unresolved(node, place, "its path is known only at run time")
        elif "**" in options or not _known_methods(options.get("methods")):
            self._unresolved(node, place, "its options are known only at run time")
        else:
            owner.entries.append(Rule(place, rule, endpoint, view, options))

    def _doubt(self, owner: Owner) -> str:
        """Why it is not sure that what is registered on `owner` now is registered whenever `owner` is there; empty where it is."""
        since = 0
        while since < min(len(owner.doubts), len(self._doubts)) and owner.doubts[since] == self._doubts[since]:
            since += 1
        return self._doubts[-1] if self._doubts[since:] else ""

    def note(self, node: ast.AST, scope: Scope, why: str) -> None:
        self._unresolved(node, Place(scope.file, getattr(node, "lineno", 1)), why)

    def _unresolved(self, node: ast.AST, place: Place, why: str) -> None:
        what = ast.unparse(node) if isinstance(node, ast.expr) else "registration"
        what = re.sub(r"\s+", " ", what)
        note = Note(place, what if len(what) <= 80 else what[:77] + "...", why)
        if note not in self.notes:
            self.notes.append(note)


@dataclass(frozen=True)
class _Returned:
    """A function is left with a value; not `sure` where that hangs on `doubt`."""

    value: Any
    sure: bool
    raised: bool = False
    doubt: str = ""


def truth(value: Any) -> Any:
    """Whether Python takes a value for true; UNKNOWN where that is not known."""
    if value is None or isinstance(value, (str, int, float, bool, list, dict)):
        return bool(value)
    return True if isinstance(value, (Owner, Module, Function, Class, Instance)) else UNKNOWN


def _either(one: Any, other: Any) -> Any:
    """The value of which it is not known which of two it is. An app beats nothing: where there is none, no route is served."""
    if one is other or (type(one) is type(other) and isinstance(one, (str, int, bool)) and one == other):
        return one
    owners = [value for value in (one, other) if isinstance(value, Owner)]
    others = [value for value in (one, other) if not isinstance(value, Owner)]
    return owners[0] if len(owners) == 1 and others[0] is None else UNKNOWN


def _merge(names: dict[str, Any], other: Mapping[str, Any]) -> None:
    for name in {*names, *other}:
        if name in names and name in other:
            names[name] = _either(names[name], other[name])
        else:
            value = names.get(name, other.get(name))
            # A name that only one of two ways binds: who uses it has gone that way.
            names[name] = value if isinstance(value, (Owner, Function, Class, Module, External)) else UNKNOWN


def _plain(value: Any) -> bool:
    return all(isinstance(one, str) for one in value)


def _known_methods(value: Any) -> bool:
    return value is None or (isinstance(value, list) and _plain(value))


def _is_super(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "super"


def _is_static(function: Function) -> bool:
    decorators = getattr(function.node, "decorator_list", [])
    return any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in decorators)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's own body, those of functions in it left out."""
    todo = list(ast.iter_child_nodes(node))
    while todo:
        one = todo.pop()
        yield one
        if not isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(one)


def _owner_options(is_app: bool, arguments: list[Any], named: dict[str, Any]) -> dict[str, Any]:
    """The options of `Flask(…)` and `Blueprint(…)` by their names, from the order in which Flask 2 and 3 take them."""
    app = ("import_name", "static_url_path", "static_folder", "static_host", "host_matching", "subdomain_matching")
    blueprint = ("name", "import_name", "static_folder", "static_url_path", "template_folder", "url_prefix", "subdomain")
    return {**dict(zip(app if is_app else blueprint, arguments, strict=False)), **named}


def _parameters(follower: Follower, function: Function, arguments: list[Any], named: dict[str, Any], inner: Scope) -> None:
    """Bind what a function is called with; what a caller left out has its default, or is unknown."""
    taken = function.node.args
    if function.bound is not None:
        arguments = [function.bound, *arguments]
    names = [one.arg for one in (*taken.posonlyargs, *taken.args)]
    defaults: Mapping[str, ast.expr | None] = {
        **dict(zip(names[len(names) - len(taken.defaults) :], taken.defaults, strict=True)),
        **{one.arg: value for one, value in zip(taken.kwonlyargs, taken.kw_defaults, strict=True) if value},
    }
    unsure = "**" in named
    for index, name in enumerate([*names, *(one.arg for one in taken.kwonlyargs)]):
        if index < len(arguments) and index < len(names):
            inner.names[name] = arguments[index]
        elif name in named:
            inner.names[name] = named[name]
        elif name in defaults and not unsure:
            inner.names[name] = follower.value(defaults[name], function.scope)
        else:
            inner.names[name] = UNKNOWN
    if taken.vararg:
        inner.names[taken.vararg.arg] = UNKNOWN if unsure else arguments[len(names) :]
    if taken.kwarg:
        known = {*names, *(one.arg for one in taken.kwonlyargs)}
        inner.names[taken.kwarg.arg] = UNKNOWN if unsure else {key: one for key, one in named.items() if key not in known}


def _text(text: str, method: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    """What a method of a text gives, for the few that build paths."""
    if method in ("strip", "lstrip", "rstrip", "lower", "upper", "removeprefix", "removesuffix", "replace", "title"):
        if (
            all(isinstance(one, str) for one in arguments)
            and not named
            and len(text) * (1 + max(map(len, arguments), default=0)) <= 100_000
        ):
            try:
                return getattr(text, method)(*arguments)
            except (TypeError, ValueError):
                return UNKNOWN
    elif method == "join" and len(arguments) == 1 and isinstance(arguments[0], list) and _plain(arguments[0]):
        return text.join(arguments[0])
    elif method == "format" and "**" not in named and all(type(one) in (str, int) for one in chain(arguments, named.values())):
        fields = re.fullmatch(r"(?:[^{}]|\{\{|\}\}|\{\w*\})*", text)
        try:
            return text.format(*arguments, **named) if fields else UNKNOWN
        except (IndexError, KeyError, ValueError):
            return UNKNOWN
    elif method == "split" and all(isinstance(one, str) for one in arguments) and not named:
        return text.split(*arguments) if all(arguments) else UNKNOWN
    return UNKNOWN
