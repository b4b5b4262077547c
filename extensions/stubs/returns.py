"""Annotated returns and pairs that undo each other, held under Hypothesis: it chooses the values, the source says what must come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ..disk import shown
from ..source.modules import Function, Parameter
from . import outside
from .annotations import Asserted, Strategy, strategy
from .model import Candidate
from .subject import Subject, awaited, own, plain, required, signature

UNKNOWN_OBJECT = "a method: the object that it needs isn't known"
WIDTH = 112  # of a line in the body of a test
SETTINGS = "@settings(derandomize=True, deadline=None)"  # what is green today hangs neither on chance nor on a busy machine
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
    wanted = Asserted(subject, one.returns)
    if not wanted.lines:
        return f"returns {shown(one.returns)[:40]}, which the annotation alone doesn't test"
    if not plain(one) and {text.split("(")[0] for text in one.decorators} - CACHES - {"staticmethod", "classmethod"}:
        return f"decorated: what @{shown(one.decorators[0])[:40]} makes of it isn't known"
    reached = outside.calls(subject, one)
    effect = outside.effect(one, reached)
    if effect or (reached and not subject.dotted):
        return f"side effects: it calls {effect or reached[0]}"
    maker: tuple[Parameter, ...] = ()
    call = subject.callee(one)
    if one.kind == "method":
        needed = subject.maker(one.owner)
        init = next((f for f in subject.module.functions if f.owner == one.owner and f.name == "__init__" and not f.replaced), None)
        if needed is None or (init and (outside.effect(init) or outside.calls(subject, init))):
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
    refused = _refused(subject, one)
    body = _checked(line, wanted.lines, refused)
    if reached:
        patches = [f'patch("{subject.dotted}.{name}")' for name in reached]
        flat = f"with {', '.join(patches)}:"
        body = [flat if len(flat) < WIDTH else "", *(f"    {part}" for part in body)]
        if not body[0]:
            return f"side effects: it calls {reached[0]}"
    lines = held(strategies, body)
    imports = [*needs(bool(refused)), *((("unittest.mock", "patch"),) if reached else ()), *((("asyncio", ""),) if one.is_async else ())]
    uses = [*wanted.names, *(name for found in strategies.values() for name in found.names), *refused]
    made = subject.test(one.qualname, "returns", f"returns_{wanted.word}", one.line, told, lines, uses=uses, imports=tuple(imports))
    return made or "its test would have very long lines"


def round_trips(subject: Subject) -> Iterator[Candidate]:
    """A test for each pair of functions whose names say that one undoes the other."""
    functions = {one.name: one for one in subject.module.functions if one.kind == "function" and not one.nested and not one.replaced}
    for name, one in functions.items():
        other = next((functions[found] for found in _inverse(name) if found in functions), None)
        if other is None or name.startswith("_") or other.name.startswith("_"):
            continue
        if any(f.conditional or f.decorators or f.is_generator or outside.effect(f) or outside.calls(subject, f) for f in (one, other)):
            continue
        first, second = required(one), required(other)
        if any(len(found) != 1 or found[0].kind == "keyword-only" for found in (first, second)):
            continue
        annotation = first[0].annotation
        made = strategy(subject, annotation) if annotation else Strategy("st.text()")
        if made is None or (one.returns and second[0].annotation and one.returns != second[0].annotation):
            continue
        call = awaited(other, f"{other.name}({awaited(one, f'{one.name}(value)')})")
        refused = _refused(subject, one)
        lines = held({"value": made}, _checked(call, ["assert result == value"], refused))
        imports = (*needs(bool(refused)), *((("asyncio", ""),) if one.is_async or other.is_async else ()))
        told = signature(one)
        test = subject.test(
            one.qualname, "round trip", f"comes_back_from_{other.name}", one.line, told, lines,
            uses=[*made.names, *refused], names=(one.name, other.name), imports=imports, covers=(other.qualname,),
        )  # fmt: skip
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


def _checked(call: str, lines: Iterable[str], refused: Sequence[str]) -> list[str]:
    """Call and look at the result; values that the function says to refuse don't count, and Hypothesis is red where it finds no others."""
    made = f"result = {call}"
    if refused:
        types = refused[0] if len(refused) == 1 else f"({', '.join(refused)})"
        return ["try:", f"    {made}", f"except {types}:", "    reject()", *lines]
    lines = list(lines)
    flat = lines[0].replace("result", call)
    if len(lines) == 1 and lines[0].count("result") == 1 and len(flat) < 90:
        return [flat]
    return [made, *lines]


def _refused(subject: Subject, one: Function) -> list[str]:
    """The exceptions that a function says it raises: in its body, or in its docstring."""
    told = re.findall(r"\b[A-Z]\w*(?:Error|Exception)\b", one.docstring or "")
    names = dict.fromkeys([*one.raises, *told])
    never = {"AssertionError", "NotImplementedError"}
    found = [known for name in names if (known := subject.exception(name)) and known.split(".")[-1] not in never]
    return found[:4]


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
