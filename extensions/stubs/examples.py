"""The examples of a docstring as the body of a test: what an example wants is asserted, what stands before it
is kept in order.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..source.modules import Example
from .values import evaluated, formatted, written

WIDTH = 120 - 4
# Whatever else an example holds is taken as it stands: the linter and the formatter are told to leave its
# line alone.
PLAIN = (
    ast.Expression,
    ast.Expr,
    ast.Assign,
    ast.Name,
    ast.Constant,
    ast.Call,
    ast.keyword,
    ast.Attribute,
    ast.List,
    ast.Dict,
    ast.expr_context,
    ast.UnaryOp,
    ast.unaryop,
)
# What linters would have written in another way.
REWRITTEN_BY_LINTERS = {
    "dict",
    "set",
    "list",
    "tuple",
    "str",
    "int",
    "bytes",
    "float",
    "bool",
    "map",
    "sorted",
    "zip",
    "getattr",
    "setattr",
    "reversed",
}
REWRITTEN_BY_LINTERS |= {"open", "type", "hasattr", "delattr", "isinstance"}


class NoTest(Exception):
    """The examples can't be a test; the text says why."""


@dataclass
class Body:
    """The lines of a test and what they need."""

    lines: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    imports: list[tuple[str, str]] = field(default_factory=list)
    fixtures: list[str] = field(default_factory=list)
    asserts: int = 0


def body(examples: Iterable[Example], module: set[str], printing: bool) -> Body:
    """The test of some examples.

    `module` is what its module defines; `printing` says that what is tested writes to stdout.

    Raises NoTest where nothing is wanted, or where an example needs what nobody can know.
    """
    body = Body()
    bound: set[str] = set()
    pending: list[tuple[Example, ast.Module]] = []
    for example in examples:
        options = dict(example.options)
        if options.get("SKIP"):
            continue
        try:
            tree = ast.parse(example.source)
        except (SyntaxError, ValueError, RecursionError):
            raise NoTest("an example is no Python") from None
        if any(isinstance(one, (ast.Await, ast.AsyncFor, ast.AsyncWith)) for one in ast.walk(tree)):
            raise NoTest("an example awaits outside a function")
        if any(isinstance(one, ast.Global) for one in ast.walk(tree)):
            raise NoTest("an example uses `global`")
        want = example.want.removesuffix("```\n")  # the end of a block of Markdown
        pending.append((replace(example, want=want), tree))
    # What comes after the last assertion shows nothing.
    while pending and not pending[-1][0].want and not pending[-1][0].raises:
        pending.pop()
    used = {
        one.id
        for _, tree in pending
        for one in ast.walk(tree)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)
    }
    for example, tree in pending:
        kept = [one for one in tree.body if not _hoisted(one, body, bound, used)]
        for name in _free(kept, bound):
            if name in module:
                body.names.append(name)
            elif not hasattr(builtins, name):
                raise NoTest(f"an example uses {name}, which nothing defines")
        if kept:
            _example(example, kept, body, printing, used)
    if not body.asserts:
        raise NoTest("its examples want nothing")
    body.names = sorted(set(body.names))
    return body


