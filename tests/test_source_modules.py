"""What the reader says of a module: everything that is defined is found, and what can't be read is named with
its reason.
"""

from __future__ import annotations

import ast
import codecs
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from extensions.source.modules import LARGEST, Class, Function, Module, Unread, read, read_all, read_file
from tests.support.projects import ROOT


def module(source: str | bytes, path: str = "shop.py") -> Module:
    found = read(textwrap.dedent(source).encode() if isinstance(source, str) else source, path)
    assert isinstance(found, Module), found
    return found


def function(source: str) -> Function:
    return module(source).functions[0]


def a_class(source: str) -> Class:
    return module(source).classes[0]


def unread(content: bytes) -> Unread:
    found = read(content, "shop.py")
    assert isinstance(found, Unread)
    return found


# Which definitions there are


def test_every_definition_is_found_wherever_it_stands() -> None:
    found = module("""
        import sys
        def plain(): pass
        async def waits(): pass
        class Cart:
            def add(self): pass
            async def save(self):
                def inner(): pass
            class Line:
                def total(self): pass
        def outer():
            async def inner():
                class Local:
                    def deep(self): pass
        if sys.platform == "win32":
            def there(): pass
        elif plain:
            def elsewhere(): pass
        else:
            async def here(): pass
        try:
            def first(): pass
        except (ImportError, OSError):
            def second(): pass
        else:
            def third(): pass
        finally:
            def fourth(): pass
        with open("x"):
            def fifth(): pass
        for _ in ():
            def sixth(): pass
        else:
            def seventh(): pass
        while plain():
            async def eighth(): pass
        match plain():
            case 1:
                def ninth(): pass
            case _:
                async def tenth(): pass
        """)
    assert [one.qualname for one in found.functions] == [
        *("plain", "waits", "Cart.add", "Cart.save", "Cart.save.<locals>.inner", "Cart.Line.total"),
        *(
            "outer",
            "outer.<locals>.inner",
            "outer.<locals>.inner.<locals>.Local.deep",
            "there",
            "elsewhere",
            "here",
        ),
        *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
    ]
    assert [one.qualname for one in found.classes] == [
        "Cart",
        "Cart.Line",
        "outer.<locals>.inner.<locals>.Local",
    ]
    assert [one.name for one in found.functions if one.is_async] == [
        "waits",
        "save",
        "inner",
        "here",
        "eighth",
        "tenth",
    ]
    assert {one.name for one in found.functions if one.nested} == {"inner", "deep"}
    assert {one.name: one.conditional for one in found.functions if one.conditional} == {
        "there": 'if sys.platform == "win32"',
        "elsewhere": "if plain",
        "here": "else of if plain",
        "first": "try",
        "second": "except (ImportError, OSError)",
        "third": "try",
        **{
            "sixth": "for",
            "seventh": "for",
            "eighth": "while plain()",
            "ninth": "match plain()",
            "tenth": "match plain()",
        },
    }


def test_a_method_is_as_conditional_and_as_hidden_as_its_class() -> None:
    found = module(
        "if TYPE_CHECKING:\n    class A:\n        def f(self): pass\ndef g():\n    class B:\n        def"
        " h(self): pass\n"
    )
    by_name = {one.name: one for one in found.functions}
    assert by_name["f"].conditional == "if TYPE_CHECKING" and not by_name["f"].nested
    assert by_name["h"].nested and found.classes[1].nested


def test_global_gives_a_function_its_place_in_the_module() -> None:
    found = module("def outer():\n    global inner\n    def inner():\n        def deep(): pass\n")
    assert [one.qualname for one in found.functions] == ["outer", "inner", "inner.<locals>.deep"]


def test_lines_count_from_one_and_decorators_have_their_own() -> None:
    found = function('\n@cache(\n    size=3)\n@app.get("/a")\nasync def f():\n    pass\n    pass\n')
    assert (found.first_line, found.line, found.end_line) == (2, 5, 7)
    assert found.decorators == ("cache(size=3)", 'app.get("/a")')


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("def f(self)", "method"),
        ("@classmethod\n    def f(cls)", "classmethod"),
        ("@abc.abstractmethod\n    @staticmethod\n    def f()", "staticmethod"),
        ("@property\n    def f(self)", "property"),
        ("@functools.cached_property\n    def f(self)", "property"),
        ("@f.setter\n    def f(self, value)", "property"),
        ("@setter\n    def f(self)", "method"),
        ("def __new__(cls)", "staticmethod"),
        ("def __init_subclass__(cls)", "classmethod"),
        ("async def f(self)", "method"),
    ],
)
def test_the_kind_of_a_method(head: str, kind: str) -> None:
    found = function(f"class A:\n    {head}: pass\n")
    assert found.kind == kind and found.owner == "A"


