"""What can be asserted of a module (candidates.py), and what was not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "examples", "guard", "answer", "enum", "dataclass", "frozen", "returns", "round trip", "outage", "route"
]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A test. `cases` are the rows of its parametrize.

    `names` is what it needs of the module, `imports` is what it needs of others: (module, name or ""). `sure`
    says that it can't be red by reading. `fallback` is the same with less asked of it, for when it is red.
    """

    qualname: str
    kind: Kind
    name: str
    line: int
    signature: str
    body: tuple[str, ...]
    names: tuple[str, ...]
    imports: tuple[tuple[str, str], ...] = ()
    fixtures: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    cases: tuple[tuple[str, ...], ...] = ()
    covers: tuple[str, ...] = ()  # further functions of which it asserts
    sure: bool = False
    fallback: Candidate | None = None

    @property
    def pytest(self) -> bool:
        """Whether it uses pytest by its name."""
        return bool(self.cases) or any("pytest." in line for line in self.body)

    @property
    def hypothesis(self) -> bool:
        """Whether Hypothesis chooses its values."""
        return any(module == "hypothesis" for module, _ in self.imports)


@dataclass(frozen=True, slots=True)
class NoExpectedValue:
    """A function of which the source tells nothing to assert.

    `outside` is what it calls of other packages, by the names that it uses.
    """

    qualname: str
    line: int
    reason: str
    signature: str = ""
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """All that candidates.py says of a module.

    `signatures` are those of everything that an importer can reach, by the qualified name. `elsewhere` are
    those of functions inside of functions, by their name without `<locals>`, and `at` those of all functions,
    by their line.
    """

    candidates: tuple[Candidate, ...]
    without: tuple[NoExpectedValue, ...]
    signatures: dict[str, str] = field(default_factory=dict)
    # What functions call of other packages, by their qualified names.
    outside: dict[str, tuple[str, ...]] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    at: dict[int, str] = field(default_factory=dict)
    functions: int = 0
    # Names of further tests.
    taken: Callable[[str, str], str] = lambda qualname, suffix: f"test_{qualname}_{suffix}"