def _hoisted(node: ast.stmt, body: Body, bound: set[str], used: set[str]) -> bool:
    """Take the imports of an example out of it: the test has them at its top."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                raise NoTest("an example imports under another name")
            if alias.name.split(".")[0] in used:
                body.imports.append((alias.name, ""))
            bound.add(alias.name.split(".")[0])
        return True
    if isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if alias.name == "*" or node.level:
                if alias.name == "*":
                    continue  # its names are looked up in the module
                raise NoTest("an example imports from its own package without naming it")
            if node.module == "__future__":
                continue
            if alias.asname:
                raise NoTest("an example imports under another name")
            if alias.name in used:
                body.imports.append((node.module or "", alias.name))
            bound.add(alias.name)
        return True
    return False


def _free(nodes: list[ast.stmt], bound: set[str]) -> list[str]:
    """Names that these statements read and nobody has bound; afterwards what they bind is bound."""
    stored: set[str] = set()
    local: set[str] = set()
    loads: list[str] = []
    for node in nodes:
        for one in ast.walk(node):
            if isinstance(one, ast.Name):
                (loads if isinstance(one.ctx, ast.Load) else []).append(one.id)
                if not isinstance(one.ctx, ast.Load):
                    stored.add(one.id)
            elif isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                stored.add(one.name)
            elif isinstance(one, ast.arg):
                local.add(one.arg)
            elif isinstance(one, ast.ExceptHandler) and one.name:
                stored.add(one.name)
    read_first = {one.id for node in nodes for one in _read_first(node)}
    free = [
        name
        for name in dict.fromkeys(loads)
        if name not in bound | local and (name not in stored or name in read_first)
    ]
    bound |= stored
    return free


def _read_first(node: ast.stmt) -> list[ast.Name]:
    """Names on the right of an assignment, which are read before those on the left are bound."""
    if isinstance(node, (ast.Assign, ast.AugAssign)) and node.value:
        inside = {
            one.id
            for part in ast.walk(node.value)
            if isinstance(part, ast.comprehension)
            for one in ast.walk(part.target)
            if isinstance(one, ast.Name)
        }
        return [one for one in ast.walk(node.value) if isinstance(one, ast.Name) and one.id not in inside]
    return []


def _example(example: Example, nodes: list[ast.stmt], body: Body, printing: bool, used: set[str]) -> None:
    *before, last = nodes
    for node in before:
        _statement(node, body, used)
    options = dict(example.options)
    loose = _loosely(example)
    if example.raises is not None:
        _raising(example, last, body, any(options.values()) or "..." in example.raises)
    elif not example.want:
        _statement(last, body, used)
    elif not isinstance(last, ast.Expr) or _prints(last, printing, example.want):
        shows = [
            one for one in ast.walk(last) if isinstance(one, ast.Expr) and not _prints(one, printing, "?")
        ]
        if shows and any(
            not isinstance(one.value, (ast.Constant, ast.Yield, ast.YieldFrom)) for one in shows
        ):
            raise NoTest("an example shows what stands inside a block")
        body.fixtures = ["capsys"]
        body.lines.append("capsys.readouterr()")
        _statement(last, body, used)
        _same("capsys.readouterr().out", example, body, loose, nodes=last)
    else:
        _value(example, last.value, body, loose)


def _loosely(example: Example) -> list[str]:
    """The options of doctest under which an example is compared.

    One with an ellipsis is meant so, wherever its project says it.
    """
    chosen = [name for name, on in example.options if on and name in ("ELLIPSIS", "NORMALIZE_WHITESPACE")]
    if not chosen and "..." in example.want and "ELLIPSIS" not in dict(example.options):
        try:
            ast.literal_eval(example.want.strip())
        except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
            return ["ELLIPSIS"]
    return chosen


def _prints(node: ast.Expr, printing: bool, want: str) -> bool:
    call = node.value
    if not isinstance(call, ast.Call):
        return False
    if isinstance(call.func, ast.Name) and call.func.id in ("print", "pprint"):
        return True
    if not printing:
        return False
    try:
        ast.literal_eval(want.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        return True
    return False


def _value(example: Example, node: ast.expr, body: Body, loose: list[str]) -> None:
    if loose:
        _same(f"repr({formatted(node)})", example, body, loose, nodes=node)
        return
    want = example.want.rstrip("\n")
    try:
        literal = ast.parse(want, mode="eval").body
        value = evaluated(literal, {})
        exact = repr(value) == want or isinstance(value, (dict, set, list, tuple, str))
        text = written(value)
    except Exception:  # their text may be anything
        if re.search(r"\bu['\"]", want):
            raise NoTest("its examples show what Python 2 said") from None
        body.lines.append(_line(f"assert repr({formatted(node)}) == {written(_blank(want))}", node))
        body.asserts += 1
        return
    if not exact or isinstance(literal, ast.Name):
        text, left = written(want), f"repr({formatted(node)})"
    else:
        left = formatted(node)
        if isinstance(node, (ast.Compare, ast.BoolOp, ast.IfExp, ast.Lambda, ast.NamedExpr, ast.UnaryOp)):
            left = f"({left})"
    operator = "is" if value is None or isinstance(value, bool) else "=="
    body.lines.append(_line(f"assert {left} {operator} {text}", node))
    body.asserts += 1


def _same(got: str, example: Example, body: Body, loose: list[str], nodes: ast.AST) -> None:
    """Hold text against what is wanted, by doctest's own comparison where the example asks for it."""
    if loose:
        body.imports += [("doctest", "OutputChecker"), *(("doctest", name) for name in loose)]
        suffix = "" if got.startswith("capsys") else ' + "\\n"'
        body.lines.append(
            _line(
                f"assert OutputChecker().check_output({written(example.want)}, {got}{suffix},"
                f" {' | '.join(loose)})",
                nodes,
            )
        )
    else:
        rows = [written(row) for row in _blank(example.want).splitlines()]
        left = f"assert {got}.splitlines() == ["
        if len(rows) == 1 and len(left + rows[0]) < WIDTH:
            body.lines.append(f"{left}{rows[0]}]")
        elif any(len(row) > WIDTH - 5 for row in rows):
            raise NoTest("an example prints very long lines")
        else:
            body.lines += [left, *(f"    {row}," for row in rows), "]"]
    body.asserts += 1


