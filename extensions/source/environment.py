"""Which environment variables the code reads, where, and what becomes of it without them: read, never run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .addresses import Source, flat, is_environment, reads_environment, variable
from .files import parsed
from .modules import LARGEST

# What a reader of the environment is called: os.getenv, os.environ.get, environs' env.int, decouple's config.
READERS = {
    "getenv",
    "get",
    "pop",
    "setdefault",
    "env",
    "config",
    "str",
    "int",
    "float",
    "bool",
    "json",
    "list",
}
READERS |= {"dict", "url", "db", "cache", "path", "date"}
# Those that give None, or what is said beside it, where the variable isn't set; the others stop the service.
FORGIVING = {"getenv", "get", "pop", "setdefault"}
SETTINGS = {"BaseSettings", "pydantic_settings.BaseSettings", "pydantic.BaseSettings"}

Without = Literal["stops", "none", "default"]
ORDER: tuple[Without, ...] = ("stops", "none", "default")


@dataclass
class Variable:
    """An environment variable that is read: the places, as FILE:LINE, and what the strictest does without it.

    `stops`: an exception; `none`: it goes on with None; `default`: it has a value of its own, or asks first.
    """

    name: str
    without: Without
    places: list[str] = field(default_factory=list)


@dataclass
class Reads:
    """What is read: variables by name; prefixes of which every one is; places where a name is put together
    as the program runs, and files that can't be parsed.
    """

    variables: dict[str, Variable] = field(default_factory=dict)
    prefixes: dict[str, str] = field(default_factory=dict)
    computed: list[str] = field(default_factory=list)
    unparsed: list[str] = field(default_factory=list)

    def reads(self, name: str) -> bool:
        """Whether a variable is read, by its name or by a prefix."""
        return name in self.variables or any(name.startswith(prefix) for prefix in self.prefixes)

    def add(self, name: str, without: Without, place: str) -> None:
        """Note that a variable is read at a place."""
        one = self.variables.setdefault(name, Variable(name, without))
        one.without = min(one.without, without, key=ORDER.index)
        one.places.append(place)


@dataclass(frozen=True)
class Wrapper:
    """A function that reads the variable that its parameter names: `def need(name): return environ[name]`."""

    function: str
    parameter: str
    position: int
    without: Without


def read(root: Path, paths: Iterable[str]) -> Reads:
    """Which environment variables these files, POSIX paths from `root`, read. Raises nothing.

    The cost is that of parsing those files that name the environment, a class of settings, or a function of
    theirs that reads the variable it is given.
    """
    reading = _Reading()
    texts = {}
    for path in sorted(paths):
        try:
            texts[path] = (root / path).read_bytes()
        except OSError:
            reading.found.unparsed.append(path)
    sources = {}
    for path, text in texts.items():
        if any(word in text for word in (b"env", b"decouple", b"Settings")):
            sources[path] = reading.parse(path, text)
            if source := sources[path]:
                reading.file(source)
    names = [one.function.encode() for one in reading.wrappers]
    for path, text in texts.items():
        if any(name in text for name in names):
            source = sources[path] if path in sources else reading.parse(path, text)
            if source:
                reading.wrapped(source)
    return reading.found


class _Reading:
    def __init__(self) -> None:
        self.found = Reads()
        self.wrappers: set[Wrapper] = set()
        self.above: dict[ast.AST, ast.AST] = {}

    def parse(self, path: str, text: bytes) -> Source | None:
        try:
            return Source(path, parsed(text, LARGEST))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self.found.unparsed.append(path)
            return None

    def file(self, source: Source) -> None:
        self.above = {child: node for node in source.nodes for child in ast.iter_child_nodes(node)}
        for node in source.nodes:
            if isinstance(node, ast.Subscript) and is_environment(node.value, source):
                if isinstance(node.ctx, ast.Load):
                    self._named(node, node.slice, "stops", source)
            elif isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
                if is_environment(node.comparators[0], source):
                    self._named(node, node.left, "default", source)
            elif isinstance(node, ast.Call):
                self._call(source, node)
            elif isinstance(node, ast.ClassDef) and any(
                _dotted(one, source) in SETTINGS for one in node.bases
            ):
                for name, without, line in _fields(node):
                    self.found.add(name, without, f"{source.file}:{line}")

    def wrapped(self, source: Source) -> None:
        """Find the calls of the functions that read what they are given."""
        for node in source.nodes:
            if not isinstance(node, ast.Call):
                continue
            for one in self.wrappers:
                if _called(node) == one.function:
                    given = [word.value for word in node.keywords if word.arg == one.parameter]
                    given += node.args[one.position : one.position + 1]
                    if given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
                        self.found.add(given[0].value, one.without, f"{source.file}:{node.lineno}")

    def _call(self, source: Source, node: ast.Call) -> None:
        name = _called(node)
        receiver = node.func.value if isinstance(node.func, ast.Attribute) else None
        if name == "from_prefixed_env":
            given = [word.value for word in node.keywords if word.arg == "prefix"] + node.args
            said = str(given[0].value) if given and isinstance(given[0], ast.Constant) else "FLASK"
            self.found.prefixes.setdefault(said + "_", f"{source.file}:{node.lineno}")
        elif (
            name in READERS
            and node.args
            and (
                reads_environment(name, receiver, node.func, source)
                or source.origin(node.func) == "decouple.config"
            )
        ):
            default = len(node.args) > 1 or any(word.arg == "default" for word in node.keywords)
            default = default or _asked_first(node, self.above)
            without: Without = "default" if default else "none" if name in FORGIVING else "stops"
            self._named(node, node.args[0], without, source)

    def _named(self, node: ast.expr, name: ast.expr, without: Without, source: Source) -> None:
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self.found.add(name.value, without, f"{source.file}:{node.lineno}")
            return
        around = self.above.get(node)
        while around and not isinstance(around, (ast.FunctionDef, ast.AsyncFunctionDef)):
            around = self.above.get(around)
        if isinstance(around, (ast.FunctionDef, ast.AsyncFunctionDef)) and isinstance(name, ast.Name):
            parameters = [one.arg for one in (*around.args.posonlyargs, *around.args.args)]
            if name.id in parameters:
                position = parameters.index(name.id) - (parameters[0] in ("self", "cls"))
                self.wrappers.add(Wrapper(around.name, name.id, position, without))
                return
        self.found.computed.append(f"{source.file}:{node.lineno}")


def _asked_first(node: ast.AST, above: dict[ast.AST, ast.AST]) -> bool:
    """Whether what a call gives is only tested, or has an `or` with another value after it."""
    parent = above.get(node)
    if isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.Or):
        return parent.values[-1] is not node or _asked_first(parent, above)
    if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not):
        return True
    return isinstance(parent, (ast.If, ast.IfExp, ast.While)) and parent.test is node


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _fields(cls: ast.ClassDef) -> Iterator[tuple[str, Without, int]]:
    """The variables that a class of pydantic-settings reads."""
    for node in flat(cls.body):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id != "model_config"
        ):
            value = node.value
            if isinstance(value, ast.Call):  # Field(…): its default is the first argument, or named
                first = value.args[0] if value.args else None
                given = [word for word in value.keywords if word.arg in ("default", "default_factory")]
                bare = not given and (
                    first is None or (isinstance(first, ast.Constant) and first.value is ...)
                )
            else:
                bare = value is None
            yield variable(cls, node.target.id, value), "stops" if bare else "default", node.lineno


def _dotted(node: ast.expr, source: Source) -> str:
    return source.origin(node) or getattr(node, "id", "")