def test_outside_a_class_it_is_a_function() -> None:
    found = module("@staticmethod\ndef f(): pass\nclass A:\n    def m(self):\n        def g(): pass\n")
    assert [(one.kind, one.owner) for one in found.functions] == [
        ("function", ""),
        ("method", "A"),
        ("function", ""),
    ]


def test_a_generator_is_one_by_its_own_yields_only() -> None:
    found = module("""
        def words(): "yield"
        def a(): yield
        async def b():
            return [x async for x in (yield)]
        def c():
            x = yield from ()
        def d():
            def inner(): yield 1
            return lambda: (yield)
        def e():
            def inner(x=(yield)): pass
        def f():
            class Inner((yield)): pass
        def g():
            return lambda x=(yield): x
        """)
    assert [one.qualname for one in found.functions if one.is_generator] == [
        "a",
        "b",
        "c",
        "d.<locals>.inner",
        "e",
        "f",
        "g",
    ]


def test_what_a_later_definition_replaces_is_marked() -> None:
    found = module("""
        @overload
        def f(x: int): ...
        @overload
        def f(x: str): ...
        def f(x): ...
        try:
            def g(): ...
        except ImportError:
            def g(): ...
        def h(): ...
        if a:
            def h(): ...
        if a:
            def i(): ...
        def i(): ...
        class A:
            @property
            def size(self): ...
            @size.setter
            def size(self, value): ...
            def f(self): ...
        class A: ...
        """)
    assert [(one.name, one.line) for one in found.functions if one.replaced] == [
        ("f", 3),
        ("f", 5),
        ("i", 15),
    ]
    assert [one.replaced for one in found.classes] == [True, False]


# What a definition says


def test_parameters_come_with_kind_annotation_and_default() -> None:
    found = function("""
        def f(a, b: int = 1, /, c: "list[int]" = [2], *rest: str, d, e: dict[
            str,   # a comment
            int] = "}", **others: Any) -> tuple[int,
            str]: pass
        """)
    assert [(one.name, one.kind, one.annotation, one.default) for one in found.parameters] == [
        ("a", "positional-only", None, None),
        ("b", "positional-only", "int", "1"),
        ("c", "positional-or-keyword", "list[int]", "[2]"),
        ("rest", "var-positional", "str", None),
        ("d", "keyword-only", None, None),
        ("e", "keyword-only", "dict[str, int]", '"}"'),
        ("others", "var-keyword", "Any", None),
    ]
    assert found.returns == "tuple[int, str]"
    assert function("def f(): pass").returns is None


def test_guards_at_the_head_and_the_parameter_that_each_tests() -> None:
    found = function('''
        def f(size: int, name=None, *, limit=3):
            """Say."""
            import math
            if size < 0:
                raise ValueError("negative")
            if not isinstance(name, str):
                message = f"expected str, got {name}"
                raise errors.Wrong(message) from None
            elif size > limit:
                raise TooLarge
            if size == 4:
                print(size)
                raise ValueError
            if size == 5:
                raise ValueError
        ''')
    assert [(one.text, one.parameter, one.exception, one.line, one.exit_line) for one in found.guards] == [
        ("size < 0", "size", "ValueError", 5, 6),
        ("not isinstance(name, str)", "name", "errors.Wrong", 7, 9),
        ("size > limit", None, "TooLarge", 10, 11),
    ]
    assert found.guards[1].names == ("isinstance", "name", "str")
    assert isinstance(found.guards[0].condition, ast.Compare)
    assert found.raises == ("ValueError", "errors.Wrong", "TooLarge")


@pytest.mark.parametrize(
    "body",
    [
        "size = int(size)\n    if size: raise ValueError",  # no longer what the caller gave
        "if size: raise",
        "if size: raise ValueError\n    yield",  # raised when iterated, not when called
        "for x in size:\n        if x: raise ValueError",
        "if size:\n        size = 1\n        return size\n    if size < 0: raise ValueError",
    ],
)
def test_what_is_no_guard(body: str) -> None:
    assert function(f"def f(size):\n    {body}\n").guards == ()


def test_a_guard_may_return_and_says_what() -> None:
    found = function(
        "def f(size):\n    if size < 0:\n        return\n    elif size == 0:\n        return [size]\n   "
        " return 1\n"
    ).guards
    assert [
        (one.text, one.exception, one.answer and ast.unparse(one.answer), one.exit_line) for one in found
    ] == [
        ("size < 0", "", None, 3),
        ("size == 0", "", "[size]", 5),
    ]


