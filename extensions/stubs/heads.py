"""The head of a function: `if amount < 0: raise ValueError`, `if not items: return []`. Each is an assertion as it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any

from ..source.modules import Function, Guard, Parameter
from . import values
from .model import Candidate
from .subject import Subject, awaited, own, plain, required, slug
from .values import Unknown, holds, samples, written


def tests(subject: Subject, one: Function, told: str) -> Iterator[Candidate]:
    """A test for each guard of `one` that tests one parameter: what it is called with to meet the guard, and what comes then."""
    if one.is_generator or not plain(one):
        return
    made = _object(subject, one)
    if made is None:
        return
    call, names, made_surely = made
    for number, guard in enumerate(one.guards):
        given = _meeting(subject, one, guard, one.guards[:number]) if guard.parameter else None
        if given is None:
            continue
        arguments, known, sure = given
        line = awaited(one, f"{call}({arguments})")
        more: dict[str, Any] = {"names": names, "imports": (("asyncio", ""),) if one.is_async else (), "sure": sure and made_surely}
        if guard.exception:
            exception = subject.exception(guard.exception)
            if exception is None:
                continue
            noqa = "  # noqa: B017" if exception in ("Exception", "BaseException") else ""
            body = [f"with pytest.raises({exception}):{noqa}", f"    {line}"]
            test = subject.test(
                one.qualname, "guard", "refuses_" + slug(guard.text), guard.line, told, body, uses=(guard.exception,), **more
            )
        else:
            try:
                answer = None if guard.answer is None else values.evaluated(guard.answer, known)
                body = [asserted(line, answer)]
            except Exception:  # whatever their literals raise together
                continue
            test = subject.test(one.qualname, "answer", "answers_" + slug(guard.text), guard.line, told, body, **more)
        if test:
            yield test


def asserted(call: str, value: Any) -> str:
    """The assertion that a call returns `value`. Raises Unknown for what has no literal."""
    if value is object:  # stands for object(), of which two are never equal
        raise Unknown
    return f"assert {call} {'is' if value is None or isinstance(value, bool) else '=='} {written(value)}"


def concrete(parameters: Iterable[Parameter]) -> str | None:
    """Arguments that fit the annotations, as text; None where one has none."""
    given: dict[str, Any] = {}
    parameters = tuple(parameters)
    for one in parameters:
        found = samples(one.annotation)
        if not found:
            return None
        given[one.name] = found[min(1, len(found) - 1)]
    try:
        return arguments(parameters, given)
    except Unknown:
        return None


def arguments(parameters: Iterable[Parameter], given: dict[str, Any]) -> str:
    """Arguments of a call: by position as long as none is left out. Raises Unknown for what can't be given."""
    parts: list[str] = []
    skipped = False
    for one in parameters:
        if one.name not in given:
            skipped = True
            continue
        text = written(given[one.name])
        if one.kind == "positional-only" and skipped:
            raise Unknown
        parts.append(f"{one.name}={text}" if one.kind == "keyword-only" or skipped else text)
    return ", ".join(parts)


def _object(subject: Subject, one: Function) -> tuple[str, tuple[str, ...], bool] | None:
    """What is called, the names that this needs, and whether getting there surely works; None where the source doesn't tell."""
    if one.kind == "method" and one.name == "__init__":
        return None if subject.maker(one.owner) is None else (one.owner, (one.owner.split(".")[0],), True)
    if one.name.startswith("_"):
        return None
    if one.kind == "method":
        needed = subject.maker(one.owner)
        text = None if needed is None else concrete(needed)
        if text is None:
            return None
        return f"{one.owner}({text}).{one.name}", (one.owner.split(".")[0],), False
    call = subject.callee(one)
    return None if call is None else (call, (call.split(".")[0],), True)


def _meeting(subject: Subject, one: Function, guard: Guard, before: tuple[Guard, ...]) -> tuple[str, dict[str, Any], bool] | None:
    """The arguments of a call that meets this guard and none before it: their text, all names as they are then, whether that is sure."""
    names = dict(subject.known)
    others: dict[str, Any] = {}
    sure = True
    parameters = own(one)
    needed = {parameter.name for parameter in required(one)}
    tested = next((p for p in parameters if p.name == guard.parameter), None)
    if tested is None or tested.kind.startswith("var-"):
        return None
    for parameter in parameters:
        if parameter.name == guard.parameter:
            continue
        if parameter.name in needed:
            choices = [*samples(parameter.annotation), *values.PROBES[:-1], "some text"]
            tests = [earlier for earlier in before if earlier.parameter == parameter.name]
            fitting = [
                value for value in choices if all(holds(t.condition, {**subject.known, parameter.name: value}) is False for t in tests)
            ]
            sure = sure and bool(fitting)
            names[parameter.name] = others[parameter.name] = (fitting or choices)[0]
        elif parameter.default is not None:
            try:
                names[parameter.name] = values.evaluated(ast.parse(parameter.default, mode="eval").body, subject.known)
            except Exception:  # as above
                names.pop(parameter.name, None)
    known = {guard.parameter, *names, *values.TYPES, *values.FUNCTIONS}
    if any(name not in known for name in guard.names):
        return None
    for value in [*samples(tested.annotation), *values.probes(guard.condition, subject.known)]:
        now = {**names, tested.name: value}
        if holds(guard.condition, now) is not True:
            continue
        state = [holds(earlier.condition, now) for earlier in before]
        if any(met is True for met in state):
            continue
        try:
            text = arguments(parameters, {**others, tested.name: value})
        except Unknown:
            continue
        return text, now, sure and all(met is False for met in state)
    return None
