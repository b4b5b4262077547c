"""What values are known by: as much of a service's objects as its routes need."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


class _Unknown:
    """The value of all that is known only at run time."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Place:
    """A line of a file (POSIX path from the project's root)."""

    file: str
    line: int


@dataclass(frozen=True)
class Note:
    """Something that may add routes and could not be followed."""

    place: Place
    what: str
    why: str


@dataclass(eq=False)
class Scope:
    """Names and their values; a function's scope looks on in the one around it."""

    file: str
    module: str
    names: dict[str, Any] = field(default_factory=dict)
    around: Scope | None = None
    is_class: bool = False
    top: Scope | None = None
    shared: set[str] = field(default_factory=set)  # declared global

    def get(self, name: str) -> Any:
        scope: Scope | None = self
        while scope:
            if name in scope.names and (scope is self or not scope.is_class):
                return scope.names[name]
            scope = scope.around
        return External(f"builtins.{name}") if hasattr(builtins, name) else UNKNOWN

    def set(self, name: str, value: Any) -> None:
        (self.top.names if self.top and name in self.shared else self.names)[name] = value


@dataclass(frozen=True)
class External:
    """Something that comes from outside the project, by its dotted name; `is_result` says that it is what a
    call of it gives.
    """

    name: str
    is_result: bool = False


@dataclass(eq=False)
class Module:
    scope: Scope
    package: bool


@dataclass(eq=False)
class Function:
    """A function of the project. `guards` are the decorators that were put on it, in source order."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    bound: Any = None
    guards: tuple[tuple[ast.expr, Any], ...] = ()

    @property
    def name(self) -> str:
        return "<lambda>" if isinstance(self.node, ast.Lambda) else self.node.name

    @property
    def place(self) -> Place:
        return Place(self.scope.file, self.node.lineno)


@dataclass(eq=False)
class Class:
    node: ast.ClassDef
    scope: Scope  # what its body binds
    bases: tuple[Any, ...]

    def lookup(self, name: str) -> Any:
        """An attribute of the class or of those that it inherits from; UNKNOWN where none has it."""
        if name in self.scope.names:
            return self.scope.names[name]
        found = (base.lookup(name) for base in self.bases if isinstance(base, Class))
        return next((value for value in found if value is not UNKNOWN), UNKNOWN)

    def externals(self) -> Iterator[str]:
        """The dotted names of all classes from outside that it inherits from."""
        for base in self.bases:
            if isinstance(base, External):
                yield base.name
            elif isinstance(base, Class):
                yield from base.externals()


@dataclass(eq=False)
class Instance:
    of: Class
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class ViewClass:
    """What `as_view` gives: a view function of that name."""

    of: Class
    name: Any
    guards: tuple[tuple[ast.expr, Any], ...] = ()


@dataclass
class Rule:
    """One call of `route` or `add_url_rule`, as far as it is known.

    `options` are its further keyword arguments.
    """

    place: Place
    rule: str
    endpoint: Any
    view: Any
    options: dict[str, Any]


@dataclass
class Nested:
    """One call of `register_blueprint`."""

    place: Place
    blueprint: Owner
    options: dict[str, Any]


@dataclass(eq=False)
class Owner:
    """A Flask app or a blueprint, with what was registered on it in order."""

    is_app: bool
    place: Place
    doubts: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    entries: list[Rule | Nested] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    guards: list[tuple[ast.expr, Any]] = field(default_factory=list)  # before_request functions
    of: Class | None = None
    strict_slashes: Any = True

    @property
    def name(self) -> str:
        name = self.options.get("name", UNKNOWN)
        return name if isinstance(name, str) else "?"


@dataclass(frozen=True)
class Method:
    """A method of an app, a blueprint, or something unknown; called with a rule it may be a decorator."""

    owner: Any
    name: str


@dataclass(frozen=True)
class Decorator:
    """What `app.route(…)` gives; `register` is done for the view that it is put on."""

    register: Callable[[Any], None]


@dataclass
class Call:
    """What is given in a call, and where it stands. The name "**" stands for arguments that are not known."""

    arguments: list[Any]
    named: dict[str, Any]
    node: ast.AST
    scope: Scope | None = None


@dataclass(eq=False)
class Api:
    """Flask-RESTful's Api. `waiting` are resources that came before the app: the class, its addresses, and
    the call.
    """

    prefix: Any
    owner: Owner | None = None
    waiting: list[tuple[Any, list[Any], Call]] = field(default_factory=list)


@dataclass(frozen=True)
class Attribute:
    """`app.url_map` and such: known by the name of the owner's attribute only."""

    owner: Owner
    name: str


def truth(value: Any) -> Any:
    """Whether Python takes a value for true; UNKNOWN where that is not known."""
    if isinstance(value, (list, dict)) and UNKNOWN in value:
        return UNKNOWN
    if value is None or isinstance(value, (str, int, float, bool, list, dict)):
        return bool(value)
    if isinstance(value, External) and value.name.endswith(".TYPE_CHECKING"):
        return False
    return True if isinstance(value, (Owner, Module, Function, Class, Instance)) else UNKNOWN


def either(one: Any, other: Any) -> Any:
    """The value of which it is not known which of two it is.

    An app beats nothing: where there is none, no route is served.
    """
    if one is other or (type(one) is type(other) and isinstance(one, (str, int, bool)) and one == other):
        return one
    owners = [value for value in (one, other) if isinstance(value, Owner)]
    others = [value for value in (one, other) if not isinstance(value, Owner)]
    return owners[0] if len(owners) == 1 and others[0] is None else UNKNOWN


def merge(names: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Make `names` what is known of a scope after one of two ways was taken."""
    for name in {*names, *other}:
        if name in names and name in other:
            names[name] = either(names[name], other[name])
        else:
            value = names.get(name, other.get(name))
            # A name that only one of two ways binds: who uses it has gone that way.
            names[name] = value if isinstance(value, (Owner, Function, Class, Module, External)) else UNKNOWN
