"""What the reader (modules.py) says of a Python module.

Lines count from 1; text of expressions is source text on one line.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

FunctionKind = Literal["function", "method", "classmethod", "staticmethod", "property"]
ParameterKind = Literal[
    "positional-only", "positional-or-keyword", "var-positional", "keyword-only", "var-keyword"
]
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Parameter:
    """Text is source text on one line; an annotation that is quoted comes without its quotes.

    None: there is none.
    """

    name: str
    kind: ParameterKind
    annotation: str | None
    default: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """One `>>>` of a docstring, as doctest reads it.

    `raises` is the text of the traceback's last line that is wanted.
    """

    source: str
    want: str
    line: int
    raises: str | None
    options: tuple[tuple[str, bool], ...]  # ("ELLIPSIS", True)


@dataclass(frozen=True, slots=True)
class Guard:
    """An `if` at the head of a function that does nothing but raise or return; only docstring, imports and
    other guards stand before it.

    `parameter` is the one that the condition tests; None where it tests several, none, or the object's own
    state.
    """

    condition: ast.expr
    text: str  # of the condition
    names: tuple[str, ...]  # all that the condition reads, in order: ("isinstance", "value", "str")
    parameter: str | None
    exception: str  # "ValueError", "errors.Refused"; "" where it returns
    answer: ast.expr | None  # what it returns; None where it raises, or returns without a value
    plain: bool  # nothing is computed on the way but the condition: no import before, no message put together
    line: int  # of the condition
    exit_line: int  # of the raise or the return


@dataclass(frozen=True, slots=True)
class Function:
    """A `def` or `async def`, wherever it stands. Lines count from 1.

    `nested` is inside a function, so that no importer reaches it. `conditional` says on what it hangs that
    the name exists: the nearest heading ("if TYPE_CHECKING", "else of if x", "try", "except ImportError",
    "for"), "" where it always does. `replaced`: a later definition of the scope surely takes the name, as
    after overloads.
    """

    name: str
    qualname: str  # as Python's own: Shop.Cart.add, make.<locals>.inner
    line: int  # of `def`
    first_line: int  # of the first decorator, else of `def`
    end_line: int
    kind: FunctionKind
    owner: str  # qualname of the class that it stands in, else ""
    is_async: bool
    is_generator: bool
    nested: bool
    conditional: str
    replaced: bool
    decorators: tuple[str, ...]  # without the @
    parameters: tuple[Parameter, ...]
    returns: str | None
    docstring: str | None  # as it stands, not dedented
    examples: tuple[Example, ...]
    guards: tuple[Guard, ...]
    # What `raise` names in the body, each once; not of functions inside, not a bare `raise`.
    raises: tuple[str, ...]
    node: FunctionNode


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an enum, with the source text of its value."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Field:
    """An annotated name of a dataclass that its __init__ knows, or (`init` False) only the object."""

    name: str
    annotation: str
    default: str | None  # source text, `field(default_factory=list)` too
    required: bool
    init: bool
    keyword_only: bool
    line: int


@dataclass(frozen=True, slots=True)
class Class:
    """A class. `members` and `fields` are its own, without those of its bases; empty where it is no enum, no
    dataclass.
    """

    name: str
    qualname: str
    line: int
    first_line: int
    end_line: int
    bases: tuple[str, ...]
    decorators: tuple[str, ...]
    nested: bool
    conditional: str
    replaced: bool
    enum: bool
    members: tuple[Member, ...]
    dataclass: bool
    frozen: bool
    fields: tuple[Field, ...]
    docstring: str | None
    examples: tuple[Example, ...]
    node: ast.ClassDef


@dataclass(frozen=True, slots=True)
class Import:
    """One name that an import binds: `import a.b` binds a, `from .a import b as c` binds c to b of .a, "*"
    binds what it finds.
    """

    name: str
    module: str  # "flask", ".models", ".."
    attribute: str | None  # None for `import module`
    line: int
    local: bool  # inside a function
    conditional: str


@dataclass(frozen=True, slots=True)
class Name:
    """A definition in a file that doesn't parse: its name and line is all that is known."""

    qualname: str
    line: int
    is_class: bool
    is_async: bool


@dataclass(frozen=True, slots=True)
class Unread:
    """What could not be read, and why. `line` 0: not of one line.

    `names` are the definitions that its text shows nevertheless.
    """

    path: str
    reason: str
    line: int = 0
    names: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class Module:
    """All definitions in source order, nested and replaced ones too."""

    path: str
    functions: tuple[Function, ...]
    classes: tuple[Class, ...]
    imports: tuple[Import, ...]
    docstring: str | None
    examples: tuple[Example, ...]
    generated: bool  # its first lines say that a program wrote it
    unread: tuple[Unread, ...]  # parts: a docstring whose examples doctest refuses
    tree: ast.Module
