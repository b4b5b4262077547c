"""A small mutation tester: changed copies of a module, and how many of them a test suite notices.

The operators are the usual first ones (comparison, arithmetic, boolean, constant, condition, return value).
Of a module's mutants a seeded sample is taken, so that every suite meets the same ones. mutmut and cosmic-ray
run one suite of a repository; here several suites are held against one module.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Iterator

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}


def sample(source: str, count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Up to `count` mutants of a module: ("line 12: Lt", the changed source).

    Only what stands in functions is changed.
    """
    tree = ast.parse(source)
    places = [
        (number, name)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for number, name in _places(tree, function)
    ]
    places = sorted(set(places))
    chosen = sorted(random.Random(seed).sample(places, min(count, len(places))))
    return [(name, _changed(tree, number)) for number, name in chosen]


def _places(tree: ast.Module, function: ast.AST) -> Iterator[tuple[int, str]]:
    """The nodes of a function that can be changed, by their number in ast.walk."""
    numbers = {id(node): number for number, node in enumerate(ast.walk(tree))}
    body = [node for statement in getattr(function, "body", []) for node in ast.walk(statement)]
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in body:
        if id(node) not in docstrings and _mutated(copy.copy(node)) is not None:
            yield numbers[id(node)], f"line {getattr(node, 'lineno', 0)}: {type(node).__name__}"


def _changed(tree: ast.Module, number: int) -> str:
    changed = copy.deepcopy(tree)
    node = next(node for at, node in enumerate(ast.walk(changed)) if at == number)
    new = _mutated(node)
    assert new is not None
    for parent in ast.walk(changed):
        for name, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, name, new)
            elif isinstance(value, list) and any(one is node for one in value):
                setattr(parent, name, [new if one is node else one for one in value])
    return ast.unparse(ast.fix_missing_locations(changed))


def _mutated(node: ast.AST) -> ast.AST | None:
    """The node that takes the place of `node`; None where no operator applies."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        return ast.Compare(node.left, [COMPARISONS[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        return ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
    if isinstance(node, ast.BoolOp):
        return ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return node.operand
    if (
        isinstance(node, ast.Return)
        and node.value
        and not (isinstance(node.value, ast.Constant) and node.value.value is None)
    ):
        return ast.Return(ast.Constant(None))
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            return ast.Constant(not node.value)
        if isinstance(node.value, int):
            return ast.Constant(node.value + 1)
        if isinstance(node.value, str):
            return ast.Constant(node.value + "XX")
    return None
