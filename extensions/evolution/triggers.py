"""The language of triggers: when a level or a flag is due, as in `when_team_size > 2 OR deployment_frequency
> weekly`.

    trigger    = [ "when" ] any
    any        = all { "or" all }
    all        = one { "and" one }
    one        = "not" one | "(" any ")" | comparison
    comparison = metric ( ">" | ">=" | "<" | "<=" | "==" | "!=" ) quantity | metric | flag ".enabled"

Three values, after Kleene: true, false and unknown (None). The metrics, their dimensions and units stand in
registry.py.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from ..errors import Refused
from ..project.git_and_files import shown as escaped
from . import registry
from .registry import Metric

MAX_DEPTH = 50  # of parentheses and nots: more than people write, less than Python's stack
MAX_LENGTH = 10_000  # characters

TOKEN = re.compile(
    r"""(?P<quantity> [0-9] [\w.]* (?:\s*%)? )
      | (?P<word> [^\W0-9] [\w.]* )
      | (?P<sign> [<>=!&|]+ )
      | (?P<paren> [()] )
      | (?P<other> \S )""",
    re.VERBOSE,
)
QUANTITY = re.compile(r"(\d+(?:_\d{3})*(?:\.\d+)?)(?:_([A-Za-z_]+)|\s*(%))?", re.ASCII)
FLAG = re.compile(r"([a-z][a-z0-9_]*)\.enabled")
KEYWORDS = {"and", "or", "not", "when", "true", "false"}
# What people write for a sign that the language has by another name.
MEANT = {
    "=": "==",
    "=>": ">=",
    "=<": "<=",
    "<>": "!=",
    "===": "==",
    "&&": "AND",
    "||": "OR",
    "&": "AND",
    "|": "OR",
    "!": "NOT",
}

Number = float | bool | None


class TriggerError(Refused):
    """A text that is no trigger: one line with the column, what was expected there and what was found."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True)
class Part:
    """One comparison, evaluated.

    `value` and `threshold` are in the metric's canonical unit; a value of None is unknown.
    """

    text: str
    metric: str
    value: Number
    threshold: float | bool
    comparison: str
    outcome: bool | None


@dataclass(frozen=True)
class Outcome:
    """What a trigger comes to: True,
    False or None for unknown; and its comparisons in the order of the text."""

    value: bool | None
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Comparison:
    """A metric against a threshold in its canonical unit; for what is true or false, and for flags, against
    that.
    """

    metric: str
    sign: str
    threshold: float | bool
    text: str

    def evaluate(self, values: Mapping[str, Number], parts: list[Part]) -> bool | None:
        value = values.get(self.metric)
        if value is None or math.isnan(value):
            value, outcome = None, None
        else:
            # 99.9 / 100 isn't 0.999 in a computer: what differs by less than a billionth is equal.
            equal = math.isclose(value, self.threshold, rel_tol=1e-9)
            outcome = SIGNS[self.sign](0.0 if equal else value - self.threshold, 0.0)
        parts.append(Part(self.text, self.metric, value, self.threshold, self.sign, outcome))
        return outcome


@dataclass(frozen=True)
class Group:
    """What AND, OR or NOT joins."""

    word: Literal["and", "or", "not"]
    nodes: tuple[Node, ...]

    def evaluate(self, values: Mapping[str, Number], parts: list[Part]) -> bool | None:
        # Each one is evaluated, also where the first decides: people want to see all the figures.
        outcomes = [node.evaluate(values, parts) for node in self.nodes]
        if self.word == "not":
            return None if outcomes[0] is None else not outcomes[0]
        decisive = self.word == "or"
        return decisive if decisive in outcomes else None if None in outcomes else not decisive


Node = Comparison | Group

SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Trigger:
    """A trigger that was read: its text, the metrics and the flags that it names, and the tree of its
    conditions.
    """

    text: str
    metrics: tuple[str, ...]
    flags: tuple[str, ...]
    root: Node

    def evaluate(
        self, values: Mapping[str, Number], flags: Mapping[str, bool | None] | None = None
    ) -> Outcome:
        """What it comes to for these values, by metric in canonical units, and flags, by name.

        What isn't there is unknown.
        """
        parts: list[Part] = []
        states = {f"{name}.enabled": state for name, state in (flags or {}).items()}
        return Outcome(self.root.evaluate({**values, **states}, parts), tuple(parts))


def parse(text: Any, where: str = "trigger") -> Trigger:
    """Read a trigger. Raises TriggerError; its message begins with `where`, such as a file and a line."""
    if not isinstance(text, str):
        raise TriggerError(
            f"{where}: expected a condition such as team_size > 2, got {escaped(repr(text)[:40])}", 1
        )
    if len(text) > MAX_LENGTH:
        raise TriggerError(f"{where}: expected {MAX_LENGTH} characters at most, got {len(text)}", 1)
    return _Parser(text, where).trigger()


