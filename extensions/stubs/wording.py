"""Conditions as English words, for the names of tests: `amount < 0` is `negative_amount`."""

from __future__ import annotations

import ast
import re

LONGEST = 50  # characters: a name is read in a list of names

_ZERO = {
    ast.Lt: "negative_{}",
    ast.Gt: "positive_{}",
    ast.LtE: "zero_or_negative_{}",
    ast.GtE: "zero_or_positive_{}",
}
_LENGTH = {
    ast.Lt: "{}_shorter_than_{}",
    ast.Gt: "{}_longer_than_{}",
    ast.LtE: "{}_of_at_most_{}",
    ast.GtE: "{}_of_at_least_{}",
    ast.Eq: "{}_of_length_{}",
    ast.NotEq: "{}_not_of_length_{}",
}
_WORDS: dict[type[ast.cmpop], str] = {
    ast.Lt: "below",
    ast.Gt: "above",
    ast.LtE: "at_most",
    ast.GtE: "at_least",
    ast.Eq: "equal_to",
    ast.NotEq: "other_than",
    ast.In: "in",
    ast.NotIn: "not_in",
    ast.Is: "is",
    ast.IsNot: "is_not",
}


def in_words(condition: ast.expr) -> str:
    """What is so where `condition` holds, as a part of a function's name: at most LONGEST characters, cut
    between words.
    """
    words = _plain(_told(condition)) or "it"
    while len(words) > LONGEST and "_" in words:
        words = words.rpartition("_")[0]
    return words[:LONGEST]


def _told(node: ast.expr) -> str:
    if isinstance(node, ast.BoolOp):
        joined = "_and_" if isinstance(node.op, ast.And) else "_or_"
        return joined.join(_told(one) for one in node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        if isinstance(node.operand, ast.Name):
            return f"missing_{node.operand.id}"  # None, an empty text or an empty list alike
        told = _told(node.operand)
        if _is_between(node.operand):
            return told.replace("_between_", "_not_between_")
        return f"non_{told}" if isinstance(node.operand, ast.Call) else f"not_{told}"
    if isinstance(node, ast.Compare):
        return _compared(node)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "isinstance"
        and len(node.args) == 2
    ):
        return f"{_text(node.args[1])}_{_text(node.args[0])}"
    return _text(node)


def _is_between(node: ast.expr) -> bool:
    """Whether a comparison is one as `0 < x <= 10`."""
    return (
        isinstance(node, ast.Compare)
        and len(node.ops) == 2
        and all(isinstance(one, (ast.Lt, ast.LtE)) for one in node.ops)
    )


def _compared(node: ast.Compare) -> str:
    if _is_between(node):
        return f"{_text(node.comparators[0])}_between_{_text(node.left)}_and_{_text(node.comparators[1])}"
    if len(node.ops) > 1:
        signs = [_WORDS[type(operator)] for operator in node.ops]
        return "_".join(
            [
                _text(node.left),
                *(f"{sign}_{_text(one)}" for sign, one in zip(signs, node.comparators, strict=True)),
            ]
        )
    left, operator, right = node.left, type(node.ops[0]), node.comparators[0]
    if operator in (ast.Is, ast.Eq) and isinstance(right, ast.Constant) and right.value is None:
        return f"none_as_{_text(left)}"
    zero = isinstance(right, ast.Constant) and type(right.value) in (int, float) and right.value == 0
    if (
        isinstance(left, ast.Call)
        and isinstance(left.func, ast.Name)
        and left.func.id == "len"
        and len(left.args) == 1
    ):
        if zero and operator is ast.Eq:
            return f"empty_{_text(left.args[0])}"
        if operator in _LENGTH:
            return _LENGTH[operator].format(_text(left.args[0]), _text(right))
    if zero and isinstance(left, ast.Name) and operator in _ZERO:
        return _ZERO[operator].format(left.id)
    return f"{_text(left)}_{_WORDS[operator]}_{_text(right)}"


_SIGNS = {
    "-": " minus ",
    "+": " plus ",
    "%": " modulo ",
    "*": " times ",
    "/": " divided by ",
    "&": " and ",
    "|": " or ",
}


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value) if str(node.value).strip() else "nothing"
    text = ast.unparse(node)
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    return text


def _plain(text: str) -> str:
    text = re.sub(r"[^0-9A-Za-z_]+", "_", text).lower()
    return re.sub(r"_+", "_", text).strip("_")
