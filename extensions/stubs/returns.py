"""Annotated returns and pairs that undo each other, tested with Hypothesis: it chooses the values, the source
says what must come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..project.git_and_files import shown
from ..source.modules import Function, Parameter
from . import outside, raising, refusals
from .annotations import Asserted, Strategy, strategy
from .model import Candidate, Kind
from .refusals import Refusal
from .subject import Subject, awaited, own, plain, required, signature

UNKNOWN_OBJECT = "a method: the object that it needs isn't known"
WIDTH = 112  # of a line in the body of a test
# What is green today hangs neither on chance nor on a busy machine.
SETTINGS = "@settings(derandomize=True, deadline=None)"
RESERVED = {"given", "holds", "patch", "pytest", "reject", "settings", "st"}
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


@dataclass
class _Property:
    """What is to hold: a call with values that strategies make, and the assertions about its `result`."""

    call: str
    strategies: dict[str, Strategy]
    asserts: Sequence[str]
    uses: list[str]
    is_async: bool = False

    def body(self, refused: Sequence[Refusal]) -> list[str]:
        """The body of the test, in which `refused` values don't count."""
        lines = _checked(self.call, self.asserts, refused)
        parts = [f"{name}={made.text}" for name, made in self.strategies.items()]
        given = [f"@given({', '.join(parts)})"]
        if len(given[0]) > WIDTH - 4:
            given = ["@given(", *(f"    {part}," for part in parts), ")"]
        return [
            SETTINGS,
            *given,
            f"def holds({', '.join(self.strategies)}):",
            *(f"    {line}" for line in lines),
            "",
            "holds()",
        ]

    def imports(self, refused: Sequence[Refusal]) -> tuple[tuple[str, str], ...]:
        """What that needs besides the module."""
        names = ["given", "settings", *(["reject"] if refused else []), "strategies as st"]
        return (*(("hypothesis", name) for name in names), *([("asyncio", "")] if self.is_async else []))


def test(subject: Subject, one: Function, told: str) -> Candidate | str:
    """A test that what `one` returns is as annotated; or why there is none."""
    reason = _without_expected_value(one)
    if reason:
        return reason
    wanted = Asserted(subject, one.returns)
    if not wanted.lines:
        return f"returns {shown(one.returns or '')[:40]}, which the annotation alone doesn't test"
    reached = outside.reached(subject, one)
    if reached:
        return f"side effects: it calls {reached}"
    of_object: tuple[Parameter, ...] = ()
    callee = subject.callee(one)
    if one.kind == "method":
        needed = subject.maker(one.owner)
        if needed is None or any(outside.reached(subject, f) for f in _makers(subject, one)):
            return UNKNOWN_OBJECT
        of_object, callee = needed, f"{one.owner}({_passed(needed)}).{one.name}"
    if callee is None:
        return "its class is defined conditionally"
    # Where nothing has to be given, what may be is.
    optional = [
        _named(p) for p in own(one) if not p.kind.startswith("var-") and strategy(subject, p.annotation)
    ]
    given = required(one) or tuple(optional)
    drawn = [*of_object, *given]
    if not drawn:
        return "takes nothing: calling it with its defaults shows little"
    strategies: dict[str, Strategy] = {}
    for parameter in drawn:
        found = strategy(subject, parameter.annotation)
        if found is None:
            what = (
                f"{parameter.name}: {parameter.annotation}"
                if parameter.annotation
                else f"{parameter.name} is unannotated"
            )
            return f"nothing makes values for {shown(what)[:60]}"
        strategies[parameter.name] = found
    if len(strategies) != len(drawn) or {*strategies} & {
        "result",
        "l",
        "O",
        "I",
        *RESERVED,
        callee.split(".")[0].split("(")[0],
    }:
        return "a parameter has a name that the test needs, or that linters refuse"
    if callee.split(".")[0].split("(")[0] in RESERVED:
        return "it has a name that the test needs"
    line = awaited(one, f"{callee}({_passed(given)})")
    holds = _Property(line, strategies, wanted.lines, wanted.names, one.is_async)
    return (
        _test(subject, one, "returns", f"returns_{wanted.word}", told, holds)
        or "its test would have very long lines"
    )


def _without_expected_value(one: Function) -> str:
    """Why a function's annotation is nothing to hold it to; empty where it is."""
    if one.is_generator:
        return "a generator without examples"
    if one.returns is None:
        return "unannotated"
    if one.returns.strip() in ("None", "NoReturn", "Never", "typing.NoReturn"):
        return "returns nothing"
    if raising.unwritten(one):
        return "not written: its body only says so"
    if not plain(one) and {text.split("(")[0] for text in one.decorators} - CACHES - {
        "staticmethod",
        "classmethod",
    }:
        return f"decorated: what @{shown(one.decorators[0])[:40]} makes of it isn't known"
    return ""


