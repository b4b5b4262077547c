"""A module that tests are written for: what its text says of the names that a test may use."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable
from typing import Any

from ..project.git_and_files import shown
from ..source.modules import Class, Function, Import, Module, Parameter
from . import values
from .model import Candidate, Kind

# Names that linters want to see as what they are.
ALIASES = {
    **dict.fromkeys(("IOError", "EnvironmentError", "socket.error", "select.error"), "OSError"),
    **dict.fromkeys(("socket.timeout", "asyncio.TimeoutError"), "TimeoutError"),
}
LONGEST = 116  # characters of a line in a test's body
MARKED = 400  # of one that linter and formatter are told to leave alone
# Bases that make an object in no way of their own.
NOTHING = {"", "object", "Generic", "ABC", "abc.ABC", "typing.Generic"}


class Subject:
    """One module. `dotted` is the name by which a test imports it, "" where no import statement can say it.

    `local` are the first words of what is imported from the project itself.
    """

    def __init__(self, module: Module, dotted: str = "", local: frozenset[str] = frozenset()) -> None:
        self.module, self.dotted, self.local = module, dotted, local
        self.known = values.constants(module.tree)
        self.classes = {one.qualname: one for one in module.classes if not one.replaced}
        self.imports: dict[str, Import] = {one.name: one for one in module.imports if not one.local}
        self.by_name: dict[str, list[Function]] = {}
        for one in module.functions:
            if not one.nested and not one.replaced:
                self.by_name.setdefault(one.name, []).append(one)
        self.names = _names(module)
        self.rebound = _rebound(module)
        self.taken = Taken()

    def test(
        self,
        qualname: str,
        kind: Kind,
        suffix: str,
        line: int,
        told: str,
        body: Iterable[str],
        uses: Iterable[str] = (),
        **more: Any,
    ) -> Candidate | None:
        """A test of what stands at `line`; None where a line would be too long.

        `uses` are further names, as the module knows them.
        """
        lines = tuple(body)
        if any(
            len(part) > (MARKED if part.endswith(("# noqa", "# fmt: skip")) else LONGEST) for part in lines
        ):
            return None
        names, imports = self.needs(uses)
        own = more.pop("names", (qualname.split(".")[0],))
        wanted = tuple(dict.fromkeys([*more.pop("imports", ()), *imports]))
        name = more.pop("name", "") or self.taken(qualname, suffix)
        return Candidate(
            qualname, kind, name, line, told, lines, tuple(sorted({*own, *names})), imports=wanted, **more
        )

    def needs(self, names: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
        """How a test gets at names of the module ("requests.Timeout"): from the module, or from where that
        has them.
        """
        own: list[str] = []
        imports: list[tuple[str, str]] = []
        for name in names:
            head = name.split(".")[0]
            bound = self.imports.get(head)
            if bound is None and head not in self.names:
                continue  # a builtin
            if bound and head not in self.names and bound.attribute == bound.name:  # imported for types only
                imports.append((self._absolute(bound.module), bound.name))
            elif bound is None or bound.module.startswith(".") or (bound.conditional and head in self.names):
                own.append(head)
            elif bound.attribute is None and bound.name == bound.module:
                imports.append((bound.module, ""))
            elif bound.attribute == bound.name:
                imports.append((bound.module, bound.name))
            else:  # `import a.b`, or another name
                own.append(head)
        return own, imports

    def _absolute(self, module: str) -> str:
        """What a relative import imports from."""
        level = len(module) - len(module.lstrip("."))
        if not level:
            return module
        parts = self.dotted.split(".")
        package = parts if self.module.path.endswith("/__init__.py") else parts[:-1]
        return ".".join([*package[: len(package) - level + 1], *filter(None, [module[level:]])])

    def exception(self, name: str) -> str | None:
        """How a test names an exception that the module names so; None where it can't, or where the name is
        no class.
        """
        head = name.split(".")[0]
        if head in self.by_name or head in self.known:
            return None
        if head in self.names:
            return ALIASES.get(name, name) if head not in self.classes else name
        found = getattr(builtins, name, None)
        return (
            ALIASES.get(name, name) if isinstance(found, type) and issubclass(found, BaseException) else None
        )

    def raises_surely(self, name: str, is_async: bool) -> bool:
        """Whether raising this, with whatever is said in it, surely raises it: a builtin, or a class of the
        module without an __init__.
        """
        if name in self.classes:
            initialised = {
                one.owner for method in ("__init__", "__new__") for one in self.by_name.get(method, ())
            }
            found = self.classes[name]
            bases = [
                base
                for base in found.bases
                if base in self.classes or isinstance(getattr(builtins, base, None), type)
            ]
            return (
                name not in initialised
                and not initialised & {*bases}
                and not found.conditional
                and not found.decorators
                and bool(bases)
            )
        stops = name in ("StopIteration", "StopAsyncIteration") and is_async
        return (
            name not in self.names
            and hasattr(builtins, name)
            and not name.startswith("Unicode")
            and not stops
        )

    def known_name(self, name: str) -> bool:
        """Whether a test can get at a name as the module has it, those that are imported for types only as
        well.
        """
        bound = self.imports.get(name)
        return name in self.names or (
            bound is not None
            and bound.attribute == bound.name
            and bool(self.dotted or bound.module[0] != ".")
        )

    def callee(self, one: Function) -> str | None:
        """What a test calls, for a function that needs no object."""
        if one.kind in ("function", "staticmethod", "classmethod"):
            owner = self.classes.get(one.owner)
            return None if owner and owner.conditional else one.qualname
        return None

    def maker(self, owner: str) -> tuple[Parameter, ...] | None:
        """What making an object of a class asks for,
        in its order; None where the class's text doesn't tell."""
        found = self.classes.get(owner)
        if found is None or found.conditional or found.nested or found.enum or found.node.keywords:
            return None
        methods = {one.name: one for one in self.module.functions if one.owner == owner and not one.replaced}
        abstract = any("abstractmethod" in text for one in methods.values() for text in one.decorators)
        if abstract or "__new__" in methods or not {base.split("[")[0] for base in found.bases} <= NOTHING:
            return None
        if found.dataclass:
            plain = len(found.decorators) == 1 and not any(
                "InitVar" in field.annotation for field in found.fields
            )
            if (
                not plain
                or {"__init__", "__post_init__"} & {*methods}
                or "init=False" in found.decorators[0].replace(" ", "")
            ):
                return None
            return tuple(
                Parameter(
                    field.name,
                    "keyword-only" if field.keyword_only else "positional-or-keyword",
                    field.annotation,
                    None,
                )
                for field in found.fields
                if field.required
            )
        if found.decorators:
            return None
        initialiser = methods.get("__init__")
        if initialiser is None:
            return ()
        if initialiser.is_async or initialiser.conditional or initialiser.decorators:
            return None
        return required(initialiser)


class Taken:
    """Names of the tests of a module, each given once."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __call__(self, qualname: str, suffix: str) -> str:
        """A free name for a test of `qualname`."""
        base = (
            "test_"
            + re.sub(r"_*\W+_*", "_", qualname.replace(".__init__", "").replace(".", "_")).strip("_").lower()
            + f"_{suffix.lower()}"
        )
        name, number = base[:90], 1
        while name in self.names:
            number += 1
            name = f"{base[:90]}_{number}"
        self.names.add(name)
        return name


