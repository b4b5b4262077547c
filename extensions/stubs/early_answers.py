"""The head of a function: `if amount < 0: raise ValueError`, `if not items: return []`, and a simple return
after them.

Each is an assertion as it stands.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..source.modules import Function, Guard, Parameter
from . import values
from .model import Candidate, Kind
from .subject import Subject, awaited, own, plain, required
from .values import Unknown, holds, samples, written
from .wording import in_words


def tests(subject: Subject, one: Function, told: str) -> Iterator[Candidate]:
    """A test for each guard of `one` that tests one parameter, and for what is left where nothing but a
    simple return follows them.
    """
    if one.is_generator or not plain(one):
        return
    callee = _object(subject, one)
    if callee is None:
        return
    for number, guard in enumerate(one.guards):
        given = _meeting(subject, one, guard.parameter, guard.condition, one.guards[:number])
        if given is None:
            continue
        call, more = _called(subject, one, callee, given)
        more["sure"] = (
            more["sure"]
            and guard.plain
            and (not guard.exception or subject.raises_surely(guard.exception, one.is_async))
        )
        try:
            body = (
                _refused(subject, guard, call) if guard.exception else [_answered(call, guard.answer, given)]
            )
        except Exception:  # whatever their literals raise together
            continue
        kind: Kind = "guard" if guard.exception else "answer"
        suffix = "rejects_" if guard.exception else "with_"
        uses = [guard.exception] if guard.exception else []
        test = subject.test(
            one.qualname, kind, suffix + in_words(guard.condition), guard.line, told, body, uses=uses, **more
        )
        if test:
            yield test
    yield from _answer_after_guards(subject, one, told, callee)


def _answer_after_guards(subject: Subject, one: Function, told: str, callee: _Callee) -> Iterator[Candidate]:
    """The test of a function whose guards are followed by `return` and a constant, or a comparison: as it
    holds, and as it doesn't.
    """
    *head, last = one.node.body
    docstring = one.node.body[0] if one.docstring is not None else None
    conditions = [guard.condition for guard in one.guards]
    plainly = all(
        node is docstring or isinstance(node, (ast.Import, ast.ImportFrom)) or _is_guard(node, conditions)
        for node in head
    )
    if not isinstance(last, ast.Return) or last.value is None or not plainly:
        return
    expression = last.value
    if isinstance(expression, (ast.Compare, ast.BoolOp)) or (
        isinstance(expression, ast.UnaryOp) and isinstance(expression.op, ast.Not)
    ):
        read = {name.id for name in ast.walk(expression) if isinstance(name, ast.Name)} & {
            p.name for p in own(one)
        }
        tested = read.pop() if len(read) == 1 else None
        wanted: tuple[ast.expr, ...] = (expression, ast.UnaryOp(ast.Not(), expression))
        suffix = "tells_whether_" + in_words(expression)
        near: ast.expr = expression
    elif one.guards:
        tested, wanted, suffix, near = (
            one.guards[-1].parameter,
            (ast.Constant(True),),
            "otherwise",
            one.guards[-1].condition,
        )
    else:
        return
    found = [
        given
        for condition in wanted
        if (given := _meeting(subject, one, tested, condition, one.guards, near))
    ]
    try:
        body = [_answered(_called(subject, one, callee, given)[0], expression, given) for given in found]
    except Exception:  # as above
        return
    if body:
        more = _called(subject, one, callee, found[0])[1] | {
            "sure": all(_called(subject, one, callee, one_)[1]["sure"] for one_ in found)
        }
        test = subject.test(one.qualname, "answer", suffix, last.lineno, told, body, **more)
        if test:
            yield test


def _is_guard(node: ast.stmt, conditions: list[ast.expr]) -> bool:
    """Whether a statement is nothing but guards: each test of it is one of these, and no `else` follows."""
    while isinstance(node, ast.If) and any(node.test is one for one in conditions):
        if len(node.orelse) != 1:
            return not node.orelse
        node = node.orelse[0]
    return False


def _called(subject: Subject, one: Function, callee: _Callee, given: _Given) -> tuple[str, dict[str, Any]]:
    """The call of a test, and what its Candidate says besides."""
    call = awaited(one, f"{callee.call}({given.arguments})")
    return call, {
        "names": callee.names,
        "imports": (("asyncio", ""),) if one.is_async else (),
        "sure": given.sure and callee.sure,
    }


def _refused(subject: Subject, guard: Guard, call: str) -> list[str]:
    exception = subject.exception(guard.exception)
    if exception is None:
        raise Unknown
    noqa = "  # noqa: B017" if exception in ("Exception", "BaseException") else ""
    return [f"with pytest.raises({exception}):{noqa}", f"    {call}"]


def _answered(call: str, answer: ast.expr | None, given: _Given) -> str:
    return asserted(call, None if answer is None else values.evaluated(answer, given.names))


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
    """Arguments of a call: by position as long as none is left out. Raises Unknown for what can't be
    given.
    """
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


class _Callee(NamedTuple):
    """What is called, the names that it takes, and whether getting there surely works."""

    call: str
    names: tuple[str, ...]
    sure: bool


class _Given(NamedTuple):
    """The arguments of a call, all names as they are in it, and whether it surely comes to the place that is
    meant.
    """

    arguments: str
    names: dict[str, Any]
    sure: bool


def _object(subject: Subject, one: Function) -> _Callee | None:
    """How a function is called; None where the source doesn't tell."""
    names = ((one.owner or one.qualname).split(".")[0],)
    if one.kind == "method" and one.name == "__init__":
        return None if subject.maker(one.owner) is None else _Callee(one.owner, names, True)
    if one.name.startswith("_"):
        return None
    if one.kind == "method":
        needed = subject.maker(one.owner)
        text = None if needed is None else concrete(needed)
        return None if text is None else _Callee(f"{one.owner}({text}).{one.name}", names, False)
    call = subject.callee(one)
    return None if call is None else _Callee(call, names, True)


