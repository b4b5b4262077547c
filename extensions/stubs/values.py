"""Values for tests: how they are written, samples for an annotation, and one that a guard refuses.

Nothing of the project is run.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import operator
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

SAMPLES: dict[str, tuple[Any, ...]] = {
    "int": (0, 1, -1, 7, 1000),
    "float": (0.0, 1.0, -1.5, 0.25, 1234.5),
    "str": ("", "a", "Two words", "snake_case-42", "3"),
    "bool": (True, False),
    "bytes": (b"", b"abc", b"\x00\xff"),
    "complex": (1j,),
    "None": (None,),
}
CONTAINERS: dict[str, Callable[[Iterable[Any]], Any]] = {
    "list": list,
    "List": list,
    "Sequence": list,
    "Iterable": list,
    "Collection": list,
    "set": set,
    "Set": set,
    "frozenset": frozenset,
    "FrozenSet": frozenset,
}
MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping"}
# What no guard has said yet, in the order in which a guard's test would pick it.
PROBES: tuple[Any, ...] = (None, -1, 0, "", "?", 1, 2, -0.5, 1.5, (), [], {}, True, False, b"", object)
TYPES = {
    name: getattr(builtins, name)
    for name in (
        "int",
        "float",
        "str",
        "bool",
        "bytes",
        "list",
        "dict",
        "tuple",
        "set",
        "frozenset",
        "bytearray",
        "complex",
        "object",
        "type",
    )
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "isinstance": isinstance,
    "len": len,
    "callable": callable,
    "abs": abs,
    "type": type,
    "bool": bool,
}
FUNCTIONS |= {"any": any, "all": all, "min": min, "max": max, "str": str, "int": int, "float": float}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mod: operator.mod,
    ast.FloorDiv: operator.floordiv,
}
STRINGS = {
    "strip",
    "lower",
    "upper",
    "startswith",
    "endswith",
    "isdigit",
    "isdecimal",
    "isalpha",
    "isalnum",
    "isidentifier",
    "isnumeric",
}


class Unknown(Exception):
    """An expression whose value the source alone doesn't tell."""