def shown(value: Number, metric: str) -> str:
    """A value in canonical units as people read it: 1/7 of deployment_frequency is "weekly (1 a week)"."""
    if value is None:
        return "unknown"
    known = registry.METRICS.get(metric)
    if known is None:
        return "on" if value else "off"
    dimension = known.dimension
    if dimension is registry.BOOLEAN:
        return "yes" if value else "no"
    if dimension in (registry.DEPLOYMENTS, registry.ERRORS):
        return _rate(value, registry.DAYS)
    if dimension is registry.RATIO:
        # Of an uptime each nine counts.
        return f"{value * 100:.6g}%" if value > 0.9 else f"{value * 100:.3g}%"
    if dimension is registry.HOURS_TAKEN:
        units = {"second": 1 / 3600, **registry.HOURS}
        # 59.6 minutes are an hour: what is rounded may fill the next unit.
        period = max(
            (unit for unit, hours in units.items() if value >= hours * (1 - 1 / 120)),
            key=units.__getitem__,
            default="second",
        )
        count = _duration(value / units[period])
        return f"{count} {period}{'' if count == '1' else 's'}"
    return f"{_figure(value)} {dimension.one if value == 1 else dimension.name}"


def _rate(value: float, periods: Mapping[str, float]) -> str:
    """A rate per day, counted in the shortest period that has one at least."""
    if value == 0:
        return "none"
    period = next((name for name, days in periods.items() if value * days > 1 - 1e-9), "year")
    count = _figure(value * periods[period])
    text = f"{count} a {period}"
    word = "daily" if period == "day" else f"{period}ly"
    return f"{word} ({text})" if count == "1" else text


def _figure(value: float) -> str:
    """A number with the digits that matter: 1000 is 1,000, 0.33333 is 0.333."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _duration(count: float) -> str:
    """How many of a unit of time, to a tenth: 2.52 is 2.5, and 2.02 is 2."""
    return f"{count:.1f}".removesuffix(".0")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The reserved word that it is, in lower case; else an empty text."""
        word = self.text.lower()
        return word if self.kind == "word" and word in KEYWORDS else ""