def test_a_guard_on_the_state_of_the_object_tests_no_parameter() -> None:
    found = module(
        "class A:\n    def f(self, x):\n        if self.closed: raise E\n        if x > self.top: raise E\n  "
        "      if x: raise E\n"
    )
    assert [one.parameter for one in found.functions[0].guards] == [None, None, "x"]
    assert found.functions[0].guards[1].names == ("x", "self")


def test_raises_are_those_of_the_function_itself() -> None:
    found = module(
        "def f():\n    def g(): raise A\n    try: h()\n    except E as e: raise\n    if x:\n        raise"
        " b.C(1)\n    raise e\n"
    )
    assert [one.raises for one in found.functions] == [("b.C", "e"), ("A",)]


def test_doctests_have_their_lines_options_and_expected_exceptions() -> None:
    found = function('''
        def double(x):
            r"""Twice.

            >>> double(2)
            4
            >>> double(
            ...     3)  # doctest: +ELLIPSIS, -SKIP
            6...
            >>> double(None)
            Traceback (most recent call last):
              ...
            TypeError: no
            """
        ''')
    assert [(one.source, one.want, one.line) for one in found.examples] == [
        ("double(2)\n", "4\n", 5),
        ("double(\n    3)  # doctest: +ELLIPSIS, -SKIP\n", "6...\n", 7),
        ("double(None)\n", "Traceback (most recent call last):\n  ...\nTypeError: no\n", 10),
    ]
    assert found.examples[1].options == (("ELLIPSIS", True), ("SKIP", False))
    assert found.examples[2].raises == "TypeError: no\n"
    assert found.docstring is not None and found.docstring.startswith("Twice.")


def test_examples_of_a_module_and_a_class_and_one_that_doctest_rejects() -> None:
    found = module(
        '">>> 1\\n1"\nclass A:\n    """>>> 2\n    2\n    """\ndef f():\n    """\n    >>>1\n    """\n'
    )
    assert [one.line for one in (*found.examples, *found.classes[0].examples)] == [1, 3]
    assert found.functions[0].examples == ()
    assert [(one.line, "lacks blank after >>>" in one.reason) for one in found.unread] == [(7, True)]


def test_dataclasses_by_whatever_name_they_are_imported() -> None:
    found = module("""
        import dataclasses as dc
        from dataclasses import dataclass as record, field, KW_ONLY
        from typing import ClassVar
        @record(frozen=True)
        class Line:
            name: str
            count: "int" = 1
            tags: list[str] = field(default_factory=list)
            key: int = field(init=False, default=0)
            late: int = field(kw_only=True)
            known: ClassVar[int] = 3
            _: KW_ONLY
            price: float = field()
            plain = 4
            a.b: int
            def total(self): ...
        @dc.dataclass
        class Open: ...
        @attrs.define
        class Other:
            x: int
        """)
    line, opened, other = found.classes
    assert (line.dataclass, line.frozen, opened.dataclass, opened.frozen, other.dataclass) == (
        True,
        True,
        True,
        False,
        False,
    )
    assert [
        (one.name, one.annotation, one.default, one.required, one.init, one.keyword_only)
        for one in line.fields
    ] == [
        ("name", "str", None, True, True, False),
        ("count", "int", "1", False, True, False),
        ("tags", "list[str]", "field(default_factory=list)", False, True, False),
        ("key", "int", "field(init=False, default=0)", False, False, False),
        ("late", "int", "field(kw_only=True)", True, True, True),
        ("price", "float", "field()", True, True, True),
    ]
    assert other.fields == ()


def test_enums_and_their_members() -> None:
    found = module("""
        import enum
        from enum import StrEnum as Text
        class Colour(enum.Enum):
            RED = 1
            DARK, LIGHT = 2, 3
            _private = 4
            typed: int = 5
            __hidden = 6
            _order_ = "RED"
            bare: int
            act = lambda self: 1
            aside = enum.nonmember(3)
            def f(self): ...
        class Base(Text): ...
        class Shade(Base):
            PALE = enum.auto()
        class Enum: ...
        class No(Enum):
            A = 1
        """)
    colour, _, shade, _, no = found.classes
    assert [(one.name, one.value) for one in colour.members] == [
        ("RED", "1"),
        ("DARK", "2"),
        ("LIGHT", "3"),
        ("_private", "4"),
        ("typed", "5"),
    ]
    assert [(one.name, one.value) for one in shade.members] == [("PALE", "enum.auto()")]
    assert shade.enum and not no.enum and no.members == ()


