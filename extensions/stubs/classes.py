"""Enums and dataclasses: their members, fields and defaults, as they stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from ..source.modules import Class
from . import values
from .early_answers import asserted
from .model import Candidate
from .subject import NOTHING, Subject
from .values import Unknown, samples, written


def tests(subject: Subject, one: Class, told: str) -> Iterator[Candidate]:
    """The tests of a class that always exists and that an importer may use."""
    if one.conditional or one.name.startswith("_"):
        return
    if one.enum:
        found = _enum(subject, one, told)
        if found:
            yield found
    elif one.dataclass:
        yield from _dataclass(subject, one, told)


def _enum(subject: Subject, one: Class, told: str) -> Candidate | None:
    methods = {node.name for node in one.node.body if isinstance(node, ast.FunctionDef)}
    if not one.members or methods & {
        "__new__",
        "__init__",
        "_generate_next_value_",
        "__eq__",
        "__hash__",
        "__getattribute__",
        "name",
        "value",
    }:
        return None
    if one.qualname in ("name", "value"):
        return None
    bases = {base.split(".")[-1] for base in one.bases}
    flags = bases & {"Flag", "IntFlag"}
    wanted: type = object
    for texts, kind in (
        ({"str", "StrEnum"}, str),
        ({"int", "IntEnum", "IntFlag", "Flag"}, int),
        ({"float"}, float),
    ):
        if bases & texts:
            wanted = kind
    if (
        not bases <= {"Enum", "StrEnum", "IntEnum", "Flag", "IntFlag", "str", "int", "float", "ReprEnum"}
        or one.node.keywords
        or one.decorators
    ):
        return None
    rows: list[tuple[str, ...]] = []
    autos: list[str] = []
    seen: dict[str, Any] = {}
    for member in one.members:
        if member.name.startswith("_"):
            continue
        try:
            value = values.evaluated(ast.parse(member.value, mode="eval").body, {**subject.known, **seen})
            if isinstance(value, (list, dict, set)) or not isinstance(value, wanted):
                raise Unknown
            rows.append((written(member.name), written(value)))
            seen[member.name] = value
        except Exception:  # auto(), or an expression that only running it would tell
            autos.append(member.name)
    if flags or any(
        isinstance(node, (ast.Assign, ast.AnnAssign)) and "_ignore_" in ast.unparse(node)
        for node in one.node.body
    ):
        if not flags or not rows:
            return None
        rows = [row for row in rows if row[1].isdecimal() and int(row[1]).bit_count() == 1]
    name = one.qualname
    if len(rows) == 1:
        ((member_name, text),) = rows
        body = [
            f"assert {name}[{member_name}].value == {text}",
            f"assert {name}({text}) is {name}[{member_name}]",
        ]
        return subject.test(name, "enum", "members", one.line, told, body, sure=True)
    if rows:
        body = [f"assert {name}[name].value == value", f"assert {name}(value) is {name}[name]"]
        rows = [row for row in rows if len(row[0]) + len(row[1]) < 100]
        if not rows:
            return None
        return subject.test(
            name,
            "enum",
            "members",
            one.line,
            told,
            body,
            parameters=("name", "value"),
            cases=tuple(rows),
            sure=True,
        )
    if autos and not methods:
        body = [f"assert {name}({name}[{written(autos[0])}].value) is {name}[{written(autos[0])}]"]
        return subject.test(name, "enum", "members", one.line, told, body, sure=False)
    return None


def _dataclass(subject: Subject, one: Class, told: str) -> Iterator[Candidate]:
    methods = {node.name for node in one.node.body if isinstance(node, ast.FunctionDef)}
    bases = {base.split("[")[0] for base in one.bases}
    options = one.decorators[0].replace(" ", "")
    if (
        not bases <= NOTHING
        or methods & {"__init__", "__new__", "__setattr__", "__getattribute__"}
        or len(one.decorators) != 1
    ):
        return
    if (
        one.node.keywords
        or "init=False" in options
        or any("InitVar" in field.annotation for field in one.fields)
    ):
        return
    if any(field.name.startswith("__") for field in one.fields):
        return
    given: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for field in one.fields:
        if field.required:
            found = samples(field.annotation)
            if not found:
                return
            given[field.name] = found[min(1, len(found) - 1)]
        elif field.init and field.default is not None:
            try:
                defaults[field.name] = _default(subject, field.default)
            except Exception:  # what only running it would tell
                continue
    properties = {
        f.name for f in subject.module.functions if f.owner == one.qualname and f.kind == "property"
    }
    instance = f"{one.qualname}({', '.join(f'{name}={written(value)}' for name, value in given.items())})"
    variable = "one" if one.qualname != "one" else "made"
    shown = {name: value for name, value in {**given, **defaults}.items() if name not in properties}
    try:
        lines = [asserted(f"{variable}.{name}", value) for name, value in shown.items()]
    except Unknown:
        return
    if lines:
        same = [] if "__eq__" in methods or "eq=False" in options else [f"assert {variable} == {instance}"]
        test = subject.test(
            one.qualname,
            "dataclass",
            "keeps_its_fields",
            one.line,
            told,
            [f"{variable} = {instance}", "", *lines, *same],
        )
        if test:
            yield test
    first = next(iter(shown), None)
    if one.frozen and first:
        body = [
            f"{variable} = {instance}",
            "",
            "with pytest.raises(FrozenInstanceError):",
            f"    {variable}.{first} = {written(shown[first])}",
        ]
        sure = "__post_init__" not in methods
        frozen = subject.test(
            one.qualname,
            "frozen",
            "is_frozen",
            one.line,
            told,
            body,
            imports=(("dataclasses", "FrozenInstanceError"),),
            sure=sure,
        )
        if frozen:
            yield frozen


def _default(subject: Subject, text: str) -> Any:
    """The value of a field that isn't given: of a literal, or of what a well-known factory makes.

    Raises for all else.
    """
    node = ast.parse(text, mode="eval").body
    if isinstance(node, ast.Call) and values.last_name(node.func) == "field":
        given = {word.arg: word.value for word in node.keywords}
        if "default" in given:
            return values.evaluated(given["default"], subject.known)
        factory = ast.unparse(given["default_factory"])
        return {"list": [], "dict": {}, "set": set()}[factory]
    return values.evaluated(node, subject.known)
