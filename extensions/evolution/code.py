"""What Python source says about health endpoints and tests: read, never imported."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..source.modules import Module, read_file

EXTENSION_POINT = ("init_service", "serve_health", "create_health_endpoint")


@dataclass(frozen=True)
class Function:
    """A public function of a module: its place, and how many lines it has."""

    name: str
    place: str
    lines: int


@dataclass
class Code:
    """What stands in a service: where it calls the extension point (`init_service`), its public functions,
    and the files that can't be parsed.
    """

    init_calls: list[str] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    unparsed: list[str] = field(default_factory=list)


@dataclass
class Tests:
    """The names that stand in tests which assert something, and the files that can't be parsed."""

    names: set[str] = field(default_factory=set)
    unparsed: list[str] = field(default_factory=list)


def read_code(root: Path, paths: Iterable[str]) -> Code:
    """Read these files of a service, as POSIX paths from `root`."""
    code = Code()
    for path, module in _modules(root, paths, code.unparsed):
        code.init_calls += [f"{path}:{line}" for line in _calls(module.tree)]
        code.functions += [
            Function(one.name, f"{path}:{one.line}", one.end_line - one.line + 1)
            for one in module.functions
            if one.qualname == one.name and not (one.nested or one.conditional or one.name.startswith("_"))
        ]
    return code


def start_file(root: Path, service: Mapping[str, str]) -> str:
    """The file that starts a service, as far as the answers say, as a POSIX path from `root`; empty where
    they don't. Its module may be imported from above the service's folder.
    """
    # A worker may be a command, as `celery -A shop.tasks worker`: the last of its words that is a module's.
    words = service["app"].removeprefix("uvicorn ").partition(":")[0].split()
    if len(words) > 1:
        tried = [start_file(root, {**service, "app": word}) for word in words[1:] if word[0] != "-"]
        return next(filter(None, tried), "")
    module = words[0] if words else ""
    if not module:
        return ""
    name = module.removesuffix(".py") if module.endswith(".py") else module.replace(".", "/")
    folders = (service["path"], posixpath.dirname(service["path"]), "")
    inside = [posixpath.normpath(posixpath.join(folder, name)) for folder in folders]
    tried = [one + end for one in inside for end in (".py", "/__init__.py")]
    return next((one for one in tried if (root / one).is_file()), "")


def read_tests(root: Path, paths: Iterable[str]) -> Tests:
    """Read these test files. A file counts only if a test function in it asserts something."""
    tests = Tests()
    for _, module in _modules(root, paths, tests.unparsed):
        nodes = list(ast.walk(module.tree))
        functions = [
            node
            for node in nodes
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test")
        ]
        if any(_asserts(node) for function in functions for node in ast.walk(function)):
            tests.names.update(_names(nodes))
    return tests


def _modules(root: Path, paths: Iterable[str], unparsed: list[str]) -> Iterator[tuple[str, Module]]:
    for path in paths:
        found = read_file(root, path)
        if isinstance(found, Module):
            yield path, found
        else:
            unparsed.append(path)


def _calls(tree: ast.Module) -> list[int]:
    """The lines with a call of the extension point, under the name that it was imported by or as an attribute
    of the module.
    """
    nodes = list(ast.walk(tree))
    imported = {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] == "health"
        for alias in node.names
        if alias.name in EXTENSION_POINT
    }
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    return [
        node.lineno
        for node in calls
        if (isinstance(node.func, ast.Name) and node.func.id in imported)
        or (isinstance(node.func, ast.Attribute) and node.func.attr in EXTENSION_POINT)
    ]


def _asserts(node: ast.AST) -> bool:
    """An assert statement, or a call of something that asserts: pytest.raises, self.assertEqual,
    mock.assert_called.
    """
    if isinstance(node, ast.Assert):
        return True
    return isinstance(node, ast.Attribute) and (
        node.attr.startswith("assert") or node.attr in ("raises", "warns", "fail")
    )


def _names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]