def test_imports_say_what_they_bind_and_where() -> None:
    found = module("""
        import a.b, c as d
        from .e import f as g
        from .. import *
        try:
            import redis
        except ImportError:
            redis = None
        def h():
            from flask import Flask
        """)
    assert [(one.name, one.module, one.attribute, one.local, one.conditional) for one in found.imports] == [
        ("a", "a.b", None, False, ""),
        ("d", "c", None, False, ""),
        ("g", ".e", "f", False, ""),
        ("*", "..", "*", False, ""),
        ("redis", "redis", None, False, "try"),
        ("Flask", "flask", "Flask", True, ""),
    ]


@pytest.mark.parametrize(
    "head",
    [
        "# @generated by tool",
        "#!/usr/bin/env python\n# AUTO-GENERATED. DO NOT EDIT",
        "# Generated by Django 5.0",
    ],
)
def test_generated_files_are_told(head: str) -> None:
    assert module(head + "\nx = 1\n").generated
    assert not module('"""Reports are generated by night."""\n').generated
    assert module("x = 1\n", "shop_pb2.py").generated


# Bytes

WORDS = 'def grüße(größe: "Maß" = "süß"): pass\n'


@pytest.mark.parametrize(
    "content",
    [
        WORDS.encode(),
        codecs.BOM_UTF8 + WORDS.encode(),
        codecs.BOM_UTF8 + b"# coding: utf-8\n" + WORDS.encode(),
        b"# -*- coding: latin-1 -*-\n" + WORDS.encode("latin-1"),
        b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n" + WORDS.encode("cp1252"),
        b"#\r\n# coding=iso-8859-15\r\n\r\n" + WORDS.encode("iso-8859-15"),
        b"x = 1\r" + WORDS.encode().replace(b"\n", b"\r"),
        b"x = '''\r\n\x0c\r\n'''\r\n" + WORDS.encode(),
    ],
)
def test_text_is_right_in_every_encoding_and_with_every_line_end(content: bytes) -> None:
    found = module(content).functions[0]
    assert (found.name, found.parameters[0].annotation, found.parameters[0].default) == (
        "grüße",
        "Maß",
        '"süß"',
    )


@pytest.mark.parametrize(
    ("content", "reason", "line"),
    [
        (b"x = 1\nx = =\n", "invalid syntax", 2),
        (b"x = '\xe9'\n", "utf-8", 1),
        (b"# coding: utf-99\n", "unknown encoding", 0),
        (b"# coding: undefined\nx = 1\n", "", 0),
        (b"# coding: rot13\nk = 1\n", "", 0),
        (b"x = 1\0\n", "null bytes", 0),
        ("x = 1\n".encode("utf-16"), "", 0),
        (b"x = " + b"(" * 500 + b")" * 500, "too many nested parentheses", 1),
        (b"x = " + b"-" * 200_000 + b"1", "nested too deep", 0),
        (b"x = a" + b".b" * 100_000, "nested too deep", 0),
        (b"x = 1" + b" + 1" * 100_000, "nested too deep", 0),
        (
            b"if x:\n" + b"".join(b" " * n + b"if x:\n" for n in range(1, 200)),
            "too many levels of indentation",
            101,
        ),
        (b"x = '" + b"a" * LARGEST + b"'", "more than 4,000,000 bytes", 0),
        (b"x = [" + b"1," * 600_000 + b"]", "more than 500,000 words", 0),
        (b"print 'hello'\n", "Missing parentheses", 1),
    ],
)
def test_what_cannot_be_read_is_named_with_its_reason(content: bytes, reason: str, line: int) -> None:
    found = unread(content)
    assert reason in found.reason and found.path == "shop.py"
    assert "\n" not in found.reason and found.line in (line, 1)


def test_a_deep_program_that_parses_is_read() -> None:
    elifs = "if x == 0: pass\n" + "".join(f"elif x == {n}:\n    def f{n}(): pass\n" for n in range(1, 900))
    found = module(elifs + "def g(x=" + " + ".join(["1"] * 900) + "):\n    if x" + ".y" * 900 + ": raise E\n")
    assert len(found.functions) == 900
    assert found.functions[-1].guards[0].exception == "E"


