"""The types that a docstring tells, in Google's, NumPy's or Sphinx's form, for functions that have no
annotations.
"""

from __future__ import annotations

import ast
import inspect
import re
from typing import NamedTuple


class Told(NamedTuple):
    """Types as annotations: of parameters by their names,
    and of what is returned ("" where nothing is told)."""

    parameters: dict[str, str]
    returns: str


_WORDS = {"string": "str", "boolean": "bool", "integer": "int", "dictionary": "dict", "strings": "str"}
_SECTION = re.compile(r"^(?P<name>Args|Arguments|Parameters|Params|Returns|Return)\s*:?\s*$", re.MULTILINE)
_END = re.compile(r"^\S.*$", re.MULTILINE)
_GOOGLE = re.compile(
    r"^\s+\*{0,2}(?P<name>\w+)\s*\((?P<type>[^()]*(?:\([^()]*\)[^()]*)*)\)\s*:", re.MULTILINE
)
_GOOGLE_RETURN = re.compile(r"\s*(?P<type>[\w.\[\], |]+?)\s*:(?:\s|$)")
_NUMPY = re.compile(r"^(?P<name>\w+)\s+:\s+(?P<type>.+)$", re.MULTILINE)
_SPHINX = re.compile(r"^\s*:param\s+(?P<type>[^:]+?)\s+(?P<name>\w+)\s*:", re.MULTILINE)
_SPHINX_TYPE = re.compile(r"^\s*:type\s+(?P<name>\w+)\s*:\s*(?P<type>.+)$", re.MULTILINE)
_SPHINX_RETURN = re.compile(r"^\s*:rtype\s*:\s*(?P<type>.+)$", re.MULTILINE)


def types(docstring: str | None) -> Told:
    """What a docstring, as it stands in the source, tells of types.

    What is no annotation, as "list of names", is left out.
    """
    if not docstring or not (":" in docstring or "---" in docstring):
        return Told({}, "")
    text = inspect.cleandoc(docstring)
    parameters: dict[str, str] = {}
    returns = ""
    for pattern in (_SPHINX, _SPHINX_TYPE):
        parameters |= {found["name"]: found["type"] for found in pattern.finditer(text)}
    if found := _SPHINX_RETURN.search(text):
        returns = found["type"]
    for section in _SECTION.finditer(text):
        body = text[section.end() :].lstrip("\n")
        of_numpy = re.match(r"-{3,}\s*$", body, re.MULTILINE)
        if section["name"].startswith("Return"):
            returns = returns or _returned(body, of_numpy)
        elif of_numpy:
            parameters |= {
                one["name"]: one["type"] for one in _NUMPY.finditer(body[of_numpy.end() :].split("\n\n")[0])
            }
        else:
            end = _END.search(body)
            parameters |= {
                one["name"]: one["type"] for one in _GOOGLE.finditer(body[: end.start() if end else None])
            }
    return Told(
        {name: type_ for name, told in parameters.items() if (type_ := _annotation(told))},
        _annotation(returns),
    )


def _returned(body: str, of_numpy: re.Match[str] | None) -> str:
    if of_numpy:
        first = body[of_numpy.end() :].lstrip("\n").split("\n")[0]
        return first.rpartition(" : ")[2] if first[:1].strip() else ""
    found = _GOOGLE_RETURN.match(body.split("\n")[0]) if body[:1].isspace() else None
    return found["type"] if found else ""


def _annotation(told: str) -> str:
    """A told type as an annotation; "" where it is none."""
    text = re.sub(
        r",?\s*(optional|default.*)$", "", told.strip().strip("`").removesuffix("."), flags=re.IGNORECASE
    )
    text = re.sub(r"\s+or\s+", " | ", text)
    text = re.sub(r"\b[a-z]+\b", lambda word: _WORDS.get(word[0], word[0]), text)
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return text.strip() if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp)) else ""
