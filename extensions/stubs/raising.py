"""What a function may raise for some values, as far as its text tells: by itself, by its expressions, by what
it calls.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator

from ..source.modules import Function
from .subject import Subject

# What calls of these names raise for values that they can't take.
CALLS = {
    **dict.fromkeys(
        (
            "UUID", "chr", "complex", "datetime", "decode", "fromhex", "fromisoformat", "fromtimestamp",
            "index", "ip_address",
            "ip_network", "loads", "remove", "strptime", "to_bytes", "unhexlify", "unpack", "urlparse",
            "urlsplit",
        ),
        ("ValueError",),
    ),
    **dict.fromkeys(("Decimal", "quantize"), ("ArithmeticError",)),
    **dict.fromkeys(
        (
            "astimezone", "divmod", "exp", "float", "int", "log", "log10", "log2", "pow", "sqrt", "strftime",
            "timedelta",
        ),
        ("ValueError", "ArithmeticError"),
    ),
    **dict.fromkeys(("choice", "pop", "popitem"), ("LookupError",)),
    **dict.fromkeys(
        ("access", "exists", "is_dir", "is_file", "iterdir", "listdir", "resolve", "stat"),
        ("OSError", "ValueError"),
    ),
    "next": ("StopIteration",),
    "ord": ("TypeError",),
}  # fmt: skip
DEEP = 4  # functions within functions


def indirectly(subject: Subject, one: Function, deep: int = DEEP) -> dict[str, None]:
    """What a function may raise though no `raise` of its own does: names of exceptions, as the module has
    them, in order.
    """
    found: dict[str, None] = {}
    for node in _own(one.node):
        found |= dict.fromkeys(_of_expression(node))
        if isinstance(node, ast.Call) and deep:
            for other in _called(subject, one, node):
                found |= dict.fromkeys(other.raises) | indirectly(subject, other, deep - 1)
    return found


def with_called(subject: Subject, one: Function) -> list[Function]:
    """A function, and those of its module that it calls, and those that they call."""
    found = [one]
    for function in found:
        for node in _own(function.node):
            if isinstance(node, ast.Call):
                found += [other for other in _called(subject, function, node) if other not in found]
    return found


def includes(names: Iterable[str], exception: str) -> bool:
    """Whether one of `names` is this builtin exception, or one above it."""
    asked = getattr(builtins, exception, None)
    for name in names:
        found = getattr(builtins, name, None)
        if name == exception or (
            isinstance(asked, type) and isinstance(found, type) and issubclass(asked, found)
        ):
            return True
    return False


def unwritten(one: Function) -> bool:
    """Whether a function is only a place for one: its body is `...`, `pass`, or says that it isn't
    implemented.
    """
    body = one.node.body[1:] if one.docstring is not None else one.node.body
    if not body:
        return True
    *before, last = body
    if before:
        return False
    if isinstance(last, ast.Raise):
        return last.exc is not None and "NotImplemented" in ast.unparse(last.exc)
    return isinstance(last, ast.Pass) or (isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant))


def _of_expression(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Call):
        name = _name(node)
        if name in ("max", "min"):
            return (
                ("ValueError",)
                if len(node.args) == 1 and not any(word.arg == "default" for word in node.keywords)
                else ()
            )
        if name == "range":
            return (
                ("ValueError",)
                if len(node.args) == 3 and not isinstance(node.args[2], (ast.Constant, ast.UnaryOp))
                else ()
            )
        if name == "format":
            constant = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Constant)
            return () if constant else ("ValueError",)
        return CALLS.get(name, ())
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)):
        constant = isinstance(node.right, ast.Constant) and bool(node.right.value)
        text = isinstance(node.op, ast.Mod) and isinstance(node.left, (ast.Constant, ast.JoinedStr))
        return () if (constant and not isinstance(node.op, ast.Pow)) or text else ("ArithmeticError",)
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        return () if isinstance(node.slice, ast.Slice) else ("LookupError",)
    if (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and not isinstance(node.value, ast.Tuple)
    ):
        return ("ValueError",)
    return ("AssertionError",) if isinstance(node, ast.Assert) else ()


def _name(node: ast.Call) -> str:
    return (
        node.func.id
        if isinstance(node.func, ast.Name)
        else node.func.attr
        if isinstance(node.func, ast.Attribute)
        else ""
    )


def _called(subject: Subject, one: Function, node: ast.Call) -> Iterator[Function]:
    """The module's own functions that a call may be of: by its name,
    for methods of whatever class has one."""
    name = _name(node)
    if name == "cls" and one.owner:
        name = one.owner
    for other in subject.by_name.get(name, ()):
        if other is not one and (bool(other.owner) is isinstance(node.func, ast.Attribute)):
            yield other
    for method in ("__init__", "__new__", "__post_init__"):
        for other in subject.by_name.get(method, ()) if name in subject.classes else ():
            if other.owner == name:
                yield other


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's body, without those of functions in it."""
    todo: list[ast.AST] = list(getattr(node, "body", []))
    while todo:
        one = todo.pop()
        yield one
        if not isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(one)