class _Parser:
    """Recursive descent over the tokens, each of which is looked at once."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.tokens = list(_tokens(text))
        self.end = _Token("end", "the end", len(text.rstrip()))
        self.position = 0
        self.depth = 0
        self.metrics: dict[str, None] = {}
        self.flags: dict[str, None] = {}

    @property
    def token(self) -> _Token:
        return self.tokens[self.position] if self.position < len(self.tokens) else self.end

    def take(self) -> _Token:
        token = self.token
        self.position += 1
        return token

    def trigger(self) -> Trigger:
        if self.token.keyword == "when":
            self.take()
        root = self.joined("or")
        if self.token.kind != "end":
            self.expected("AND, OR or the end")
        return Trigger(self.text, tuple(self.metrics), tuple(self.flags), root)

    def joined(self, word: Literal["or", "and"]) -> Node:
        """What OR joins, and inside of it what AND joins."""
        below: Callable[[], Node] = (lambda: self.joined("and")) if word == "or" else self.one
        nodes = [below()]
        while self.token.keyword == word:
            self.take()
            nodes.append(below())
        return nodes[0] if len(nodes) == 1 else Group(word, tuple(nodes))

    def one(self) -> Node:
        if self.token.keyword != "not" and self.token.text != "(":
            return self.comparison()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(
                f"expected {MAX_DEPTH} parentheses and NOTs inside of each other at most, got more",
                self.token,
            )
        if self.take().text != "(":
            node: Node = Group("not", (self.one(),))
        else:
            node = self.joined("or")
            if self.token.text != ")":
                self.expected("AND, OR or )")
            self.take()
        self.depth -= 1
        return node

    def comparison(self) -> Node:
        name = self.token
        if name.kind != "word" or name.keyword:
            self.expected("a metric, NAME.enabled, NOT or (")
        self.take()
        if found := FLAG.fullmatch(name.text):
            if found[1] in KEYWORDS:
                self.fail(
                    f"expected the name of a flag, got {found[1]}, which is a word of the language", name
                )
            self.flags[found[1]] = None
            return self.truth(name, name.text)
        metrics = registry.of_name(name.text)
        if not metrics:
            self.unknown_name(name)
        if metrics[0].dimension is registry.BOOLEAN:
            return self.truth(name, self.used(metrics[0]))
        if self.token.text not in SIGNS:
            example = f"{name.text} > {metrics[0].dimension.example.partition(' ')[0]}"
            self.expected(f"one of {' '.join(SIGNS)} behind {name.text}, as in {example}")
        sign, quantity = self.take(), self.token
        metric, threshold = self.quantity(metrics, name.text)
        return Comparison(self.used(metric), sign.text, threshold, self.between(name, quantity))

    def truth(self, name: _Token, metric: str) -> Node:
        """What is true or false: alone, or compared with one of these."""
        if self.token.kind != "sign":
            return Comparison(metric, "==", True, self.between(name, name))
        if self.token.text not in ("==", "!="):
            self.expected(f"== or != behind {name.text}, which is true or false")
        sign, word = self.take(), self.token
        if word.keyword not in ("true", "false"):
            self.expected("true or false")
        self.take()
        return Comparison(metric, sign.text, word.keyword == "true", self.between(name, word))

    def quantity(self, metrics: list[Metric], name: str) -> tuple[Metric, float]:
        """The quantity that stands here,
        in the canonical unit of that one of `metrics` that its unit fits."""
        token = self.take()
        kinds = " or ".join(metric.dimension.name for metric in metrics)
        examples = " or ".join(metric.dimension.example for metric in metrics)
        found = QUANTITY.fullmatch(token.text)
        unit = (found[2] or found[3] or "").lower() if found else token.text.lower()
        for metric in metrics:
            known = metric.dimension.units if found else metric.dimension.words
            if unit in known:
                return metric, self.amount(
                    float(found[1].replace("_", "")) if found else 1.0, known[unit], metric, token
                )
        words = [
            word
            for metric in metrics
            for word in (metric.dimension.units if found else metric.dimension.words)
        ]
        hint = _did_you_mean(unit, words)
        got = token.text if token.kind == "end" else _quoted(token.text)
        self.fail(f"expected {kinds} to compare {name} with, such as {examples}, got {got}{hint}", token)

    def amount(self, number: float, factor: float, metric: Metric, token: _Token) -> float:
        amount = number * factor
        if amount > metric.dimension.highest:
            most = (
                "100%"
                if metric.dimension is registry.RATIO
                else f"{metric.dimension.highest:.0e} {metric.dimension.name}"
            )
            self.fail(f"expected {most} at most, got {_quoted(token.text)}", token)
        return amount

    def used(self, metric: Metric) -> str:
        self.metrics[metric.name] = None
        return metric.name

    def between(self, first: _Token, last: _Token) -> str:
        return self.text[first.start : last.start + len(last.text)]

    def unknown_name(self, name: _Token) -> NoReturn:
        flag, dot, last = name.text.rpartition(".")
        if dot and _did_you_mean(last, ["enabled"]):
            hint = f"; did you mean {_cut(flag)}.enabled?"
        else:
            hint = _did_you_mean(name.text, registry.names()) or "; docs/metrics.md lists them"
        self.fail(f"expected a metric or NAME.enabled, got {_quoted(name.text)}{hint}", name)

    def expected(self, what: str) -> NoReturn:
        token = self.token
        hint = f"; did you mean {MEANT[token.text]}?" if token.text in MEANT else ""
        before = self.tokens[self.position - 1] if self.position else self.end
        if not hint and before.kind == "quantity" and token.kind == "word" and not token.keyword:
            hint = f"; a unit follows its number after an underscore, as in {before.text}_{_cut(token.text)}"
        self.fail(
            f"expected {what}, got {token.text if token.kind == 'end' else _quoted(token.text)}{hint}", token
        )

    def fail(self, message: str, token: _Token) -> NoReturn:
        raise TriggerError(f"{self.where}, column {token.start + 1}: {message}", token.start + 1)


def _tokens(text: str) -> Iterator[_Token]:
    for index, match in enumerate(TOKEN.finditer(text)):
        kind, found, start = str(match.lastgroup), match[0], match.start()
        # The original writes `when_team_size`: that is `when`, and then a name.
        if index == 0 and kind == "word" and found.lower().startswith("when_"):
            yield _Token(kind, found[:4], start)
            found, start = found[5:], start + 5
            if not found:
                continue
        yield _Token(kind, found, start)


def _did_you_mean(word: str, known: list[str]) -> str:
    # The search takes long for long words, and they are no slips of the pen.
    close = difflib.get_close_matches(word.lower(), known, 1) if len(word) <= 60 else []
    return f"; did you mean {close[0]}?" if close and close[0] else ""


def _cut(text: str) -> str:
    return escaped(text if len(text) <= 40 else text[:37] + "...")


def _quoted(text: str) -> str:
    return f"'{_cut(text)}'"
