"""What methods and built-in functions give on plain values: texts, lists and mappings, for the few that build
routes.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

from .values import UNKNOWN

LONGEST = 10_000  # characters of a text, items of a list: what doubles itself ends here


_CHANGES_LIST = {"append", "add", "extend", "update", "insert", "remove", "discard", "pop", "clear"}
_CHANGES_MAPPING = {"update", "setdefault", "pop", "popitem", "clear"}


def of_text(text: str, method: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    """What a method of a text gives, for the few that build paths."""
    if method in (
        "strip",
        "lstrip",
        "rstrip",
        "lower",
        "upper",
        "removeprefix",
        "removesuffix",
        "replace",
        "title",
    ):
        if (
            all(isinstance(one, str) for one in arguments)
            and not named
            and len(text) * (1 + max(map(len, arguments), default=0)) <= 100_000
        ):
            try:
                return getattr(text, method)(*arguments)
            except (TypeError, ValueError):
                return UNKNOWN
    elif (
        method == "join" and len(arguments) == 1 and isinstance(arguments[0], list) and is_plain(arguments[0])
    ):
        return text.join(arguments[0])
    elif (
        method == "format"
        and "**" not in named
        and all(type(one) in (str, int) for one in chain(arguments, named.values()))
    ):
        fields = re.fullmatch(r"(?:[^{}]|\{\{|\}\}|\{\w*\})*", text)
        try:
            return text.format(*arguments, **named) if fields else UNKNOWN
        except (IndexError, KeyError, ValueError):
            return UNKNOWN
    elif method == "split" and all(isinstance(one, str) for one in arguments) and not named:
        return text.split(*arguments) if all(arguments) else UNKNOWN
    return UNKNOWN


def is_plain(value: Any) -> bool:
    return all(isinstance(one, str) for one in value)


def added(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str) and len(left) + len(right) <= LONGEST:
        return left + right
    if isinstance(left, list) and isinstance(right, list) and len(left) + len(right) <= LONGEST:
        return left + right
    return UNKNOWN


def forget(container: list[Any] | dict[Any, Any]) -> None:
    """Make what a list or a mapping holds unknown, for all who have it."""
    container.clear()
    if isinstance(container, dict):
        container[UNKNOWN] = UNKNOWN
    else:
        container.append(UNKNOWN)


def of_list(items: list[Any], method: str, arguments: list[Any], doubtful: bool) -> Any:
    """What a method of a list or a set gives,
    and what it changes; `doubtful` says that it may not be called."""
    if method not in _CHANGES_LIST:
        return UNKNOWN
    one = arguments[0] if len(arguments) == 1 else UNKNOWN
    if method in ("append", "add") and not doubtful:
        items.append(one)
    elif method in ("extend", "update") and isinstance(one, list) and len(items) <= LONGEST and not doubtful:
        items.extend(one)
    else:
        forget(items)
    return None if method != "pop" else UNKNOWN


def of_mapping(
    mapping: dict[Any, Any], method: str, arguments: list[Any], named: dict[str, Any], doubtful: bool
) -> Any:
    """What a method of a mapping gives, and what it changes."""
    if method == "items":
        return [[key, value] for key, value in mapping.items()]
    if method == "values":
        return list(mapping.values())
    if method == "keys":
        return list(mapping)
    if method == "get" and arguments and isinstance(arguments[0], (str, int)) and UNKNOWN not in mapping:
        return mapping.get(arguments[0], arguments[1] if len(arguments) > 1 else None)
    if (
        method == "update"
        and not doubtful
        and all(isinstance(one, dict) for one in arguments)
        and "**" not in named
    ):
        for one in (*arguments, named):
            mapping.update(one)
    elif method in _CHANGES_MAPPING:
        forget(mapping)
    return UNKNOWN


def of_builtin(name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    """What a built-in function gives; UNKNOWN for those that aren't followed."""
    if (
        name in ("list", "tuple", "sorted", "set", "reversed")
        and len(arguments) == 1
        and isinstance(arguments[0], (list, dict))
    ):
        return list(arguments[0])
    if name == "enumerate" and len(arguments) == 1 and isinstance(arguments[0], list):
        return [[index, one] for index, one in enumerate(arguments[0])]
    if name == "zip" and all(isinstance(one, list) for one in arguments):
        return [list(pair) for pair in zip(*arguments, strict=False)]
    if name == "str" and len(arguments) == 1 and type(arguments[0]) in (str, int):
        return str(arguments[0])
    if name == "dict" and not arguments and "**" not in named:
        return dict(named)
    return UNKNOWN