def _meeting(
    subject: Subject,
    one: Function,
    tested: str | None,
    condition: ast.expr,
    before: tuple[Guard, ...],
    near: ast.expr | None = None,
) -> _Given | None:
    """A call with which `condition`, on the parameter `tested`, holds, and no guard before it.

    With `near` the value is close to what that compares with, and it is sure that no guard is met.
    """
    parameter = next((p for p in own(one) if p.name == tested), None)
    if parameter is None or parameter.kind.startswith("var-"):
        return None
    names, others, fit = _others(subject, one, parameter, before)
    read = {
        node.id for part in (condition, near) if part for node in ast.walk(part) if isinstance(node, ast.Name)
    }
    builtin = {*values.TYPES, *values.FUNCTIONS} - subject.names
    if read - {parameter.name, *names, *builtin}:
        return None
    # What is mutable may be another by then.
    sure = fit and not any(isinstance(value, (list, dict, set)) for value in subject.known.values())
    usual = samples(parameter.annotation)
    for value in (
        [*values.near(near, subject.known), *usual, *values.PROBES]
        if near
        else [*usual, *values.probes(condition, subject.known)]
    ):
        if value is object and read & {"callable", "type"}:
            continue  # a test gives an object, not the class
        now = {**names, parameter.name: value}
        state = [holds(earlier.condition, now) for earlier in before]
        if holds(condition, now) is not True or any(met is not False if near else met for met in state):
            continue
        try:
            text = arguments(own(one), {**others, parameter.name: value})
        except Unknown:
            continue
        return _Given(text, now, sure and all(met is False for met in state))
    return None


def _others(
    subject: Subject, one: Function, tested: Parameter, before: tuple[Guard, ...]
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """All names but the tested parameter as they are in a call, those of them that it is given, and whether
    none of these meets a guard.
    """
    names = dict(subject.known)
    others: dict[str, Any] = {}
    fit = True
    needed = {parameter.name for parameter in required(one)}
    for parameter in own(one):
        names.pop(parameter.name, None)
        if parameter is tested:
            continue
        if parameter.name in needed:
            choices = [*samples(parameter.annotation), *values.PROBES[:-1], "some text"]
            tests = [earlier for earlier in before if earlier.parameter == parameter.name]
            fitting = [
                value
                for value in choices
                if all(holds(t.condition, {**subject.known, parameter.name: value}) is False for t in tests)
            ]
            fit = fit and bool(fitting)
            names[parameter.name] = others[parameter.name] = (fitting or choices)[0]
        elif parameter.default is not None:
            try:
                names[parameter.name] = values.evaluated(
                    ast.parse(parameter.default, mode="eval").body, subject.known
                )
            except Exception:  # what only running it would tell
                continue
    return names, others, fit
