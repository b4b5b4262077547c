"""Imports between the files of a service: which file a dotted name leads to, and what the names stand for."""

from __future__ import annotations

import ast
import posixpath
import sys
from typing import TYPE_CHECKING, Any

from ..files import parsed
from .values import UNKNOWN, External, Module, Note, Place, Scope

if TYPE_CHECKING:
    from .follower import Follower


class Imports:
    """The modules of a service, each gone through once. `modules` has them by file."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self.modules: dict[str, Module] = {}

    def module(self, name: str) -> Any:
        """The module of that dotted name, gone through with the packages above it; External where it is not
        the project's.
        """
        parts = name.split(".")
        for folder in self._follower.folders:
            found: Module | None = None
            for count in range(1, len(parts) + 1):
                file = self._file(posixpath.join(folder, *parts[:count]))
                if file is None:
                    # A folder without __init__.py is a package too.
                    if (
                        count < len(parts)
                        and (self._follower.root / folder / posixpath.join(*parts[:count])).is_dir()
                    ):
                        continue
                    found = None
                    break
                above, found = found, self.load(file, ".".join(parts[:count]))
                if above:
                    above.scope.names.setdefault(parts[count - 1], found)
            if found:
                return found
        return External(name)

    def _file(self, path: str) -> str | None:
        path = posixpath.normpath(path)
        for file in (f"{path}/__init__.py", f"{path}.py"):
            try:
                if (self._follower.root / file).is_file():
                    return file
            except (OSError, ValueError):
                return None
        return None

    def load(self, file: str, name: str) -> Module:
        """Go through a file, once; a circular import sees what is bound so far."""
        if file in self.modules:
            return self.modules[file]
        scope = Scope(file, name)
        scope.names["__name__"] = name
        self.modules[file] = module = Module(scope, file.endswith("/__init__.py"))
        try:
            tree = parsed((self._follower.root / file).read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None) or 1
            self._follower.notes.append(
                Note(
                    Place(file, line),
                    "the file",
                    f"not readable as Python: {getattr(error, 'msg', None) or error}",
                )
            )
            return module
        self._follower.run(tree.body, scope)
        return module

    def run(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                found = self.module(alias.name)
                top = alias.name.split(".")[0]
                scope.set(
                    alias.asname or top, found if alias.asname or "." not in alias.name else self.module(top)
                )
            return
        name = node.module or ""
        if node.level:
            package = scope.module if self.modules[scope.file].package else scope.module.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            name = ".".join(filter(None, (package, name)))
        source = self.module(name) if name else UNKNOWN
        for alias in node.names:
            if alias.name == "*":
                if isinstance(source, Module):
                    public = source.scope.names.get("__all__")
                    listed = (
                        public
                        if isinstance(public, (list, tuple))
                        else [n for n in source.scope.names if n[:1] != "_"]
                    )
                    for one in listed:
                        if isinstance(one, str):
                            scope.set(one, source.scope.get(one))
                elif name == "flask":
                    scope.set("Flask", External("flask.Flask"))
                    scope.set("Blueprint", External("flask.Blueprint"))
                continue
            scope.set(alias.asname or alias.name, self._from(source, name, alias.name))

    def _from(self, source: Any, name: str, wanted: str) -> Any:
        if isinstance(source, Module):
            if wanted in source.scope.names:
                return source.scope.names[wanted]
            below = self.module(f"{name}.{wanted}")
            return below if isinstance(below, Module) else UNKNOWN
        if isinstance(source, External):
            below = self.module(f"{name}.{wanted}")  # a module in a folder without __init__.py
            return below if isinstance(below, Module) else External(f"{name}.{wanted}")
        below = self.module(wanted)  # `from . import x` in a script's folder
        return below if isinstance(below, Module) else UNKNOWN

    def outside(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> bool:
        """Whether it imports what is neither the project's nor Python's own."""
        if isinstance(node, ast.ImportFrom):
            if node.level:
                return False
            names = [node.module or ""]
        else:
            names = [alias.name for alias in node.names]
        tops = {name.split(".")[0] for name in names}
        return any(
            top not in sys.stdlib_module_names
            and top != "flask"
            and not any(self._is_ours(folder, top) for folder in self._follower.folders)
            for top in tops
        )

    def _is_ours(self, folder: str, top: str) -> bool:
        path = posixpath.join(folder, top)
        return self._file(path) is not None or (self._follower.root / path).is_dir()

    def by_name(self, name: Any, package: Any = UNKNOWN, *_: Any) -> Any:
        """What importlib.import_module gives."""
        if not isinstance(name, str):
            return UNKNOWN
        if name.startswith("."):
            if not isinstance(package, str):
                return UNKNOWN
            name = f"{package}{name}" if not name.startswith("..") else ""
        return self.module(name) if name else UNKNOWN
