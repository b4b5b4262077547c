"""Seeds: a test file for each module of the person's that has none yet, written once, after the rendering.

Rendering never writes them, so a move merges nothing into them: they belong to the person from the first day.
"""

from __future__ import annotations

import ast
import posixpath
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import answers, layers
from ..disk import git_says, shown
from ..source.files import aside, walk
from ..source.modules import Module, read_file
from . import project as stubs
from . import run

MOST = 5  # files at one time without being asked for: a first adoption of a large repository doesn't bury its people


def seed(project: Path, recorded: Mapping[str, Any], template: Path, ask: Callable[[str], str] | None = None) -> Iterator[str]:
    """Write seeds for the modules that are new since the last move. Yields a line for each, and for what is left.

    MOST files at most, unless the person wants all of them: `ask` puts the question and returns the answer; without it nobody is asked.
    Where the project has no environment yet, or its people don't want their code run (`seed_tests: read`), only tests are written that
    can't be red by reading, and only of modules whose import does nothing.
    """
    modules = due(project, recorded, template)
    read_only = recorded["seed_tests"] == "read" or run.interpreter(project) is None
    if read_only:
        modules = [(service, file) for service, file in modules if _quiet(project, file)]
    if not modules:
        return
    most: int | None = MOST
    if ask and len(modules) > MOST:
        said = ask(
            f"{len(modules)} modules of yours have no tests. Write tests for {MOST} of them now, for all, or for none? [{MOST}/all/none] "
        )
        if said.strip().lower() == "none":
            return
        most = None if said.strip().lower() == "all" else MOST
    result = stubs.stubs(project, modules, read_only=read_only, most=most)
    for stub in result.stubs:
        if stub.written:
            yield f"{shown(stub.test)}: {stub.written} tests from {shown(stub.source)}, yours now"
    left = len(modules) - len(result.stubs) - len(result.unparsed)
    if left:
        yield f"{left} modules more were not looked at: `make -f levels.mk stubs` writes what can be asserted of them"


def due(project: Path, recorded: Mapping[str, Any], template: Path) -> list[tuple[stubs.Service, str]]:
    """The modules of the person's, with their services, that came after the last move and that no test file is named after.

    What stood there at the last move had its chance: so a seed that was deleted is not written again.
    """
    services = answers.recorded_services(recorded)
    rendered = layers.owners(template, services)
    modules = [(service, file) for service, file in stubs.chosen(project, recorded, []) if file not in rendered]
    if not modules:
        return []
    moved = git_says(project, "log", "-1", "--format=%H", "HEAD", "--", ".copier-answers.yml").strip()
    before = set(git_says(project, "ls-tree", "-r", "-z", "--name-only", moved).split("\0")) if moved else set()
    modules = [(service, file) for service, file in modules if file not in before]
    if not modules:
        return []
    tested = {name for folder, names in walk(project) for name in names if aside(posixpath.join(folder, name))}
    return [(service, file) for service, file in modules if not _names(service, file) & tested]


def _names(service: stubs.Service, file: str) -> set[str]:
    """What a test file of this module may be called."""
    stem = posixpath.basename(file).removesuffix(".py")
    return {f"test_{stem}.py", f"{stem}_test.py", posixpath.basename(stubs.test_file(service, file))}


# Calls at the top of a module that do nothing but make a value.
_HARMLESS = re.compile(
    r"(re\.compile|logging\.getLogger|getLogger|TypeVar|NewType|namedtuple|field|auto|enum\.auto|frozenset|set|dict|tuple)"
)
_DECORATORS = re.compile(
    r"(dataclass|dataclasses\.dataclass|enum\.unique|unique|staticmethod|classmethod|property|cached_property"
    r"|(functools\.)?(cache|lru_cache|wraps|total_ordering|cached_property)|(contextlib\.)?(async)?contextmanager|abstractmethod|abc\.abstractmethod)"
)


def _quiet(project: Path, file: str) -> bool:
    """Whether importing a module surely works and does nothing: the standard library, definitions and plain values; its packages too."""
    folder = posixpath.dirname(file)
    while folder:
        package = posixpath.join(folder, "__init__.py")
        if (project / package).is_file() and not _plain(project, package):
            return False
        folder = posixpath.dirname(folder)
    return _plain(project, file)


def _plain(project: Path, file: str) -> bool:
    module = read_file(project, file)
    if not isinstance(module, Module) or any(not _standard(one.module) for one in module.imports if not one.local):
        return False
    return all(map(_does_nothing, module.tree.body))


def _standard(module: str) -> bool:
    return module.split(".")[0] in sys.stdlib_module_names


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.Pass)):
        return True
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        defaults = [*statement.args.defaults, *filter(None, statement.args.kw_defaults)]
        return all(map(_decorates, statement.decorator_list)) and all(map(_value, defaults))
    if isinstance(statement, ast.ClassDef):
        return all(map(_decorates, statement.decorator_list)) and not statement.keywords and all(map(_does_nothing, statement.body))
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return statement.value is None or _value(statement.value)
    return False


def _decorates(node: ast.expr) -> bool:
    return bool(_DECORATORS.fullmatch(ast.unparse(node.func if isinstance(node, ast.Call) else node)))


def _value(node: ast.expr) -> bool:
    """Whether an expression makes a value of constants alone."""
    if isinstance(node, ast.Call):
        parts = [*node.args, *(keyword.value for keyword in node.keywords)]
        return bool(_HARMLESS.fullmatch(ast.unparse(node.func))) and all(map(_value, parts))
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return all(map(_value, node.elts))
    if isinstance(node, ast.Dict):
        return all(map(_value, [*filter(None, node.keys), *node.values]))
    if isinstance(node, ast.UnaryOp):
        return _value(node.operand)
    return isinstance(node, (ast.Constant, ast.Name))