def _blank(want: str) -> str:
    return want.replace("<BLANKLINE>", "")


def _raising(example: Example, node: ast.stmt, body: Body, loose: bool) -> None:
    exception, _, message = (example.raises or "").rstrip("\n").partition(":")
    name, message = exception.rsplit(".", 1)[-1].strip(), message.strip(" ")
    if not name.isidentifier():
        raise NoTest("an example wants an exception that has no name")
    if not hasattr(builtins, name):
        body.names.append(name)
    told = bool(message) and not loose and name != "KeyError" and "\n" not in message
    noqa = "  # noqa: B017" if name in ("Exception", "BaseException") else ""
    body.lines.append(f"with pytest.raises({name}){' as caught' if told else ''}:{noqa}")
    inner = formatted(node).split("\n")
    if len(inner) > 1:
        raise NoTest("an example that raises is a block")
    body.lines.append("    " + _line(inner[0], node, WIDTH - 4, bare=isinstance(node, ast.Expr)))
    if told:
        body.lines.append(_line(f"assert str(caught.value) == {written(message)}", ast.Pass()))
    body.asserts += 1


def _statement(node: ast.stmt, body: Body, used: set[str]) -> None:
    text = formatted(node)
    names = {
        one.id for one in ast.walk(node) if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)
    }
    if "\n" in text:
        if any(len(line) > WIDTH for line in text.split("\n")):
            raise NoTest("an example is a block of long lines")
        if '"""' in text:
            raise NoTest("an example is a block with a long string")
        if body.lines and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            body.lines.append("")
        body.lines += [
            "# fmt: off",
            *(f"{line}  # noqa" if line.strip() else "" for line in text.split("\n")),
            "# fmt: on",
        ]
        return
    body.lines.append(
        _line(
            text,
            node,
            bare=isinstance(node, ast.Expr),
            odd=bool(names - used) or bool(names & {"l", "O", "I"}),
        )
    )


def _line(text: str, node: ast.AST, width: int = WIDTH, bare: bool = False, odd: bool = False) -> str:
    """One line, with the word to linter and formatter that it needs."""
    plain = all(isinstance(one, PLAIN) for one in ast.walk(node)) and not isinstance(node, ast.Lambda)
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
    rewritten = any(isinstance(one.func, ast.Name) and one.func.id in REWRITTEN_BY_LINTERS for one in calls)
    constant = any(
        isinstance(one, ast.Constant) and isinstance(one.value, (float, complex)) and "e" in repr(one.value)
        for one in ast.walk(node)
    )
    useless = bare and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    marks = []
    if len(text) > width or (not plain and not isinstance(node, ast.Pass)) or constant:
        marks.append("# fmt: skip")
    if len(text) > width or rewritten or useless or odd or (not plain and not isinstance(node, ast.Pass)):
        marks.append("# noqa")
    if "\n" in text:
        raise NoTest("an example holds a long string")
    return "  ".join([text, *marks])
