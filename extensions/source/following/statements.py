"""Statements, in the order in which Python would run them.

What hangs on a condition that the source doesn't settle is in doubt.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .plain import added, forget
from .registration import REGISTERING
from .values import (
    UNKNOWN,
    Attribute,
    Call,
    Class,
    Decorator,
    External,
    Function,
    Instance,
    Method,
    Module,
    Owner,
    Scope,
    either,
    merge,
    truth,
)

if TYPE_CHECKING:
    from .follower import Follower

ROUND = 500  # rounds of a loop


@dataclass(frozen=True)
class _Returned:
    """A function is left with a value; not `sure` where that hangs on `doubt`."""

    value: Any
    sure: bool
    raised: bool = False
    doubt: str = ""


class Statements:
    """Goes through the statements of one service.

    Each gives None, or _Returned where what follows it is not reached for sure.
    """

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def run(self, body: Sequence[ast.stmt], scope: Scope) -> Any:
        """Go through a body; the value that it is left with, None where it ends."""
        done = self._block(body, scope)
        return done.value if isinstance(done, _Returned) else None

    def _block(self, body: Sequence[ast.stmt], scope: Scope) -> Any:
        pushed = 0
        result: Any = None
        try:
            for statement in body:
                done = self._statement(statement, scope)
                if isinstance(done, _Returned):
                    if done.sure:
                        return _Returned(
                            done.value if result is None else either(result.value, done.value), True
                        )
                    # One branch has left the function: the rest of it runs only where the other was taken.
                    result = (
                        done
                        if result is None
                        else _Returned(either(result.value, done.value), False, doubt=done.doubt)
                    )
                    self._follower.doubts.append(done.doubt)
                    pushed += 1
        finally:
            del self._follower.doubts[len(self._follower.doubts) - pushed :]
        return result

    def _statement(self, node: ast.stmt, scope: Scope) -> Any:
        self._follower.step()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._define(node, scope)
        elif isinstance(node, ast.ClassDef):
            self._class(node, scope)
        elif isinstance(node, ast.Return):
            return _Returned(self._follower.value(node.value, scope) if node.value else None, True)
        elif isinstance(node, ast.Raise):
            return _Returned(UNKNOWN, True, raised=True)
        elif isinstance(node, ast.Assign):
            value = self._follower.value(node.value, scope)
            for target in node.targets:
                self.bind(target, value, scope)
        elif isinstance(node, ast.AnnAssign):
            if node.value:
                self.bind(node.target, self._follower.value(node.value, scope), scope)
        elif isinstance(node, ast.AugAssign):
            self._augment(node, scope)
        elif isinstance(node, ast.Expr):
            self._follower.value(node.value, scope)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self._follower.imports.run(node, scope)
        elif isinstance(node, ast.If):
            return self._if(node, scope)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            return self._for(node, scope)
        elif isinstance(node, ast.While):
            return self._doubtful(node.body, scope, f"in a loop at line {node.lineno}")
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                value = self._follower.value(item.context_expr, scope)
                if item.optional_vars:
                    self.bind(item.optional_vars, value if isinstance(value, Owner) else UNKNOWN, scope)
            return self._block(node.body, scope)
        elif isinstance(node, ast.Global):
            scope.top = self._follower.imports.modules[scope.file].scope
            scope.shared.update(node.names)
        elif isinstance(node, ast.Match):
            return self._match(node, scope)
        elif isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
            return self._try(node, scope)
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                container = (
                    self._follower.value(target.value, scope) if isinstance(target, ast.Subscript) else None
                )
                if isinstance(container, (dict, list)):
                    forget(container)
                else:
                    self.bind(target, UNKNOWN, scope)
        return None

    def _doubtful(self, body: Sequence[ast.stmt], scope: Scope, why: str) -> Any:
        """Go through what may or may not run; what it binds to another value than before is unknown
        afterwards.
        """
        before = dict(scope.names)
        with self._follower.doubt(why):
            done = self._block(body, scope)
        merge(scope.names, before)
        return done if done is None or not done.sure else _Returned(done.value, False, done.raised, why)

    def _if(self, node: ast.If, scope: Scope) -> Any:
        text = ast.unparse(node.test)
        test = truth(self._follower.value(node.test, scope))
        if test is not UNKNOWN:
            return self._block(node.body if test else node.orelse, scope)
        why = f"only where {text if len(text) <= 60 else text[:57] + '...'}"
        before = dict(scope.names)
        results = []
        ends = []
        for body in (node.body, node.orelse):
            scope.names = dict(before)
            with self._follower.doubt(why):
                done = self._block(body, scope)
            results.append(done)
            if not (isinstance(done, _Returned) and done.sure):
                ends.append(scope.names)
        if not ends:
            left = [one for one in results if not one.raised] or results
            return _Returned(either(left[0].value, left[-1].value), True, all(one.raised for one in results))
        scope.names = ends[0]
        if len(ends) == 2:
            merge(scope.names, ends[1])
        returned = [one for one in results if isinstance(one, _Returned) and not one.raised]
        if returned:
            value = returned[0].value if len(returned) == 1 else either(returned[0].value, returned[1].value)
            return _Returned(value, False, doubt=why)
        return None

    def _match(self, node: ast.Match, scope: Scope) -> Any:
        result: Any = None
        why = f"in a case of the match at line {node.lineno}"
        for case in node.cases:
            done = self._doubtful(case.body, scope, why)
            if isinstance(done, _Returned) and not done.raised:
                result = _Returned(
                    either(result.value, done.value) if result else done.value, False, doubt=why
                )
        return result

    def _for(self, node: ast.For | ast.AsyncFor, scope: Scope) -> Any:
        over = self._follower.value(node.iter, scope)
        # A `break` or `continue` makes the rounds differ.
        leaves = any(isinstance(one, (ast.Break, ast.Continue)) for one in ast.walk(node))
        if isinstance(over, dict):
            over = list(over)
        if isinstance(over, (list, tuple)) and len(over) <= ROUND and not leaves:
            for item in over:
                self.bind(node.target, item, scope)
                done = self._block(node.body, scope)
                if isinstance(done, _Returned):
                    return done
            return self._block(node.orelse, scope)
        self.bind(node.target, UNKNOWN, scope)
        return self._doubtful(node.body, scope, f"in a loop over {ast.unparse(node.iter)[:60]}")

    def _try(self, node: Any, scope: Scope) -> Any:
        """A `try` is taken to succeed, unless it asks whether something from outside is installed."""
        asks = False
        for statement in node.body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                asks = asks or self._follower.imports.outside(statement, scope)
        if asks:
            before = dict(scope.names)
            why = f"only where the import at line {node.body[0].lineno} succeeds"
            with self._follower.doubt(why):
                done = self._block([*node.body, *node.orelse], scope)
            after, scope.names = scope.names, before
            endings = [after]
            for handler in node.handlers:
                scope.names = dict(before)
                with self._follower.doubt("only where an import fails"):
                    failed = self._block(handler.body, scope)
                if not (isinstance(failed, _Returned) and failed.sure):
                    endings.append(scope.names)
            scope.names = endings[0]
            for other in endings[1:]:
                merge(scope.names, other)
            if isinstance(done, _Returned):
                return _Returned(done.value, False, done.raised, why)
        else:
            done = self._block([*node.body, *node.orelse], scope)
            names = dict(scope.names)
            for handler in node.handlers:
                with self._follower.doubt("only after an exception"):
                    self._block(handler.body, scope)
                scope.names = dict(names)
            if isinstance(done, _Returned):
                return done
        return self._block(node.finalbody, scope)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        value: Any = Function(node, scope)
        for decorator in reversed(node.decorator_list):
            value = self._decorated(value, decorator, scope)
        scope.set(node.name, value)

    def _decorated(self, value: Any, decorator: ast.expr, scope: Scope) -> Any:
        by = self._follower.value(decorator, scope)
        if isinstance(by, Decorator):
            by.register(value)
            return value
        if isinstance(by, Method) and isinstance(by.owner, Owner):
            if by.name in ("before_request", "before_app_request"):
                by.owner.guards += [(one, what) for one, what in getattr(value, "guards", ())]
            return value
        if isinstance(by, External) and by.name in (
            "builtins.staticmethod",
            "builtins.classmethod",
            "builtins.property",
        ):
            return (
                value
                if by.name == "builtins.staticmethod"
                else UNKNOWN
                if by.name.endswith("property")
                else value
            )
        if isinstance(by, Function):
            self._follower.calls.call(by, Call([value], {}, decorator))  # it may register the function
        if isinstance(value, Function):
            return Function(value.node, value.scope, value.bound, ((decorator, by), *value.guards))
        return value

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        bases = tuple(self._follower.value(base, scope) for base in node.bases)
        body = Scope(scope.file, scope.module, {}, scope, is_class=True)
        cls: Any = Class(node, body, bases)
        self._block(node.body, body)
        for decorator in reversed(node.decorator_list):
            by = self._follower.value(decorator, scope)
            if isinstance(by, Decorator):
                by.register(cls)
            elif isinstance(by, Method) and by.name in REGISTERING:
                self._follower.note(decorator, scope, "on an object that adds routes at run time")
        scope.set(node.name, cls)

    def bind(self, target: ast.expr, value: Any, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            scope.set(target.id, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            known = isinstance(value, (list, tuple)) and len(value) == len(target.elts)
            known = known and not any(isinstance(one, ast.Starred) for one in target.elts)
            for index, one in enumerate(target.elts):
                self.bind(one, value[index] if known else UNKNOWN, scope)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, UNKNOWN, scope)
        elif isinstance(target, ast.Attribute):
            owner = self._follower.value(target.value, scope)
            if isinstance(owner, Attribute) and owner.name == "url_map" and target.attr == "strict_slashes":
                owner.owner.strict_slashes = value
            elif isinstance(owner, (Owner, Instance)):
                owner.attributes[target.attr] = value
            elif isinstance(owner, Module):
                owner.scope.names[target.attr] = value
        elif isinstance(target, ast.Subscript):
            container, key = (
                self._follower.value(target.value, scope),
                self._follower.value(target.slice, scope),
            )
            if isinstance(container, dict) and isinstance(key, (str, int)) and not self._follower.doubts:
                container[key] = value
            elif isinstance(container, (dict, list)):
                forget(container)

    def _augment(self, node: ast.AugAssign, scope: Scope) -> None:
        new = (
            added(self._follower.value(node.target, scope), self._follower.value(node.value, scope))
            if isinstance(node.op, ast.Add)
            else UNKNOWN
        )
        self.bind(node.target, new, scope)