def written(value: Any) -> str:
    """`value` as source text in the quotes that formatters want. Raises Unknown for what has no literal."""
    if isinstance(value, (str, bytes)):
        return requoted(repr(value))
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, complex) and not value.real):
        return repr(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise Unknown("no literal")
        return repr(value).replace("e+", "e")
    if value is object:
        return "object()"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(written, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(key)}: {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (set, frozenset)):
        inner = ", ".join(sorted(map(written, value)))
        if isinstance(value, frozenset):
            return f"frozenset({{{inner}}})" if inner else "frozenset()"
        return f"{{{inner}}}" if inner else "set()"
    raise Unknown("no literal")


def requoted(text: str) -> str:
    """The literal of a string with double quotes, where that doesn't need more backslashes."""
    prefix, body = ("b", text[1:]) if text[0] in "bB" else ("", text)
    if body[0] == '"' or "r" in prefix:
        return text
    inner = body[1:-1]
    if '"' not in inner:
        return f'{prefix}"{inner}"'.replace("\\'", "'")
    if inner.count('"') > inner.count("'"):
        return text
    return prefix + '"' + inner.replace("\\'", "'").replace('"', '\\"') + '"'


def formatted(node: ast.AST) -> str:
    """Source text of a node with the quotes that formatters want."""
    for one in ast.walk(node):
        if isinstance(one, ast.Constant):
            one.kind = None  # no u""
    text = ast.unparse(node)
    if "'" not in text:
        return text
    pieces, last = [], (1, 0)
    lines = text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if (
            token.type == tokenize.STRING
            and token.string[0] in "'b"
            and not token.string.startswith(("'''", "b'''"))
        ):
            pieces += [_between(lines, last, token.start), requoted(token.string)]
            last = token.end
    pieces.append(_between(lines, last, (len(lines), len(lines[-1]))))
    return "".join(pieces)


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    return lines[start[0] - 1][start[1] :] + "".join(middle) + lines[end[0] - 1][: end[1]]


def samples(annotation: str | None) -> tuple[Any, ...]:
    """Values of which an annotation of builtins speaks; empty where it speaks of anything else."""
    if annotation is None:
        return ()
    try:
        return _samples(ast.parse(annotation.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, TypeError):
        return ()


def _samples(node: ast.expr) -> tuple[Any, ...]:
    if isinstance(node, ast.Constant):
        return (None,) if node.value is None else samples(node.value) if isinstance(node.value, str) else ()
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        left, right = _samples(node.left), _samples(node.right)
        return (
            (left if left == (None,) else left[:4]) + (right[:4] if None in (*left[:1], *right[:1]) else ())
            if left and right
            else ()
        )
    name = last_name(node.value if isinstance(node, ast.Subscript) else node)
    if not isinstance(node, ast.Subscript):
        if name in SAMPLES and isinstance(node, ast.Name):
            return SAMPLES[name]
        if name in CONTAINERS:
            return (CONTAINERS[name](()),)
        return ({},) if name in MAPPINGS else ()
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        return tuple(one.value for one in parts if isinstance(one, ast.Constant))
    inner = [
        () if isinstance(one, ast.Constant) and one.value is Ellipsis else _samples(one) for one in parts
    ]
    if not inner or not inner[0]:  # of what isn't known
        return (CONTAINERS[name](()), CONTAINERS[name]([None])) if name in CONTAINERS else ()
    if name == "Optional":
        return (*inner[0][:3], None)
    if name == "Union":
        return inner[0][:4] + ((None,) if (None,) in inner[1:] else ()) if all(inner) else ()
    if name in CONTAINERS:
        make = CONTAINERS[name]
        return make(()), make(inner[0][:1]), make(inner[0][:3])
    if name in ("tuple", "Tuple"):
        if len(parts) == 2 and not inner[1]:
            return ((), tuple(inner[0][:2])) if isinstance(parts[1], ast.Constant) else ()
        return (tuple(one[min(1, len(one) - 1)] for one in inner),) if all(inner) else ()
    if name in MAPPINGS and len(inner) == 2 and inner[1]:
        return {}, dict(zip(inner[0][:2], inner[1][:2], strict=False))
    return ()


def last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def evaluated(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of an expression of literals, builtin types and `names`.

    Raises Unknown, or what the operation itself raises.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        for known in (names, TYPES, FUNCTIONS):
            if node.id in known:
                return known[node.id]
        raise Unknown(node.id)
    if isinstance(node, (ast.Tuple, ast.List)):
        values = [evaluated(one, names) for one in node.elts]
        return tuple(values) if isinstance(node, ast.Tuple) else values
    if isinstance(node, ast.Set):
        return {evaluated(one, names) for one in node.elts}
    if isinstance(node, ast.Dict) and all(node.keys):
        return {
            evaluated(key, names): evaluated(one, names)
            for key, one in zip(node.keys, node.values, strict=True)
            if key
        }
    if isinstance(node, ast.UnaryOp) and type(node.op) in UNARY:
        return UNARY[type(node.op)](evaluated(node.operand, names))
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        return BINARY[type(node.op)](evaluated(node.left, names), evaluated(node.right, names))
    if isinstance(node, ast.BoolOp):
        value = None
        for one in node.values:
            value = evaluated(one, names)
            if bool(value) is isinstance(node.op, ast.Or):
                break
        return value
    if isinstance(node, ast.Compare):
        left = evaluated(node.left, names)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = evaluated(right_node, names)
            if isinstance(op, (ast.Is, ast.IsNot)) and not {id(None), id(True), id(False)} & {
                id(left),
                id(right),
            }:
                raise Unknown("which object it is")
            if not COMPARE[type(op)](left, right):
                return False
            left = right
        return True
    if isinstance(node, ast.Call) and not node.keywords and len(node.args) <= 2:
        arguments = [evaluated(one, names) for one in node.args]
        if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and node.func.id not in names:
            return FUNCTIONS[node.func.id](*arguments)
        if isinstance(node.func, ast.Attribute) and node.func.attr in STRINGS:
            on = evaluated(node.func.value, names)
            if isinstance(on, str):
                return getattr(on, node.func.attr)(*arguments)
    raise Unknown(type(node).__name__)


def constants(tree: ast.Module) -> dict[str, Any]:
    """Names that the module binds once, at its top, to a literal."""
    found: dict[str, Any] = {}
    times = _bound(tree)
    for node in tree.body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and times[target.id] == 1 and value is not None:
                with contextlib.suppress(Exception):  # whatever their literals raise together
                    found[target.id] = evaluated(value, found)
    return found


def _bound(tree: ast.Module) -> Counter[str]:
    """How often each name may be bound to something: by the module's statements, wherever they stand in it,
    or by a function's `global`.
    """
    times: Counter[str] = Counter()
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            times[node.name] += 1
            times.update(
                name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names * 2
            )
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            times.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            times[node.id] += 1
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            times[node.target.id] += 1
        todo += ast.iter_child_nodes(node)
    return times


def holds(condition: ast.expr, names: Mapping[str, Any]) -> bool | None:
    """Whether a condition is true of these values; None where that can't be told."""
    try:
        return bool(evaluated(condition, names))
    except Exception:  # Unknown, and TypeError of a comparison that makes no sense
        return None


def probes(condition: ast.expr, known: Mapping[str, Any]) -> list[Any]:
    """Values that may meet a condition: near what it compares with, and the usual ones."""
    return [*near(condition, known), *PROBES]


def near(condition: ast.expr, known: Mapping[str, Any]) -> list[Any]:
    """The values that a condition compares with, and those next to them."""
    found: list[Any] = []
    for node in ast.walk(condition):
        if isinstance(node, (ast.Constant, ast.Name, ast.UnaryOp)):
            try:
                value = evaluated(node, known)
            except Exception:  # whatever their literals raise together
                continue
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found += [
                    value,
                    value - 1,
                    value + 1,
                    *("?" * (min(int(abs(value)), 60) + more) for more in (0, 1)),
                ]
            elif isinstance(value, (str, bytes)):
                found.append(value)
            elif isinstance(value, (list, tuple, set, dict)):
                found += list(value)[:3]
    return found