def round_trips(subject: Subject) -> Iterator[Candidate]:
    """A test for each pair of functions whose names say that one undoes the other."""
    functions = {
        one.name: one
        for one in subject.module.functions
        if one.kind == "function" and not one.nested and not one.replaced
    }
    for name, one in functions.items():
        other = next((functions[found] for found in _inverse(name) if found in functions), None)
        if (
            other is None
            or name.startswith("_")
            or other.name.startswith("_")
            or any(_is_closed(subject, f) for f in (one, other))
        ):
            continue
        first, second = required(one), required(other)
        if any(len(found) != 1 or found[0].kind == "keyword-only" for found in (first, second)):
            continue
        annotation = first[0].annotation
        values = strategy(subject, annotation) if annotation else Strategy("st.text()")
        if values is None or (one.returns and second[0].annotation and one.returns != second[0].annotation):
            continue
        # Only what goes in may be refused.
        back = [f"assert {awaited(other, f'{other.name}(result)')} == value"]
        holds = _Property(
            awaited(one, f"{one.name}(value)"), {"value": values}, back, [], one.is_async or other.is_async
        )
        test = _test(
            subject, one, "round trip", f"comes_back_from_{other.name}", signature(one), holds, other.qualname
        )
        if test:
            yield test


def _is_closed(subject: Subject, one: Function) -> bool:
    """Whether a function can't simply be called with a value."""
    return bool(
        one.conditional
        or one.decorators
        or one.is_generator
        or one.name in RESERVED
        or outside.reached(subject, one)
    )


def _makers(subject: Subject, one: Function) -> list[Function]:
    """What runs when the object of a method is made."""
    if one.kind != "method":
        return []
    return [
        f
        for name in ("__init__", "__post_init__")
        for f in subject.by_name.get(name, ())
        if f.owner == one.owner
    ]


def _test(
    subject: Subject, one: Function, kind: Kind, suffix: str, told: str, holds: _Property, *covers: str
) -> Candidate | None:
    """The test, in which only what the function says to refuse doesn't count; it falls back on one in which
    nothing counts that it is seen to raise.
    """
    uses = [*holds.uses, *(name for drawn in holds.strategies.values() for name in drawn.names)]
    names = tuple(name.split(".")[0] for name in (one.qualname, *covers))

    def candidate(refused: Sequence[Refusal], name: str = "") -> Candidate | None:
        needed = [*uses, *(used for refusal in refused for used in (refusal.exception, *refusal.names))]
        body, imports = holds.body(refused), holds.imports(refused)
        return subject.test(
            one.qualname,
            kind,
            suffix,
            one.line,
            told,
            body,
            needed,
            names=names,
            imports=imports,
            covers=covers,
            name=name,
        )

    said = refusals.said(subject, [one, *_makers(subject, one)], {*holds.strategies})
    seen = refusals.seen(subject, [one, *_makers(subject, one)], said)
    test = candidate(said)
    return test and replace(test, fallback=candidate(seen, test.name) if seen != said else None)


def _checked(call: str, lines: Iterable[str], refusals: Sequence[Refusal]) -> list[str]:
    """Call and look at the result; values that the function says to refuse don't count, and Hypothesis is red
    where it finds no others.
    """
    called, lines = f"result = {call}", list(lines)
    if refusals:
        handlers = []
        for one in refusals:
            if one.conditions:
                handlers += [
                    f"except {one.exception}:",
                    f"    assert {' or '.join(one.conditions)}",
                    "    reject()",
                ]
        others = [one.exception for one in refusals if not one.conditions]
        if others:
            handlers += [
                f"except {others[0] if len(others) == 1 else '(' + ', '.join(others) + ')'}:",
                "    reject()",
            ]
        return ["try:", f"    {called}", *handlers, *lines]
    flat = lines[0].replace("result", call)
    if len(lines) == 1 and lines[0].count("result") == 1 and len(flat) < 90:
        return [flat]
    return [called, *lines]


def _named(one: Parameter) -> Parameter:
    """A parameter that is passed by its name, since one before it may be left out."""
    return (
        one
        if one.kind == "positional-only"
        else Parameter(one.name, "keyword-only", one.annotation, one.default)
    )


def _passed(parameters: Iterable[Parameter]) -> str:
    return ", ".join(f"{p.name}={p.name}" if p.kind == "keyword-only" else p.name for p in parameters)


def _inverse(name: str) -> Iterator[str]:
    """What the opposite of a function may be called: encode_id and decode_id, to_text and from_text, a_to_b
    and b_to_a.
    """
    words = name.split("_")
    for there, back in PAIRS:
        if there in words:
            yield "_".join(back if word == there else word for word in words)
    if len(words) >= 3 and "to" in words[1:-1]:
        middle = words.index("to", 1)
        yield "_".join([*words[middle + 1 :], "to", *words[:middle]])
