"""Where an address comes from: an expression is followed to variables, settings and literals, through modules
of the repository.

Of a literal only the scheme is kept (`postgresql`), never the text: it may hold a password.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..project.git_and_files import LARGEST
from .clients import schemes
from .declared import options
from .files import aside, parsed, walk

_PORT = 11211  # memcached's: the one that need not be said beside a host
DEEPEST = 12  # steps from one name to the next; settings refer to each other in circles
_SETTING = re.compile(r"[A-Z][A-Z0-9_]+|broker_url|broker_read_url|broker_write_url")
_WHOLE = re.compile(r"ur[il]s?(?![a-z])|dsn|connection_?string|bucket|queue", re.IGNORECASE)
_HOST = re.compile(r"host|endpoint|server|addr|bootstrap|broker|node|base|cluster", re.IGNORECASE)
_SECRET = re.compile(
    r"passw|secret|token|passphrase|credential|(^|_)(key|user|username|pw|pwd|pass)$", re.IGNORECASE
)
_READERS = {"getenv", "env", "config", "str", "url", "get", "db", "cache", "db_url", "require", "string"}
# Names of modules that hold settings.
_KEEPERS = re.compile(r"config|settings|defaults?|__init__|app|conf|env\w*|constants?")


@dataclass(frozen=True)
class Link:
    """What an imported name stands for: a dotted name, from a folder where the import is relative."""

    folder: str | None
    dotted: str


@dataclass
class Address:
    """What an expression leads to.

    `variables` and `settings` are names, `schemes` those of its literals and defaults.
    """

    variables: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    schemes: set[str] = field(default_factory=set)
    literal: bool = False
    parts: bool = False  # put together from several values: none of them is the address
    piece: bool = False  # text or a port stands around the value
    opaque: bool = False  # an attribute of a settings object that reads a file when it runs
    where: str = ""  # file:line of the place that names it
    lost: bool = False  # a setting that is set, but by what can't be followed

    def __bool__(self) -> bool:
        return bool(self.variables or self.settings or self.literal)

    def add(self, other: Address) -> None:
        self.variables += [name for name in other.variables if name not in self.variables]
        self.settings += [name for name in other.settings if name not in self.settings]
        self.schemes |= other.schemes
        self.literal |= other.literal
        self.parts |= other.parts
        self.piece |= other.piece
        self.opaque |= other.opaque
        self.lost |= other.lost
        self.where = self.where or other.where

    @property
    def whole(self) -> bool:
        """Whether a variable, by its name, or a file that is read later takes the whole address."""
        return self.opaque or (not self.parts and any(_WHOLE.search(name) for name in self.variables))

    @property
    def target(self) -> str:
        """One name: the variable with the whole address, the setting that is put together, or the variable
        with the host. "" for none.
        """
        variables = [name for name in self.variables if not _SECRET.search(name)]
        whole = [name for name in variables if _WHOLE.search(name)]
        if not self.parts and (whole or len(variables) == 1):
            return (whole or variables)[0]
        if self.settings:
            return self.settings[0]
        return next((name for name in [*whole, *(n for n in variables if _HOST.search(n))]), "")


class Source:
    """One parsed file: what it imports and what its names are bound to."""

    def __init__(self, file: str, tree: ast.Module) -> None:
        self.file = file
        self.tree = tree
        self.links: dict[str, Link] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self.nodes = list(ast.walk(tree))
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.asname or alias.name.split(".")[0]
                    self.links.setdefault(name, Link(None, alias.name if alias.asname else name))
            elif isinstance(node, ast.ImportFrom):
                folder = None
                if node.level:
                    folder = posixpath.dirname(file)
                    for _ in range(node.level - 1):
                        folder = posixpath.dirname(folder)
                for alias in node.names:
                    dotted = f"{node.module}.{alias.name}" if node.module else alias.name
                    self.links.setdefault(alias.asname or alias.name, Link(folder, dotted))
        for node in flat(tree.body):
            if isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.functions[node.name] = node
        self.values = bound(tree.body)

    def origin(self, node: ast.expr) -> str:
        """The dotted name that `node` has where it was imported from (`redis.from_url`); "" where it is not
        from outside.
        """
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        link = self.links.get(node.id) if isinstance(node, ast.Name) else None
        return ".".join([link.dotted, *reversed(names)]) if link and link.folder is None else ""


class Sources:
    """The Python files of a repository, each parsed at most once, and the settings that those of one service
    define.
    """

    def __init__(self, root: str | Path, path: str) -> None:
        """`root` is the repository, `path` the service's folder in it, POSIX, "." for the root itself."""
        self.root = root
        self.path = "" if path == "." else path
        self.all = [posixpath.join(folder, name) for folder, names in walk(root) for name in names]
        self._known = set(self.all)
        own = [file for file in self.all if not self.path or file.startswith(self.path + "/")]
        self.files = [file for file in own if not aside(file)]
        self._parsed: dict[str, Source | None] = {}
        self._settings: dict[str, list[tuple[Source, ast.expr]]] = {}
        self._options: dict[str, dict[str, set[str]]] | None = None
        self._looked_for: set[str] = set()
        folders, above = [self.path], self.path
        while above:
            above = posixpath.dirname(above)
            folders.append(above)
        bases = [*folders, *(posixpath.join(folder, "src") for folder in folders)]
        packages = {base for base in bases if posixpath.join(base, "__init__.py") in self._known}
        self._importable = [base for base in bases if base not in packages]
        # Run as a script, a package's folder is one too.
        self._bases = [*self._importable, *(base for base in bases if base in packages)]

    def text(self, file: str) -> bytes:
        try:
            with open(os.path.join(self.root, file), "rb") as stream:
                return stream.read(LARGEST + 1)
        except OSError:
            return b""

    def source(self, file: str, text: bytes | None = None) -> Source | None:
        """The parsed file; None where it can't be read as Python.

        Whoever reads the source for tests reports those.
        """
        if file not in self._parsed:
            self._parsed[file] = None
            try:
                source = Source(file, parsed(self.text(file) if text is None else text))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                return None
            self._parsed[file] = source
            for name, value in _settings(source):
                self._settings.setdefault(name, []).append((source, value))
        return self._parsed[file]

    def locate(self, link: Link) -> tuple[str, list[str]] | None:
        """The file of the repository that a link leads to, and the names inside it."""
        parts = link.dotted.split(".")
        for base in self._bases if link.folder is None else [link.folder]:
            for count in range(len(parts), 0 if link.folder is None else -1, -1):
                stem = posixpath.join(base, *parts[:count])
                for file in (f"{stem}.py", posixpath.join(stem, "__init__.py")):
                    if file in self._known:
                        return file, parts[count:]
        return None

    def shadowed(self, name: str) -> bool:
        """Whether a module of the repository takes the top name of a library."""
        stems = [posixpath.join(base, name) for base in self._importable]
        return any(file in self._known for stem in stems for file in (f"{stem}.py", f"{stem}/__init__.py"))

    def setting(self, name: str) -> list[tuple[Source, ast.expr]]:
        """What a setting of this name is set to, anywhere in the service and in the settings modules that it
        follows.
        """
        if name not in self._settings and name not in self._looked_for:
            self._looked_for.add(name)
            for file in self.files:
                if file not in self._parsed and _KEEPERS.search(posixpath.basename(file)[:-3]):
                    text = self.text(file)
                    if name.encode() in text:
                        self.source(file, text)
        return self._settings.get(name, [])

    def options(self, section: str) -> dict[str, set[str]]:
        """The options of a section of the service's .cfg and .ini files,
        each with the schemes of its values."""
        if self._options is None:
            self._options = options(
                self.root, sorted({self.path, *(posixpath.dirname(file) for file in self.files)})
            )
        return self._options.get(section.lower(), {})

    # Following an expression

    def address(
        self,
        node: ast.expr,
        source: Source,
        local: Mapping[str, list[ast.expr]] | None = None,
        depth: int = 0,
    ) -> Address:
        """Where the value of `node`, which stands in `source`, comes from.

        `local` has the names of the function around it.
        """
        found = Address(where=f"{source.file}:{node.lineno}")
        if depth > DEEPEST:
            return found
        local = local or {}

        def follow(*nodes: ast.expr | None) -> Address:
            for one in nodes:
                if one is not None:
                    found.add(self.address(one, source, local, depth + 1))
            return found

        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and node.value:
                found.literal = True
                found.schemes |= schemes(node.value)
        elif isinstance(node, ast.Name):
            if node.id in local:
                # `url = url.replace(…)` would lead to itself.
                others = {name: values for name, values in local.items() if name != node.id}
                ways = [self.address(value, source, others, depth + 1) for value in local[node.id]]
                known = all(ways) or any(way.variables or way.settings for way in ways)
                for way in ways if known else []:  # a literal beside what somebody types in is no address
                    found.add(way)
            else:
                self._named(found, source, [node.id], depth)
        elif isinstance(node, ast.Attribute):
            self._attribute(found, node, source, depth)
        elif isinstance(node, ast.Subscript):
            key = _text(node.slice)
            if key and is_environment(node.value, source):
                found.variables.append(key)
            elif key and _is_settings(node.value):
                self._setting(found, key, depth)
            else:
                follow(node.value)
        elif isinstance(node, ast.Call):
            self._called(found, node, source, local, depth)
        elif isinstance(node, ast.JoinedStr):
            values = [one.value for one in node.values if isinstance(one, ast.FormattedValue)]
            begins = schemes(_text(node.values[0])) if node.values else set()
            found.schemes |= begins
            follow(*values)
            found.parts |= len(found.variables) > 1 or bool(begins)
            found.piece |= len(node.values) > 1
        elif isinstance(node, ast.BinOp):
            follow(node.left, node.right)
            found.parts |= len(found.variables) > 1
            found.piece = True
        elif isinstance(node, ast.BoolOp):
            follow(*node.values)
        elif isinstance(node, ast.IfExp):
            follow(node.body, node.orelse)
        elif isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            follow(*node.elts)
            found.piece |= any(
                isinstance(one, ast.Constant) and isinstance(one.value, int) and one.value != _PORT
                for one in node.elts
            )
        elif isinstance(node, ast.Dict):
            hosts = [
                value
                for key, value in zip(node.keys, node.values, strict=True)
                if key and _names_host(_text(key))
            ]
            follow(*hosts)
        elif isinstance(node, (ast.Await, ast.Starred, ast.NamedExpr)):
            follow(node.value)
        return found

    def _setting(self, found: Address, name: str, depth: int) -> None:
        """A setting of the app: what it is set to, and its own name where no variable is behind it."""
        for source, value in self.setting(name):
            found.add(self.address(value, source, None, depth + 1))
        found.settings = [name, *(one for one in found.settings if one != name)]

    def _named(self, found: Address, source: Source, names: list[str], depth: int) -> None:
        """A name of a module, and attributes of it: `URL`, `settings.URL`, `Config.URL`,
        `settings.redis.url`.
        """
        if depth > DEEPEST or not names:
            return
        first, rest = names[0], names[1:]
        if first in source.values and not rest:
            for value in source.values[first]:
                found.add(self.address(value, source, None, depth + 1))
            if found and _SETTING.fullmatch(first):
                found.settings.append(first)
        elif first in source.classes:
            self._field(found, source, source.classes[first], rest, depth)
        elif first in source.values:
            for value in source.values[first]:
                found_class = self._class_of(value, source, depth + 1)
                if found_class:
                    self._field(found, *found_class, rest, depth)
        elif first in source.links:
            place = self.locate(source.links[first])
            if place:
                self._inside(found, *place, rest, depth)
            elif rest and _is_settings_name(first):
                self._setting(found, rest[-1], depth + 1)

    def _inside(self, found: Address, file: str, inner: list[str], rest: list[str], depth: int) -> None:
        other = self.source(file)
        if other and [*inner, *rest]:
            self._named(found, other, [*inner, *rest], depth + 1)

    def _attribute(self, found: Address, node: ast.Attribute, source: Source, depth: int) -> None:
        names = [node.attr]
        below = node.value
        while isinstance(below, ast.Attribute):
            names.insert(0, below.attr)
            below = below.value
        if isinstance(below, ast.Name) and below.id not in ("self", "cls"):
            self._named(found, source, [below.id, *names], depth)
        elif isinstance(below, ast.Call):
            found_class = self._class_of(below, source, depth + 1)
            if found_class:
                self._field(found, *found_class, names, depth)
        if not found and _SETTING.fullmatch(node.attr):
            if _is_settings(node.value):
                found.opaque = True
                found.settings.append(node.attr)
            if len(names) == 1 and self.setting(node.attr):
                self._setting(found, node.attr, depth + 1)

    def _class_of(self, node: ast.expr, source: Source, depth: int) -> tuple[Source, ast.ClassDef] | None:
        """The class of the repository whose instance a call gives: `Settings()`, `get_settings()`."""
        if depth > DEEPEST or not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            return None
        name, place = node.func.id, source
        if name in source.links:
            found = self.locate(source.links[name])
            other = self.source(found[0]) if found and found[1] else None
            if not found or not other:
                return None
            name, place = found[1][-1], other
        if name in place.classes:
            return place, place.classes[name]
        for result in _returns(place.functions.get(name)):
            known = place.values.get(result.id) if isinstance(result, ast.Name) else None
            found_class = self._class_of(known[-1] if known else result, place, depth + 1)
            if found_class:
                return found_class
        return None

    def _field(self, found: Address, source: Source, cls: ast.ClassDef, names: list[str], depth: int) -> None:
        """An attribute of a class of settings. pydantic-settings reads a field from the variable of its name,
        in capitals.
        """
        if not names or depth > DEEPEST:
            return
        pydantic = any(
            posixpath.basename(ast.unparse(base).replace(".", "/")) == "BaseSettings" for base in cls.bases
        )
        for name, value, annotation in fields(cls):
            if name != names[0]:
                continue
            if names[1:] and isinstance(annotation, ast.Name):  # a class in the class
                inner = self._class_of(ast.Call(annotation, [], []), source, depth + 1)
                if inner:
                    self._field(found, *inner, names[1:], depth + 1)
                return
            if value is not None:
                found.add(self.address(value, source, None, depth + 1))
                found.settings += [name] if found and not pydantic and _SETTING.fullmatch(name) else []
            if pydantic:
                for default in _validated(cls, name):  # where the default may come from
                    found.schemes |= self.address(default, source, None, depth + 1).schemes
                found.where = f"{source.file}:{cls.lineno}"
                found.variables[:] = [variable(cls, name, value)]
            return
        for base in cls.bases:
            if (
                isinstance(base, ast.Name)
                and base.id in source.classes
                and source.classes[base.id] is not cls
            ):
                self._field(found, source, source.classes[base.id], names, depth + 1)
            elif isinstance(base, ast.Name) and base.id in source.links:
                place = self.locate(source.links[base.id])
                if place:
                    self._inside(found, *place, names, depth)
        result = next(
            (one for one in cls.body if isinstance(one, ast.FunctionDef) and one.name == names[0]), None
        )
        for value in _returns(result):  # a property
            for one in ast.walk(value):
                if (
                    isinstance(one, ast.Attribute)
                    and isinstance(one.value, ast.Name)
                    and one.value.id == "self"
                ):
                    self._field(found, source, cls, [one.attr], depth + 1)
            found.add(self.address(value, source, None, depth + 1))
            found.parts = True

    def _called(
        self, found: Address, node: ast.Call, source: Source, local: Mapping[str, list[ast.expr]], depth: int
    ) -> None:
        function = node.func
        name = (
            function.attr
            if isinstance(function, ast.Attribute)
            else function.id
            if isinstance(function, ast.Name)
            else ""
        )
        receiver = function.value if isinstance(function, ast.Attribute) else None
        key = _text(node.args[0]) if node.args else ""
        defaults = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "default")]
        followed = True
        if key and name in _READERS and reads_environment(name, receiver, function, source):
            found.variables.append(key)
            defaults = defaults if name not in ("db", "cache") else []
        elif (
            key
            and name == "get"
            and receiver is not None
            and _is_settings(receiver)
            and (options := self.options(key))
        ):
            # As configparser has it: a section and an option.
            option = _text(node.args[1]).lower() if len(node.args) > 1 else ""
            found.settings.append(f"{key}.{option}")
            found.schemes |= options.get(option, set())
            found.opaque = option not in options
            defaults = []
        elif key and name in ("get", "setdefault", "pop") and receiver is not None and _is_settings(receiver):
            self._setting(found, key, depth)
        elif name == "Field" or (
            receiver is not None and name in ("replace", "strip", "rstrip", "lstrip", "decode", "split")
        ):
            defaults = [receiver] if receiver is not None and name != "Field" else [*node.args[:1], *defaults]
        elif source.origin(function).startswith("re."):  # the rest is a pattern and what takes its place
            defaults = node.args[2:3]
        elif isinstance(function, ast.Name) and (returns := self._results(function.id, source)):
            place, results = returns
            for value, names in results:
                found.add(self.address(value, place, names, depth + 1))
            defaults = []
        else:
            followed = False
            defaults = [
                word.value for word in node.keywords if word.arg is None or not _SECRET.search(word.arg)
            ]
            defaults += node.args
            if receiver is not None and not isinstance(receiver, (ast.Name, ast.Attribute)):
                defaults.insert(0, receiver)
            named = [word.value for word in node.keywords if word.arg == "drivername"]
            for one in [*named, *(node.args[:1] if name in ("URL", "create") else [])]:
                found.schemes |= schemes(_text(one) + "://")
        for one in defaults:
            # What else is given to a call is no address.
            if followed or not isinstance(one, ast.Constant) or schemes(_text(one)):
                found.add(self.address(one, source, local, depth + 1))
        if name in ("format", "create") or "format" in name:
            found.parts |= len(found.variables) > 1
        found.piece |= "format" in name or name == "join"

    def _results(
        self, name: str, source: Source
    ) -> tuple[Source, list[tuple[ast.expr, Mapping[str, list[ast.expr]]]]] | None:
        """What a function of the repository returns, with the names bound in it."""
        place: Source | None = source
        if name in source.links:
            found = self.locate(source.links[name])
            place = self.source(found[0]) if found and found[1] else None
            name = found[1][-1] if found and found[1] else name
        function = place.functions.get(name) if place else None
        if place is None or function is None:
            return None
        return place, [(value, bound(function.body)) for value in _returns(function)]


def flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of one scope, in source order, those in if, try, with and loops too."""
    for statement in body:
        yield statement
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for part in ("body", "orelse", "finalbody"):
                yield from flat(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from flat(handler.body)


def bound(body: Iterable[ast.stmt]) -> dict[str, list[ast.expr]]:
    """The plain names that a scope binds, with all their values in source order."""
    names: dict[str, list[ast.expr]] = {}
    for statement in flat(body):
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    names.setdefault(target.id, []).append(statement.value)
        elif (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and statement.value
        ):
            names.setdefault(statement.target.id, []).append(statement.value)
    return names


def fields(cls: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    """Name, value and annotation of what a class body binds."""
    for statement in flat(cls.body):
        if isinstance(statement, ast.Assign):
            yield from (
                (one.id, statement.value, None) for one in statement.targets if isinstance(one, ast.Name)
            )
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, statement.value, statement.annotation


def _settings(source: Source) -> Iterator[tuple[str, ast.expr]]:
    """What a file sets: constants, fields of classes (not those for tests), keys of a config, keywords of
    from_mapping().
    """
    for node in source.nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and _SETTING.fullmatch(_text(target.slice)):
                    yield _text(target.slice), node.value
                elif isinstance(target, ast.Attribute) and _SETTING.fullmatch(target.attr):
                    yield target.attr, node.value
        elif isinstance(node, ast.ClassDef) and "Test" not in node.name:
            for name, value, _ in fields(node):
                if value is not None and _SETTING.fullmatch(name):
                    yield name, value
        elif isinstance(node, ast.Call):
            name = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else node.func.id
                if isinstance(node.func, ast.Name)
                else ""
            )
            if name in ("update", "from_mapping", "dict"):
                yield from (
                    (word.arg, word.value)
                    for word in node.keywords
                    if word.arg and _SETTING.fullmatch(word.arg)
                )
            elif name == "setdefault" and len(node.args) == 2 and _SETTING.fullmatch(_text(node.args[0])):
                yield _text(node.args[0]), node.args[1]
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None and _SETTING.fullmatch(_text(key)):
                    yield _text(key), value
    for name, values in source.values.items():
        if _SETTING.fullmatch(name):
            yield from ((name, value) for value in values)


def _text(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _names(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _returns(function: ast.FunctionDef | ast.AsyncFunctionDef | None) -> list[ast.expr]:
    return (
        [one.value for one in flat(function.body) if isinstance(one, ast.Return) and one.value]
        if function
        else []
    )


def _validated(cls: ast.ClassDef, name: str) -> list[ast.expr]:
    """What the validators of a field return."""
    functions = [one for one in cls.body if isinstance(one, ast.FunctionDef)]
    calls = [(one, call) for one in functions for call in one.decorator_list if isinstance(call, ast.Call)]
    return [
        value
        for one, call in calls
        if any(_text(argument) == name for argument in call.args)
        for value in _returns(one)
    ]


def _names_host(key: str) -> bool:
    return bool((_HOST.search(key) or _WHOLE.search(key)) and not _SECRET.search(key))


def is_environment(node: ast.expr, source: Source) -> bool:
    return source.origin(node) == "os.environ" or (
        isinstance(node, ast.Name) and node.id in ("environ", "env")
    )


def _is_settings(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return _is_settings_name(name)


def _is_settings_name(name: str) -> bool:
    return name in ("config", "conf", "cfg", "settings", "app_config", "current_config")


def reads_environment(name: str, receiver: ast.expr | None, function: ast.expr, source: Source) -> bool:
    """Whether a call reads the environment: os.getenv, os.environ.get, environs' env.str, django-environ's
    env.db, decouple's config.
    """
    if receiver is not None and name != "getenv":
        return is_environment(receiver, source)
    return (
        name == "getenv"
        or source.origin(function).split(".")[0] in ("decouple", "starlette", "environs", "environ")
        or name == "env"
    )


def variable(cls: ast.ClassDef, name: str, value: ast.expr | None) -> str:
    """The variable that pydantic-settings reads for a field: its alias, else the prefix and the name, in
    capitals.
    """
    if isinstance(value, ast.Call):
        for word in value.keywords:
            if word.arg in ("alias", "validation_alias", "env"):
                alias = _text(word.value) or next(map(_text, getattr(word.value, "args", [])), "")
                if alias:
                    return alias
    prefix = ""
    for node in ast.walk(cls):
        if (isinstance(node, ast.keyword) and node.arg == "env_prefix") or (
            isinstance(node, ast.Assign)
            and any(isinstance(one, ast.Name) and one.id == "env_prefix" for one in node.targets)
        ):
            prefix = _text(node.value)
    return (prefix + name).upper()
