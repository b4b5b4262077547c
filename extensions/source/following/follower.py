"""One service that is gone through: what was met, what is in doubt just now, and the parts that go through
it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .calls import Calls
from .expressions import Expressions
from .imports import Imports
from .statements import Statements
from .values import Note, Owner, Place, Scope

STEPS = 400_000  # expressions looked at; a large service takes a few ten thousand


class TooMuch(Exception):
    """There are more than STEPS."""


class Follower:
    """Goes through the modules of one service. `apps`, `blueprints` and `notes` hold what it met.

    Its parts need each other, as statements hold expressions, and a call runs statements: each reaches the
    others by what stands here.
    """

    def __init__(self, root: Path, folders: Sequence[str]) -> None:
        """`folders` are where the service's modules are imported from, as POSIX paths from `root`, the best
        first.
        """
        self.root, self.folders = root, list(dict.fromkeys(folders))
        self.apps: list[Owner] = []
        self.blueprints: list[Owner] = []
        self.notes: list[Note] = []
        # Calls of the template's `init_service`: the health.py, and the app.
        self.extension_points: list[tuple[str, Any]] = []
        self.doubts: list[str] = []  # for what reasons that which is gone through now may not run
        self.running: list[ast.AST] = []  # the functions that are called now, the outermost first
        self._steps = 0
        self.imports = Imports(self)
        statements, expressions = Statements(self), Expressions(self)
        self.run, self.bind = statements.run, statements.bind
        self.value = expressions.value
        self.calls = Calls(self)

    def step(self) -> None:
        """Count one more statement, expression or call."""
        self._steps += 1
        if self._steps > STEPS:
            raise TooMuch

    @contextmanager
    def doubt(self, why: str) -> Iterator[None]:
        """What is gone through inside may not run, and this is why."""
        self.doubts.append(why)
        try:
            yield
        finally:
            self.doubts.pop()

    def note(self, node: ast.AST, place: Place | Scope, why: str) -> None:
        """Name something that may add routes and can't be followed."""
        what = ast.unparse(node) if isinstance(node, ast.expr) else "registration"
        what = re.sub(r"\s+", " ", what)
        at = place if isinstance(place, Place) else Place(place.file, getattr(node, "lineno", 1))
        note = Note(at, what if len(what) <= 80 else what[:77] + "...", why)
        if note not in self.notes:
            self.notes.append(note)
