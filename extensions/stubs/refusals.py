"""What a function may refuse of the values that it is given, and under which condition, as its text tells."""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import dataclass, field

from ..source.modules import Function, Guard
from . import raising
from .subject import Subject
from .values import formatted

MOST = 6  # exceptions of one function


@dataclass
class Refusal:
    """An exception that a function says it raises, the conditions under which it says so, and the names of
    the module in them.
    """

    exception: str
    conditions: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def said(subject: Subject, functions: list[Function], drawn: set[str]) -> list[Refusal]:
    """What functions say that they raise, in body or docstring.

    Where only guards on `drawn` raise it, their conditions say when.
    """
    told = [
        name
        for one in functions
        for name in re.findall(r"\b[A-Z]\w*(?:Error|Exception)\b", one.docstring or "")
    ]
    found: list[Refusal] = []
    for name in dict.fromkeys([*(name for one in functions for name in one.raises), *told]):
        known = subject.exception(name)
        if (
            known is None
            or known.split(".")[-1] in ("AssertionError", "NotImplementedError")
            or len(found) == MOST
        ):
            continue
        refusal = Refusal(known)
        guards = [guard for one in functions for guard in one.guards if guard.exception == name]
        nodes = [node for one in functions for node in ast.walk(one.node)]
        raised = sum(
            isinstance(node, ast.Raise) and node.exc is not None and _callee(node.exc) == name
            for node in nodes
        )
        texts = [_condition(subject, guard, drawn) for guard in guards]
        if texts and all(texts) and len(guards) == raised and not raising.includes(told, name):
            wrapped = [
                len(guards) > 1 and isinstance(guard.condition, (ast.BoolOp, ast.IfExp)) for guard in guards
            ]
            refusal.conditions = [
                f"({text})" if wrap else text for text, wrap in zip(texts, wrapped, strict=True)
            ]
            refusal.names = [name for guard in guards for name in guard.names if name not in drawn]
        found.append(refusal)
    return found


def seen(subject: Subject, functions: list[Function], besides: list[Refusal]) -> list[Refusal]:
    """Those, and what expressions and the functions that are called may raise; then no condition tells all of
    when.
    """
    found = {refusal.exception: refusal for refusal in besides}
    names = [name for one in functions for name in raising.indirectly(subject, one)]
    indirect = [
        known for name in names if (known := subject.exception(name)) and "NotImplemented" not in known
    ]
    for name, refusal in found.items():
        if raising.includes(indirect, name):
            found[name] = Refusal(refusal.exception)
    for name in indirect:
        if len(found) < MOST:
            found.setdefault(name, Refusal(name))
    return list(found.values())


def _condition(subject: Subject, guard: Guard, drawn: set[str]) -> str:
    """A condition as a test says it; "" where it reads what a test hasn't, or where linters would write it in
    another way.
    """
    for name in guard.names:
        if name not in drawn | {*subject.known} and (name in subject.names or not hasattr(builtins, name)):
            return ""
    if any(map(_restyled, ast.walk(guard.condition))):
        return ""
    text = formatted(guard.condition)
    return text if len(text) < 80 and "\n" not in text else ""


def _restyled(node: ast.AST) -> bool:
    """Whether linters want to see an expression written in another way, or might."""
    if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
        return any(
            isinstance(part, ast.Constant) and (part.value is None or isinstance(part.value, bool))
            for part in node.comparators
        )
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):  # `not a in b`
        return isinstance(node.operand, ast.Compare) and len(node.operand.ops) == 1
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("type", "set", "dict", "list", "tuple")
    return isinstance(node, (ast.NamedExpr, ast.Lambda, ast.Await, ast.JoinedStr, ast.Subscript, ast.Pow))


def _callee(node: ast.expr) -> str:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)
