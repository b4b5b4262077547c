"""What a function is seen to raise for some values, and what a test lets it refuse because of that."""

from __future__ import annotations

import pytest

from extensions.source.modules import Module, read
from extensions.stubs import raising
from extensions.stubs.subject import Subject

EXPRESSIONS = {
    "int(x)": {"ValueError", "ArithmeticError"},
    "x[0]": {"LookupError"},
    "x[1:]": set(),
    "x / y": {"ArithmeticError"},
    "x / 2": set(),
    "'%s' % x": set(),
    "max(x)": {"ValueError"},
    "max(x, y)": set(),
    "max(x, default=0)": set(),
    "range(1, x, y)": {"ValueError"},
    "range(0, x, 2)": set(),
    "x.format(y)": {"ValueError"},
    "'{}'.format(x)": set(),
    "datetime.strptime(x, y)": {"ValueError"},
    "next(x)": {"StopIteration"},
    "lambda: x[0]": {"LookupError"},
    "x.strip()": set(),
}


def indirectly(source: str, name: str = "f") -> set[str]:
    module = read(source.encode(), "m.py")
    assert isinstance(module, Module)
    return set(
        raising.indirectly(Subject(module), next(one for one in module.functions if one.qualname == name))
    )


@pytest.mark.parametrize(("expression", "wanted"), EXPRESSIONS.items())
def test_what_an_expression_raises_for_some_values(expression: str, wanted: set[str]) -> None:
    assert indirectly(f"def f(x, y):\n    return {expression}\n") == (
        wanted if "lambda" not in expression else set()
    )


def test_what_is_called_in_the_module_counts_too_and_circles_end() -> None:
    source = """
class Wrong(Exception): pass

class A:
    def __init__(self, x):
        if x: raise Wrong
    def m(self):
        raise KeyError

def f(x):
    a, b = g(x)
    return A(a).m()

def g(x):
    assert x
    return f(x)

def h(x):
    def inner(): raise OSError
"""
    assert indirectly(source) == {"ValueError", "AssertionError", "Wrong", "KeyError"}
    assert indirectly(source, "h") == set()
    assert raising.includes({"LookupError"}, "KeyError") and not raising.includes({"KeyError"}, "LookupError")


@pytest.mark.parametrize(
    ("body", "unwritten"),
    [
        ("...", True),
        ("pass", True),
        ("'''Say.'''", True),
        ("raise NotImplementedError('x')", True),
        ("raise ValueError", False),
        ("return 1", False),
    ],
)
def test_a_place_for_a_function_is_none(body: str, unwritten: bool) -> None:
    module = read(f"def f(x):\n    {body}\n".encode(), "m.py")
    assert isinstance(module, Module)
    assert raising.unwritten(module.functions[0]) is unwritten