def test_a_file_of_fifty_thousand_lines() -> None:
    text = b"".join(
        b"async def f%d(value: int) -> int:\n    if value < 0:\n        raise ValueError\n    return"
        b" value\n\n" % n
        for n in range(10_000)
    )
    found = module(text)
    assert text.count(b"\n") == 50_000 and len(found.functions) == 10_000
    assert found.functions[-1].guards[0].line == 49_997


@pytest.mark.parametrize(
    "text",
    [
        "def f(): pass\n" * 20_000,
        "if x:\n    def f(): pass\n" * 10_000,
        "if x: pass\n" + "elif y:\n    def f(): pass\n" * 900,
        "x = (" + "a, " * 100_000 + ")\nclass A:\n" + "    @f\n    def f(self): yield\n" * 5_000,
        "if " + "a or " * 50_000 + "a:\n" + "    def f(): pass\n" * 10_000,
    ],
    ids=["replaced", "alternatives", "elif", "generators", "condition"],
)
def test_a_file_made_to_be_slow_is_read(text: str) -> None:
    """With the square of its length it would take minutes."""
    assert len(module(text).functions) == text.count("def ")


def test_of_a_file_for_another_python_the_names_are_known() -> None:
    found = unread(
        textwrap.dedent('''
            """
            def not_this(): pass
            """
            print "two"
            class Cart(object):
                @property
                def size(self): return 1
                async def save(
                    self,
                ): pass
            def outer():
                if 1:
                    def inner(): pass
            with x:
                class Last: pass
            ''').encode()
    )
    assert [(one.qualname, one.line, one.is_class, one.is_async) for one in found.names] == [
        ("Cart", 6, True, False),
        ("Cart.size", 8, False, False),
        ("Cart.save", 9, False, True),
        ("outer", 12, False, False),
        ("outer.<locals>.inner", 14, False, False),
        ("Last", 16, True, False),
    ]


def test_a_bracket_that_is_never_closed_hides_no_names() -> None:
    assert [one.qualname for one in unread(b"x = (\n\ndef f():\n    pass\nasync def g(): pass\n").names] == [
        "f",
        "g",
    ]


@pytest.mark.parametrize(
    "content",
    [b"class A[T]:\n    def f[U](self): pass\n", b"type A = int\n", b"""x = f'{a["b"]}' f"{'\\n'}"\n"""],
)
def test_the_newest_syntax_is_read_or_named(content: bytes) -> None:
    found = read(content, "shop.py")
    if sys.version_info >= (3, 12):
        assert isinstance(found, Module)
    else:
        assert isinstance(found, Unread) and f"Python 3.{sys.version_info[1]}" in found.reason


def test_warnings_of_their_source_stay_silent(recwarn: pytest.WarningsRecorder) -> None:
    module(b"x = '\\d'\nassert (1, 'x')\nx is 1\n")
    assert not recwarn.list


# Trees


def test_a_tree_is_read_whole_and_what_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    bot = tmp_path / "services" / "telegram-bot"
    bot.mkdir(parents=True)
    (bot / "bot-main.py").write_text("async def start(): pass\n")
    (bot / "2nd.py").write_text("def f(: pass\n")
    (bot / "class.py").mkdir()
    (bot / "loop.py").symlink_to("loop.py")
    (bot / "gone.py").symlink_to("nowhere.py")
    (bot / "around").symlink_to(bot, target_is_directory=True)
    os.mkfifo(bot / "pipe.py")
    found = {one.path: one for one in read_all(tmp_path)}
    at = "services/telegram-bot/"
    assert set(found) == {at + name for name in ("bot-main.py", "2nd.py", "loop.py", "gone.py", "pipe.py")}
    first = found[at + "bot-main.py"]
    assert isinstance(first, Module) and first.functions[0].is_async
    reasons = {path.removeprefix(at): one.reason for path, one in found.items() if isinstance(one, Unread)}
    assert reasons["loop.py"] == reasons["gone.py"] == "not readable: a symlink that leads to no file"
    assert reasons["pipe.py"] == "not readable: not a file"
    assert "invalid syntax" in reasons["2nd.py"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_without_permission_is_reported(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert [(one.path, one.reason) for one in read_all(tmp_path) if isinstance(one, Unread)] == [
        ("closed", "not readable: Permission denied")
    ]


def test_a_file_that_is_gone_is_reported(tmp_path: Path) -> None:
    found = read_file(tmp_path, "gone.py")
    assert isinstance(found, Unread) and found.reason == "not readable: No such file or directory"


def test_reading_brings_no_heavy_modules_along() -> None:
    """Copier loads the reader when it renders."""
    code = (
        "import sys, extensions.source.modules; print({'doctest', 'unittest', 'copier'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
