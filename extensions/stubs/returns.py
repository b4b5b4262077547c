"""Annotated returns and pairs that undo each other, held under Hypothesis: it chooses the values, the source says what must come."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..disk import shown
from ..source.modules import Function, Guard, Parameter
from . import outside, raising
from .annotations import Asserted, Strategy, strategy
from .model import Candidate
from .subject import Subject, awaited, own, plain, required, signature
from .values import formatted

UNKNOWN_OBJECT = "a method: the object that it needs isn't known"
WIDTH = 112  # of a line in the body of a test
SETTINGS = "@settings(derandomize=True, deadline=None)"  # what is green today hangs neither on chance nor on a busy machine
REFUSALS = 6  # exceptions of one function
CACHES = {"cache", "lru_cache", "functools.cache", "functools.lru_cache"}
PAIRS = (
    ("encode", "decode"),
    ("dumps", "loads"),
    ("serialize", "deserialize"),
    ("pack", "unpack"),
    ("quote", "unquote"),
    ("escape", "unescape"),
    ("compress", "decompress"),
    ("encrypt", "decrypt"),
    ("marshal", "unmarshal"),
    ("to", "from"),
)


def test(subject: Subject, one: Function, told: str) -> Candidate | str:
    """A test that what `one` returns is as annotated; or why there is none."""
    if one.is_generator:
        return "a generator without examples"
    if one.returns is None:
        return "unannotated"
    if one.returns.strip() in ("None", "NoReturn", "Never", "typing.NoReturn"):
        return "returns nothing"
    if raising.unwritten(one):
        return "not written: its body only says so"
    wanted = Asserted(subject, one.returns)
    if not wanted.lines:
        return f"returns {shown(one.returns)[:40]}, which the annotation alone doesn't test"
    if not plain(one) and {text.split("(")[0] for text in one.decorators} - CACHES - {"staticmethod", "classmethod"}:
        return f"decorated: what @{shown(one.decorators[0])[:40]} makes of it isn't known"
    reached = outside.calls(subject, one, clients=True)
    effect = outside.effect(one, reached)
    if effect or (reached and not subject.dotted):
        return f"side effects: it calls {effect or reached[0]}"
    maker: tuple[Parameter, ...] = ()
    call = subject.callee(one)
    if one.kind == "method":
        needed = subject.maker(one.owner)
        init = next((f for f in subject.module.functions if f.owner == one.owner and f.name == "__init__" and not f.replaced), None)
        if needed is None or (init and (outside.effect(init) or outside.calls(subject, init, clients=True))):
            return UNKNOWN_OBJECT
        maker, call = needed, f"{one.owner}({_passed(needed)}).{one.name}"
    if call is None:
        return "its class is defined conditionally"
    given = required(one) or tuple(p for p in own(one) if not p.kind.startswith("var-") and strategy(subject, p.annotation))
    drawn = [*maker, *given]
    if not drawn:
        return "takes nothing: calling it with its defaults shows little"
    strategies: dict[str, Strategy] = {}
    for parameter in drawn:
        found = strategy(subject, parameter.annotation)
        if found is None:
            what = f"{parameter.name}: {parameter.annotation}" if parameter.annotation else f"{parameter.name} is unannotated"
            return f"nothing makes values for {shown(what)[:60]}"
        strategies[parameter.name] = found
    if len(strategies) != len(drawn) or {*strategies} & {"result", "st", "holds", "patch", call.split(".")[0].split("(")[0]}:
        return "a parameter has the name of what the test needs"
    passed = given if required(one) else tuple(_named(p) for p in given)
    line = awaited(one, f"{call}({_passed(passed)})")
    refused = _refused(subject, one, {*strategies})
    body = _checked(line, wanted.lines, refused)
    if reached:
        patches = [f'patch("{subject.dotted}.{name}")' for name in reached]
        flat = f"with {', '.join(patches)}:"
        body = [flat if len(flat) < WIDTH else "", *(f"    {part}" for part in body)]
        if not body[0]:
            return f"side effects: it calls {reached[0]}"
    lines = held(strategies, body)
    imports = [*needs(bool(refused)), *((("unittest.mock", "patch"),) if reached else ()), *((("asyncio", ""),) if one.is_async else ())]
    uses = [*wanted.names, *(name for found in strategies.values() for name in found.names)]
    uses += [name for found in refused for name in (found.exception, *found.names)]
    made = subject.test(one.qualname, "returns", f"returns_{wanted.word}", one.line, told, lines, uses=uses, imports=tuple(imports))
    return made or "its test would have very long lines"


def round_trips(subject: Subject) -> Iterator[Candidate]:
    """A test for each pair of functions whose names say that one undoes the other."""
    functions = {one.name: one for one in subject.module.functions if one.kind == "function" and not one.nested and not one.replaced}
    for name, one in functions.items():
        other = next((functions[found] for found in _inverse(name) if found in functions), None)
        if other is None or name.startswith("_") or other.name.startswith("_"):
            continue
        if any(
            f.conditional or f.decorators or f.is_generator or outside.effect(f) or outside.calls(subject, f, clients=True)
            for f in (one, other)
        ):
            continue
        first, second = required(one), required(other)
        if any(len(found) != 1 or found[0].kind == "keyword-only" for found in (first, second)):
            continue
        annotation = first[0].annotation
        made = strategy(subject, annotation) if annotation else Strategy("st.text()")
        if made is None or (one.returns and second[0].annotation and one.returns != second[0].annotation):
            continue
        call = awaited(other, f"{other.name}({awaited(one, f'{one.name}(value)')})")
        refused = _refused(subject, one, set())
        lines = held({"value": made}, _checked(call, ["assert result == value"], refused))
        imports = (*needs(bool(refused)), *((("asyncio", ""),) if one.is_async or other.is_async else ()))
        told = signature(one)
        uses = [*made.names, *(found.exception for found in refused)]
        suffix, names = f"comes_back_from_{other.name}", (one.name, other.name)
        test = subject.test(
            one.qualname, "round trip", suffix, one.line, told, lines, uses, names=names, imports=imports, covers=(other.qualname,)
        )
        if test:
            yield test


def held(strategies: dict[str, Strategy], body: Sequence[str]) -> list[str]:
    """The body of a test that lets Hypothesis make the values."""
    parts = [f"{name}={made.text}" for name, made in strategies.items()]
    given = [f"@given({', '.join(parts)})"]
    if len(given[0]) > WIDTH - 4:
        given = ["@given(", *(f"    {part}," for part in parts), ")"]
    return [SETTINGS, *given, f"def holds({', '.join(strategies)}):", *(f"    {line}" for line in body), "", "holds()"]


def needs(rejects: bool) -> tuple[tuple[str, str], ...]:
    """What `held` has to import."""
    names = ["given", "settings", *(["reject"] if rejects else [])]
    return (*(("hypothesis", name) for name in names), ("hypothesis", "strategies as st"))


@dataclass
class _Refusal:
    """An exception that a function says it raises, the conditions under which it says so, and the names of the module in them."""

    exception: str
    conditions: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def _checked(call: str, lines: Iterable[str], refusals: Sequence[_Refusal]) -> list[str]:
    """Call and look at the result; values that the function says to refuse don't count, and Hypothesis is red where it finds no others."""
    made, lines = f"result = {call}", list(lines)
    if refusals:
        handlers = []
        for one in refusals:
            if one.conditions:
                handlers += [f"except {one.exception}:", f"    assert {' or '.join(one.conditions)}", "    reject()"]
        others = [one.exception for one in refusals if not one.conditions]
        if others:
            handlers += [f"except {others[0] if len(others) == 1 else '(' + ', '.join(others) + ')'}:", "    reject()"]
        return ["try:", f"    {made}", *handlers, *lines]
    flat = lines[0].replace("result", call)
    if len(lines) == 1 and lines[0].count("result") == 1 and len(flat) < 90:
        return [flat]
    return [made, *lines]


