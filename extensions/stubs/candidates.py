"""What can be asserted of a module, from its source alone, and of which functions nothing can.

Nothing of the project is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import replace

from ..project.git_and_files import shown
from ..source.docstrings import types
from ..source.modules import Class, Example, Function, Module
from . import classes, early_answers, examples, outside, returns
from .model import Candidate, Found, NoExpectedValue
from .subject import Subject, class_signature, own, signature
from .values import Unknown

LOCAL = ".<locals>."  # what Python puts between a function and those inside it


def find(module: Module, dotted: str = "", local: frozenset[str] = frozenset()) -> Found:
    """Everything that can be asserted of `module`, in the order of its source.

    `dotted` is the name by which a test imports it, "" where no import statement can; `local` are the first
    words of what is imported from the project itself, which is no outside.
    """
    subject = Subject(module, dotted, local)
    found: list[Candidate] = []
    without: list[NoExpectedValue] = []
    signatures: dict[str, str] = {}
    reached: dict[str, tuple[str, ...]] = {}
    count = 0
    _examples(subject, found, "", module.examples, 1, module.path.rsplit("/", 1)[-1])
    definitions: list[Class | Function] = [*module.classes, *module.functions]
    for one in sorted(definitions, key=lambda one: one.line):
        if one.nested or one.replaced:
            continue
        told = signatures[one.qualname] = class_signature(one) if isinstance(one, Class) else signature(one)
        if isinstance(one, Class):
            if one.qualname in subject.rebound:
                continue
            _examples(subject, found, one.qualname, one.examples, one.line, told)
            found += classes.tests(subject, one, told)
            continue
        count += 1
        if one.qualname.split(".")[0] in subject.rebound:
            without.append(NoExpectedValue(one.qualname, one.line, "its name is bound again", told))
            continue
        reason = _function(subject, found, _typed(one), told)
        reached[one.qualname] = outside.calls(subject, one)
        if reason:
            without.append(NoExpectedValue(one.qualname, one.line, reason, told, reached[one.qualname]))
    found += returns.round_trips(subject)
    asserted = {name for one in found for name in (one.qualname, *one.covers)}
    kept = tuple(one for one in without if one.qualname not in asserted)
    at = {one.line: class_signature(one).replace(LOCAL, ".") for one in module.classes}
    at |= {one.line: signature(one).replace(LOCAL, ".") for one in module.functions}
    elsewhere = {one.qualname.replace(LOCAL, "."): at[one.line] for one in module.functions if one.nested}
    return Found(
        tuple(sorted(found, key=lambda one: one.line)),
        kept,
        signatures,
        reached,
        elsewhere=elsewhere,
        at=at,
        functions=count,
        taken=subject.taken,
    )


def _function(subject: Subject, found: list[Candidate], one: Function, told: str) -> str:
    """Add what can be asserted of a function. The reason where nothing can, else empty."""
    before = len(found)
    reason = _examples(subject, found, one.qualname, one.examples, one.line, told, _prints(one))
    if one.conditional:
        reason = reason or f"defined only in `{shown(one.conditional)[:60]}`"
    elif one.name.startswith("_") and one.name != "__init__":
        reason = reason or "private"
    else:
        found += early_answers.tests(subject, one, told)
        found += outside.outages(subject, one, told)
        if one.name == "__init__" or one.kind == "property":
            reason = reason or returns.UNKNOWN_OBJECT
        else:
            test = returns.test(subject, one, told)
            if isinstance(test, Candidate):
                found.append(test)
            else:
                reason = reason or test
    return "" if len(found) > before else reason


def _typed(one: Function) -> Function:
    """A function with the types of its docstring where it has no annotations."""
    if one.docstring is None or (one.returns and all(parameter.annotation for parameter in own(one))):
        return one
    told = types(one.docstring)
    parameters = tuple(
        replace(p, annotation=p.annotation or told.parameters.get(p.name)) for p in one.parameters
    )
    return replace(one, returns=one.returns or told.returns or None, parameters=parameters)


def _examples(
    subject: Subject,
    found: list[Candidate],
    qualname: str,
    shown_ones: Iterable[Example],
    line: int,
    told: str,
    printing: bool = False,
) -> str:
    """Add the test of a docstring's examples. The reason where there are examples and no test, else empty."""
    shown_ones = tuple(shown_ones)
    if not shown_ones:
        return ""
    try:
        body = examples.body(
            shown_ones, {*subject.names, *filter(subject.known_name, subject.imports)}, printing
        )
    except examples.NoTest as reason:
        return str(reason)
    except (Unknown, RecursionError, ValueError, SyntaxError) as error:
        return f"its examples can't be written: {shown(str(error))[:60]}"
    label = qualname or "module"
    there = tuple(name for name in body.names if name in subject.names)
    test = subject.test(
        label, "examples", "examples", line, told, body.lines,
        {*body.names} - {*there}, names=there, imports=tuple(dict.fromkeys(body.imports)),
        fixtures=tuple(body.fixtures),
    )  # fmt: skip
    if test is None:
        return "its examples have very long lines"
    found.append(test)
    return ""


def _prints(one: Function) -> bool:
    """Whether a function always writes to stdout, and returns nothing that an example would show."""
    calls = [
        node.value
        for node in one.node.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    values = any(isinstance(node, ast.Return) and node.value for node in ast.walk(one.node))
    return not values and any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)
