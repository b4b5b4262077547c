"""What an expression gives, as far as it is followed: texts and lists, functions, classes, apps and
blueprints; all else is UNKNOWN.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from .attributes import attribute
from .plain import LONGEST, added, is_plain
from .statements import ROUND
from .values import UNKNOWN, Function, Scope, either, truth

if TYPE_CHECKING:
    from .follower import Follower


class Expressions:
    """Gives the values of one service's expressions: a method for each kind of node that is followed."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def value(self, node: ast.expr | None, scope: Scope) -> Any:
        """What an expression gives, as far as it is followed."""
        self._follower.step()
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
            plain = not isinstance(one, ast.FormattedValue) or (
                one.format_spec is None and one.conversion == -1
            )
            if not plain or type(value) not in (str, int):
                return UNKNOWN
            parts.append(str(value))
            if sum(map(len, parts[-50:])) > LONGEST:
                return UNKNOWN
        return "".join(parts)

    def _of_BinOp(self, node: ast.BinOp, scope: Scope) -> Any:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        if isinstance(node.op, ast.Add):
            return added(left, right)
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            values = right if isinstance(right, list) else [right]
            if all(type(one) in (str, int) for one in values) and re.fullmatch(r"(?:[^%]|%%|%[sd])*", left):
                try:
                    return left % tuple(values)
                except (TypeError, ValueError):
                    return UNKNOWN
        return UNKNOWN

    def _of_IfExp(self, node: ast.IfExp, scope: Scope) -> Any:
        test = truth(self.value(node.test, scope))
        if test is UNKNOWN:
            return either(self.value(node.body, scope), self.value(node.orelse, scope))
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
        if (
            isinstance(op, (ast.Eq, ast.NotEq))
            and type(left) is type(right)
            and isinstance(left, (str, int, bool))
        ):
            return (left == right) is isinstance(op, ast.Eq)
        if (
            isinstance(op, (ast.In, ast.NotIn))
            and isinstance(left, str)
            and isinstance(right, (list, dict))
            and is_plain(right)
        ):
            return (left in right) is isinstance(op, ast.In)
        return UNKNOWN

    def _of_NamedExpr(self, node: ast.NamedExpr, scope: Scope) -> Any:
        value = self.value(node.value, scope)
        self._follower.bind(node.target, value, scope)
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
            self._follower.bind(node.generators[0].target, one, inner)
            items.append(self.value(node.elt, inner))
        return items

    _of_GeneratorExp = _of_ListComp

    def _of_Attribute(self, node: ast.Attribute, scope: Scope) -> Any:
        return attribute(self.value(node.value, scope), node.attr)

    def _of_Call(self, node: ast.Call, scope: Scope) -> Any:
        return self._follower.calls.of(node, scope)