def _refused(subject: Subject, one: Function, drawn: set[str]) -> list[_Refusal]:
    """What a function may raise, as its body and docstring tell. Where only guards on `drawn` raise it, their conditions say when."""
    told = re.findall(r"\b[A-Z]\w*(?:Error|Exception)\b", one.docstring or "")
    indirect = raising.indirectly(subject, one)
    found: list[_Refusal] = []
    for name in dict.fromkeys([*one.raises, *told, *indirect]):
        known = subject.exception(name)
        if known is None or known.split(".")[-1] == "NotImplementedError" or len(found) == REFUSALS:
            continue
        refusal = _Refusal(known)
        guards = [guard for guard in one.guards if guard.exception == name]
        raised = sum(isinstance(node, ast.Raise) and node.exc is not None and _callee(node.exc) == name for node in ast.walk(one.node))
        if guards and len(guards) == raised and not raising.includes([*told, *indirect], name):
            texts = [_condition(subject, guard, drawn) for guard in guards]
            if all(texts):
                single = len(texts) == 1
                bare = [isinstance(guard.condition, (ast.BoolOp, ast.IfExp)) and not single for guard in guards]
                refusal.conditions = [f"({text})" if wrap else text for text, wrap in zip(texts, bare, strict=True)]
                refusal.names = [name for guard in guards for name in guard.names if name not in drawn]
        found.append(refusal)
    return found


def _condition(subject: Subject, guard: Guard, drawn: set[str]) -> str:
    """A condition as a test says it; "" where it reads what a test hasn't, or where linters would write it in another way."""
    for name in guard.names:
        if name not in drawn | {*subject.known} and (name in subject.names or not hasattr(builtins, name)):
            return ""
    if any(map(_restyled, ast.walk(guard.condition))):
        return ""
    text = formatted(guard.condition)
    return text if len(text) < 80 and "\n" not in text else ""


def _restyled(node: ast.AST) -> bool:
    """Whether linters want to see an expression written in another way, or might."""
    if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
        return any(isinstance(part, ast.Constant) and (part.value is None or isinstance(part.value, bool)) for part in node.comparators)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):  # `not a in b`
        return isinstance(node.operand, ast.Compare) and len(node.operand.ops) == 1
    return isinstance(node, (ast.NamedExpr, ast.Lambda, ast.Await, ast.JoinedStr, ast.Subscript))


def _callee(node: ast.expr) -> str:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)


def _named(one: Parameter) -> Parameter:
    """A parameter that is passed by its name, since one before it may be left out."""
    return one if one.kind == "positional-only" else Parameter(one.name, "keyword-only", one.annotation, one.default)


def _passed(parameters: Iterable[Parameter]) -> str:
    return ", ".join(f"{p.name}={p.name}" if p.kind == "keyword-only" else p.name for p in parameters)


def _inverse(name: str) -> Iterator[str]:
    """What the opposite of a function may be called: encode_id and decode_id, to_text and from_text, a_to_b and b_to_a."""
    words = name.split("_")
    for there, back in PAIRS:
        if there in words:
            yield "_".join(back if word == there else word for word in words)
    if len(words) >= 3 and "to" in words[1:-1]:
        middle = words.index("to", 1)
        yield "_".join([*words[middle + 1 :], "to", *words[:middle]])
