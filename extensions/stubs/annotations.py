"""Annotations: the Hypothesis strategy that makes such values, and what can be asserted of a value that is
returned as annotated.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from ..source.modules import Class
from .subject import Subject
from .values import last_name, written

DEEP = 2  # dataclasses within dataclasses
NUMBERS = "-1000, 1000"  # larger ones tell no more of a type, and `"x" * number` would fill the memory
STRATEGIES = {
    "int": f"st.integers({NUMBERS})",
    "float": f"st.floats({NUMBERS})",
    "str": "st.text()",
    "bool": "st.booleans()",
    "bytes": "st.binary()",
    "None": "st.none()",
    "datetime.datetime": "st.datetimes()",
    "datetime.date": "st.dates()",
    "datetime.time": "st.times()",
    "datetime.timedelta": "st.timedeltas()",
    "decimal.Decimal": f"st.decimals({NUMBERS}, places=2)",
    "uuid.UUID": "st.uuids()",
}
LISTS = {"list", "List", "Sequence", "Iterable", "Collection"}
SETS = {"set": "sets", "Set": "sets", "frozenset": "frozensets", "FrozenSet": "frozensets"}
MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping"}
BUILTINS = {"str", "int", "float", "bool", "bytes", "complex", "list", "dict", "tuple", "set", "frozenset"}
OLD = {"Dict": "dict", "List": "list", "Tuple": "tuple", "Set": "set", "FrozenSet": "frozenset"}
STANDARD = {
    "datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta", "decimal.Decimal",
    "uuid.UUID", "pathlib.Path",
    "fractions.Fraction",
}  # fmt: skip
SHAPELESS = {"Protocol", "TypedDict", "NamedTuple"}  # bases whose isinstance asks another question, or none


class Strategy:
    """Text that makes values, and the names of the module that it uses."""

    def __init__(self, text: str, *names: str) -> None:
        self.text, self.names = text, names


def strategy(subject: Subject, annotation: str | None, deep: int = DEEP) -> Strategy | None:
    """What makes values of an annotation; None where it speaks of what nobody knows how to make."""
    node = _parsed(annotation)
    return None if node is None else _strategy(subject, node, deep)


def _strategy(subject: Subject, node: ast.expr, deep: int) -> Strategy | None:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return strategy(subject, node.value, deep)
        return Strategy("st.none()") if node.value is None else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _either(subject, [node.left, node.right], deep)
    if not isinstance(node, ast.Subscript):
        name = _resolved(subject, node)
        if name in STRATEGIES:
            return Strategy(STRATEGIES[name])
        found = subject.classes.get(name)
        return None if found is None else _of_class(subject, found, deep)
    name = last_name(node.value)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        return _sampled(parts)
    if name == "Annotated":
        return _strategy(subject, parts[0], deep)
    if name == "Optional":
        return _either(subject, [ast.Constant(None), *parts], deep)
    if name == "Union":
        return _either(subject, parts, deep)
    endless = len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is Ellipsis
    inner = [_strategy(subject, one, deep) for one in parts[: 1 if endless else None]]
    known = [one for one in inner if one is not None]
    if len(known) != len(inner) or not known:
        return None
    names = [name for one in known for name in one.names]
    texts = ", ".join(one.text for one in known)
    if name in LISTS and len(known) == 1:
        return Strategy(f"st.lists({texts})", *names)
    if name in SETS and len(known) == 1:
        return Strategy(f"st.{SETS[name]}({texts})", *names)
    if name in MAPPINGS and len(known) == 2:
        return Strategy(f"st.dictionaries({texts})", *names)
    if name in ("tuple", "Tuple"):
        return Strategy(f"st.lists({texts}).map(tuple)" if endless else f"st.tuples({texts})", *names)
    return None


def _either(subject: Subject, nodes: Iterable[ast.expr], deep: int) -> Strategy | None:
    found = [_strategy(subject, one, deep) for one in nodes]
    known = [one for one in found if one is not None]
    if len(known) != len(found):
        return None
    return Strategy(
        " | ".join(dict.fromkeys(one.text for one in known)), *(name for one in known for name in one.names)
    )


def _sampled(parts: Iterable[ast.expr]) -> Strategy | None:
    values = [one.value for one in parts if isinstance(one, ast.Constant)]
    return Strategy(f"st.sampled_from([{', '.join(written(value) for value in values)}])") if values else None


def _of_class(subject: Subject, found: Class, deep: int) -> Strategy | None:
    """Members of an enum; objects of a dataclass, whose fields are made one by one."""
    if found.conditional or found.nested:
        return None
    head = found.qualname.split(".")[0]
    if found.enum and found.members:
        return Strategy(f"st.sampled_from({found.qualname})", head)
    needed = subject.maker(found.qualname) if found.dataclass else None
    if needed is None or not deep:
        return None
    parts, names = [], [head]
    for one in needed:
        values = strategy(subject, one.annotation, deep - 1)
        if values is None:
            return None
        parts.append(f"{one.name}={values.text}")
        names += values.names
    return Strategy(f"st.builds({', '.join([found.qualname, *parts])})", *names)


class Asserted:
    """What is asserted of `result`: lines, and the names of the module and of the standard library that they
    use.
    """

    def __init__(self, subject: Subject, annotation: str | None) -> None:
        """`lines` is empty where the annotation alone tests nothing; `word` is what a test's name says of
        it.
        """
        self.subject = subject
        self.names: list[str] = []
        self.imports: list[tuple[str, str]] = []
        self.word = ""
        node = _parsed(annotation)
        self.lines: tuple[str, ...] = () if node is None else tuple(self._lines(node))

    def _lines(self, node: ast.expr) -> list[str]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            inner = _parsed(node.value)
            return [] if inner is None else self._lines(inner)
        if isinstance(node, ast.Subscript) and last_name(node.value) == "Literal":
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            values = [one.value for one in parts if isinstance(one, ast.Constant)]
            self.word = "one_of_its_values"
            return (
                [f"assert result in [{', '.join(written(value) for value in values)}]"]
                if len(values) == len(parts)
                else []
            )
        kinds = list(dict.fromkeys(self._kinds(node)))
        if not kinds or kinds == ["None"]:
            return []
        self.word = "_or_".join(
            kind.replace(".", "_") for kind in kinds if not (kind == "int" and "float" in kinds)
        )
        checks = " | ".join(kind for kind in kinds if kind != "None")
        lines = [f"assert {'result is None or ' if 'None' in kinds else ''}isinstance(result, {checks})"]
        return lines + (self._items(node) if "None" not in kinds else [])

    def _items(self, node: ast.expr) -> list[str]:
        """The same of what a list, set or dict holds."""
        if not isinstance(node, ast.Subscript):
            return []
        name = OLD.get(last_name(node.value), last_name(node.value))
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        endless = name == "tuple" and len(parts) == 2 and isinstance(parts[1], ast.Constant)
        if (name in ("list", "set", "frozenset") and len(parts) == 1) or endless:
            over, item = "result", parts[0]
        elif name == "dict" and len(parts) == 2:
            over, item = "result.values()", parts[1]
        else:
            return []
        before = (len(self.names), len(self.imports))
        kinds = list(dict.fromkeys(self._kinds(item)))
        if not kinds or "None" in kinds:
            del self.names[before[0] :], self.imports[before[1] :]
            return []
        return [f"assert all(isinstance(one, {' | '.join(kinds)}) for one in {over})"]

    def _kinds(self, node: ast.expr) -> list[str]:
        """What isinstance is asked: builtins, a few of the standard library, and the module's own classes;
        empty for all else.
        """
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                inner = _parsed(node.value)
                return [] if inner is None else self._kinds(inner)
            return ["None"] if node.value is None else []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._all([node.left, node.right])
        if isinstance(node, ast.Subscript):
            name = last_name(node.value)
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if name == "Annotated":
                return self._kinds(parts[0])
            if name == "Optional":
                return self._all([parts[0], ast.Constant(None)])
            if name == "Union":
                return self._all(parts)
            name = OLD.get(name, name)
            return [name] if name in BUILTINS else []
        name = _resolved(self.subject, node).removeprefix("typing.")
        name = OLD.get(name, name)
        if name == "float":
            return ["float", "int"]  # PEP 484: an int is fine where a float is
        if name in BUILTINS:
            return [name]
        text = ast.unparse(node)
        found = self.subject.classes.get(text)
        own = (
            found
            and not found.conditional
            and not found.nested
            and not {base.split(".")[-1].split("[")[0] for base in found.bases} & SHAPELESS
        )
        if own or name in STANDARD:
            self.names.append(text)
            return [text]
        return []

    def _all(self, nodes: Iterable[ast.expr]) -> list[str]:
        each = [self._kinds(one) for one in nodes]
        return [kind for one in each for kind in one] if all(each) else []


def _parsed(annotation: str | None) -> ast.expr | None:
    try:
        return ast.parse((annotation or "").strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None


def _resolved(subject: Subject, node: ast.expr) -> str:
    """A name as it was imported: with `from datetime import date`, "date" is "datetime.date"; "" for what is
    no name.
    """
    if isinstance(node, ast.Name):
        bound = subject.imports.get(node.id)
        if bound is None or node.id in subject.classes:
            return node.id if node.id in subject.classes or node.id not in subject.names else ""
        return bound.module if bound.attribute is None else f"{bound.module}.{bound.attribute}"
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        bound = subject.imports.get(node.value.id)
        if bound is not None:
            return f"{bound.module}.{node.attr}" if bound.attribute is None else ""
        return f"{node.value.id}.{node.attr}"
    return ""
