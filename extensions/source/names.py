"""The definitions in a file that doesn't parse: one written for a newer Python, for Python 2, or in the
middle of an edit.
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator

from .files import decoded
from .model import Name


def names(content: bytes) -> Iterator[Name]:
    """What `def`, `async def` and `class` define, by the tokens of the text, as far as it has any;
    indentation gives the nesting.

    Names and lines are as the parser of a newer Python has them, but for names that a `global` statement
    moves to the module.
    """
    if b"\0" in content:
        return
    try:
        text = decoded(content)
    except Exception:  # a codec that the file names may raise anything
        text = content.decode("latin-1")
    outer: list[tuple[int, str]] = []  # column and prefix of the definitions around
    try:
        words: list[str] = []  # of the line so far: "async def name" are three
        column, begins = 0, True
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (
                tokenize.NEWLINE,
                tokenize.INDENT,
                tokenize.DEDENT,
                tokenize.NL,
                tokenize.COMMENT,
            ):
                # A bracket that is never closed makes the rest of the file one statement, so definitions
                # count there too.
                begins = begins or token.type not in (tokenize.NL, tokenize.COMMENT)
                words = []
                continue
            words.append(token.string)
            if len(words) > 3:
                words.pop()
                continue
            if len(words) == 1:
                column = token.start[1]
            *keywords, name = words
            defines = (
                keywords in (["def"], ["async", "def"], ["class"])
                and token.type == tokenize.NAME
                and name != "def"
            )
            while outer and outer[-1][0] >= column and (defines or begins):
                outer.pop()
            begins = False
            if defines:
                qualname = (outer[-1][1] if outer else "") + name
                is_class = keywords == ["class"]
                outer.append((column, f"{qualname}." if is_class else f"{qualname}.<locals>."))
                yield Name(qualname, token.start[0], is_class, len(keywords) == 2)
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        return