def own(one: Function) -> tuple[Parameter, ...]:
    """The parameters that a caller gives."""
    bound = one.owner and one.kind not in ("staticmethod", "function")
    return one.parameters[1:] if bound else one.parameters


def required(one: Function) -> tuple[Parameter, ...]:
    """The parameters that a caller has to give."""
    return tuple(p for p in own(one) if p.default is None and not p.kind.startswith("var-"))


def awaited(one: Function, call: str) -> str:
    """The call of a function as a test that isn't async makes it."""
    return f"asyncio.run({call})" if one.is_async else call


def plain(one: Function) -> bool:
    """Whether no decorator can make something else of a function."""
    return not set(one.decorators) - {"staticmethod", "classmethod"}


def signature(function: Function) -> str:
    """The call as people see it: `price(amount, rate=0.2, *, currency="EUR")`, on one line.

    A change in it is worth a look at its tests.
    """
    parts: list[str] = []
    positional = False
    for one in function.parameters:
        if one.kind == "positional-only":
            positional = True
        elif positional:
            parts.append("/")
            positional = False
        if one.kind == "keyword-only" and not any(part.startswith("*") for part in parts):
            parts.append("*")
        star = {"var-positional": "*", "var-keyword": "**"}.get(one.kind, "")
        default = (
            "" if one.default is None else "=" + (shown(one.default) if len(one.default) <= 20 else "...")
        )
        parts.append(star + one.name + default)
    return f"{function.qualname}({', '.join(parts + ['/'] * positional)})"


def class_signature(one: Class) -> str:
    """The same of a class: its members or fields."""
    told = f"{one.qualname}({', '.join(part.name for part in one.members or one.fields)})"
    return told if len(told) < 160 else told[:150] + "...)"


def _rebound(module: Module) -> set[str]:
    """What a def or class names and a statement at the module's top binds to something else, or deletes."""
    defined = {one.name for one in module.functions if not one.nested and not one.owner}
    defined |= {one.name for one in module.classes if one.qualname == one.name}
    stored: set[str] = set()
    for node in module.tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            stored |= {
                one.id
                for one in ast.walk(node)
                if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)
            }
    return defined & stored


def _names(module: Module) -> set[str]:
    """What the module's own scope binds, as far as its text says."""
    found: set[str] = set()
    stack: list[ast.stmt] = list(module.tree.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).split(".")[-1] == "TYPE_CHECKING":
            stack += node.orelse  # what is imported there isn't there when it runs
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
        else:
            for part in ("body", "orelse", "finalbody"):
                stack += getattr(node, part, [])
            stack += [inner for handler in getattr(node, "handlers", []) for inner in handler.body]
    return found
