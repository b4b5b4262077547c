"""The checks of the live checklist: one module a level, one function a check.

A check's name is the key that the level's manifest names under `checks:`. The first line of its docstring is
the item's title, the rest is why it matters. It takes the Facts of a project and returns an Answer.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..facts import Facts

State = Literal["done", "todo", "n/a", "unknown", "exempt"]


@dataclass(frozen=True)
class Answer:
    """How it stands, what was seen, and what a person does about it (for todo and unknown)."""

    state: State
    detail: str
    fix: str = ""


Check = Callable[[Facts], Answer]


def done(detail: str) -> Answer:
    return Answer("done", detail)


def todo(detail: str, fix: str) -> Answer:
    return Answer("todo", detail, fix)


def unknown(why: str, fix: str) -> Answer:
    return Answer("unknown", why, fix)


def not_applicable(why: str) -> Answer:
    return Answer("n/a", why)


def of_level(level: int, key: str) -> Check:
    """The check that a level's manifest names."""
    check: Check = getattr(importlib.import_module(f"{__name__}.level_{level}"), key)
    return check


def title(check: Check) -> str:
    """What the item is called."""
    return inspect.cleandoc(check.__doc__ or "").split("\n")[0]


def why(check: Check) -> str:
    """Why it matters, in one line."""
    return " ".join(inspect.cleandoc(check.__doc__ or "").split("\n")[1:]).strip()
