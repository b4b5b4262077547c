"""Modules whose import surely works and does nothing: they import the standard library, define, and bind
plain values.

Only of these is something written where nothing is run.
"""

from __future__ import annotations

import ast
import posixpath
import re
import sys
from pathlib import Path

from ..source.modules import Module, read_file

# Calls at the top of a module that do nothing but make a value.
_HARMLESS = re.compile(
    r"(re\.compile|logging\.getLogger|getLogger|TypeVar|NewType|namedtuple|field|auto|enum\.auto|frozenset|set|dict|tuple)"
)
_DECORATORS = re.compile(
    r"(dataclass|dataclasses\.dataclass|enum\.unique|unique|staticmethod|classmethod|property|cached_property"
    r"|(functools\.)?(cache|lru_cache|wraps|total_ordering|cached_property)|(contextlib\.)?(async)?contextmanager|abstractmethod|abc\.abstractmethod)"
)


def quiet(project: Path, file: str) -> bool:
    """Whether importing a module surely works and does nothing, and its packages too."""
    folder = posixpath.dirname(file)
    while folder:
        package = posixpath.join(folder, "__init__.py")
        if (project / package).is_file() and not _plain(project, package):
            return False
        folder = posixpath.dirname(folder)
    return _plain(project, file)


def _plain(project: Path, file: str) -> bool:
    module = read_file(project, file)
    if not isinstance(module, Module) or any(
        not _standard(one.module) for one in module.imports if not one.local
    ):
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
        return (
            all(map(_decorates, statement.decorator_list))
            and not statement.keywords
            and all(map(_does_nothing, statement.body))
        )
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
