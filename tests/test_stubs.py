"""Tests that `levels stubs` writes: what of, from which source, and that nothing of a person's test file is touched."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from extensions import cli
from extensions.source.modules import Module, read
from extensions.stubs import project as stubs
from extensions.stubs import returns, run, values, web
from extensions.stubs.candidates import find
from extensions.stubs.model import Candidate, Found
from extensions.stubs.write import NotAppended, Place, append, render, traces

RUFF = ["--isolated", "--line-length=120", "--config", "src = ['.', 'src', 'services/api']"]
LINT = "--select=E,F,W,I,B,C4,UP"  # as generated projects have it


def pytest_says(folder: Path, file: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout


def found(source: str | bytes, path: str = "services/api/pricing.py") -> Found:
    module = read(source.encode() if isinstance(source, str) else source, path)
    assert isinstance(module, Module), module
    return find(module)


def bodies(source: str) -> dict[str, str]:
    """The body of each test that is written, by its name."""
    return {one.name: "\n".join(one.body) for one in found(source).candidates}


def reasons(source: str) -> dict[str, str]:
    return {one.qualname: one.reason for one in found(source).without}


def ruff(*files: Path) -> None:
    program = Path(sys.executable).with_name("ruff")
    for command in (["check", LINT, "--target-version=py311"], ["format", "--check"]):
        done = subprocess.run(
            [program, command[0], *RUFF, *command[1:], *files],
            capture_output=True,
            text=True,
            check=False,
            cwd=files[0].parent,
            env={**os.environ, "NO_COLOR": "1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr


EXAMPLES = {
    "a literal is held by ==": ("f(1)", "'a'", 'assert f(1) == "a"'),
    "a truth by is": ("f(1)", "True", "assert f(1) is True"),
    "nothing by is": ("f(None)", "None", "assert f(None) is None"),
    "an object by its repr": ("f(1)", "<A of 1>", 'assert repr(f(1)) == "<A of 1>"'),
    "an unlike spelling by its repr": ("f(1)", "1.50", 'assert repr(f(1)) == "1.50"'),
    "what is printed": ("print(f(1))", "a", 'capsys.readouterr()\nprint(f(1))\nassert capsys.readouterr().out.splitlines() == ["a"]'),
    "an ellipsis by doctest": ("f(1)", "<A at ...>", 'assert OutputChecker().check_output("<A at ...>\\n", repr(f(1)) + "\\n", ELLIPSIS)'),
    "quotes": ("f('it\\'s')", "\"it's\"", 'assert f("it\'s") == "it\'s"'),
}  # fmt: skip


@pytest.mark.parametrize(("call", "want", "body"), EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_of_a_docstring_becomes_an_assertion(call: str, want: str, body: str) -> None:
    assert bodies(f'def f(x):\n    r"""\n    >>> {call}\n    {want}\n    """\n') == {"test_f_examples": body}


def test_an_example_that_raises_holds_the_exception_and_its_message() -> None:
    source = 'def f(x):\n    """\n    >>> f(0)\n    Traceback (most recent call last):\n      ...\n    ValueError: no "zero"\n    """\n'
    assert (
        bodies(source)["test_f_examples"]
        == "with pytest.raises(ValueError) as caught:\n    f(0)\nassert str(caught.value) == 'no \"zero\"'"
    )


def test_what_stands_before_an_example_is_kept_in_order_and_imports_go_to_the_top() -> None:
    source = 'def f(x):\n    """\n    >>> import math\n    >>> y = math.pi\n    >>> f(y)\n    3\n    >>> z = 1\n    """\n'
    (one,) = found(source).candidates
    assert one.body == ("y = math.pi", "assert f(y) == 3")
    assert one.imports == (("math", ""),)


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (">>> f(missing)\n    1", "an example uses missing, which nothing defines"),
        (">>> f(1)", "its examples want nothing"),
        (">>> f(1)  # doctest: +SKIP\n    1", "its examples want nothing"),
        (">>> f(\n    1", "an example is no Python"),
        (">>> f(1)\n    [U(u'a')]", "its examples show what Python 2 said"),
    ],
)
def test_an_example_that_nobody_could_run_is_a_reason_in_the_report(example: str, reason: str) -> None:
    source = f'def f(x):\n    """\n    {example}\n    """\n'
    assert bodies(source) == {}
    assert reasons(source) == {"f": reason}


GUARDS = {
    "less": ("amount: int", "amount < 0", "f(-1)"),
    "a constant of the module": ("amount", "amount > MAX", "f(101)"),
    "length": ("name: str", "len(name) > 3", 'f("Two words")'),
    "nothing": ("name: str", "not name", 'f("")'),
    "None": ("name", "name is None", "f(None)"),
    "type": ("name: str", "not isinstance(name, str)", "f(None)"),
    "membership": ("currency: str", "currency not in ('EUR', 'USD')", 'f("")'),
    "keyword": ("*, rate: float", "rate <= 0", "f(rate=0.0)"),
    "the second": ("name: str, rate: float", "rate <= 0", 'f("", 0.0)'),
    "between": ("share: float", "not 0 <= share <= 1", "f(-1.5)"),
}


@pytest.mark.parametrize(("parameters", "condition", "call"), GUARDS.values(), ids=GUARDS)
def test_a_guard_is_violated_by_a_value_that_its_condition_names(parameters: str, condition: str, call: str) -> None:
    source = f"MAX = 100\n\ndef f({parameters}):\n    if {condition}:\n        raise ValueError\n    return 1\n"
    told = bodies(source)
    (guard,) = [body for name, body in told.items() if "_refuses_" in name]
    assert guard == f"with pytest.raises(ValueError):\n    {call}"
    namespace: dict[str, Any] = {"pytest": pytest}
    exec(source, namespace)
    for body in told.values():
        exec(body, namespace)


TAILS = {
    "a constant, at the edge of what is refused": ("if n < 0:\n        raise ValueError\n    return 'ok'", ['assert f(0) == "ok"']),
    "a constant, at the edge of what is answered": ("if n > MAX:\n        return 'many'\n    return 'few'", ['assert f(100) == "few"']),
    "a comparison": ("return n >= 3", ["assert f(3) is True", "assert f(2) is False"]),
    "a membership": ("return n in NAMES", ['assert f("a") is True', "assert f(None) is False"]),
    "a comparison after guards": (
        "if n is None:\n        return False\n    return not n",
        ["assert f(0) is True", "assert f(-1) is False"],
    ),
    "nothing that reading tells": ("return n > today()", []),
    "nothing but a constant": ("return 1", []),
    "something done before": ("n = abs(n)\n    return n > 1", []),
    "something done after guards": (
        "if n == 1:\n        return 0\n    elif n == 2:\n        return 0\n    if n == 3:\n        n = 5\n    return n",
        [],
    ),
    "an else": ("if n == 1:\n        return 0\n    else:\n        n = 5\n    return n", []),
}


@pytest.mark.parametrize(("body", "wanted"), TAILS.values(), ids=TAILS)
def test_a_simple_return_after_the_guards_is_held(body: str, wanted: list[str]) -> None:
    source = f"MAX = 100\nNAMES = ('a', 'b')\n\ndef f(n):\n    {body}\n"
    told = [one for one in found(source).candidates if one.kind == "answer" and one.line == source.count("\n")]
    assert [line for one in told for line in one.body] == wanted
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    for line in wanted:
        exec(line, namespace)


def test_a_guard_on_what_the_source_does_not_tell_is_left_alone() -> None:
    assert bodies("def f(a):\n    if a in table():\n        raise ValueError\n") == {}
    assert bodies("def f(a):\n    if a < 0:\n        raise unknown.Error\n") == {}


def test_an_async_function_is_awaited() -> None:
    source = "async def f(name: str) -> str:\n    if not name:\n        raise ValueError\n    return name\n"
    told = bodies(source)
    assert told["test_f_refuses_not_name"] == 'with pytest.raises(ValueError):\n    asyncio.run(f(""))'
    assert "result = asyncio.run(f(name))" in told["test_f_returns_str"]


def test_enums_dataclasses_and_pairs_come_back() -> None:
    source = (
        "import enum\nfrom dataclasses import dataclass\nclass Color(enum.Enum):\n    RED = 1\n    BLUE = enum.auto()\n"
        "@dataclass(frozen=True)\nclass Point:\n    x: int\n    name: str = ''\n"
        "def encode_id(number: int) -> str:\n    return str(number)\ndef decode_id(text: str) -> int:\n    return int(text)\n"
    )
    told = bodies(source)
    assert told["test_color_members"] == 'assert Color["RED"].value == 1\nassert Color(1) is Color["RED"]'
    assert told["test_point_keeps_its_fields"].splitlines() == [
        "one = Point(x=1)",
        "",
        "assert one.x == 1",
        'assert one.name == ""',
        "assert one == Point(x=1)",
    ]
    assert "FrozenInstanceError" in told["test_point_is_frozen"]
    assert held(told["test_encode_id_comes_back_from_decode_id"]) == (
        "value=st.integers(-1000, 1000)",
        ["assert decode_id(encode_id(value)) == value"],
    )


ANSWERS = {
    "nothing": ("value", "value is None", "return", "assert f(None) is None"),
    "a text": ("value", "value is None", "return 'N/A'", 'assert f(None) == "N/A"'),
    "a constant of the module": ("value: int", "value > MAX", "return MAX", "assert f(1000) == 100"),
    "what it was given": ("items: list[Item]", "not items", "return items", "assert f([]) == []"),
    "a truth": ("name: str", "len(name) < 1", "return False", 'assert f("") is False'),
}


@pytest.mark.parametrize(("parameters", "condition", "leaves", "body"), ANSWERS.values(), ids=ANSWERS)
def test_what_the_head_of_a_function_answers_is_held(parameters: str, condition: str, leaves: str, body: str) -> None:
    source = (
        f"from typing import Any as Item\nMAX = 100\n\ndef f({parameters}):\n    if {condition}:\n        {leaves}\n    return value.x()\n"
    )
    (one,) = found(source).candidates
    assert one.body == (body,)
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    exec(body, namespace)


def test_an_answer_that_only_running_tells_is_left_alone() -> None:
    assert bodies("def f(a):\n    if a is None:\n        return today()\n") == {}
    assert bodies("def f(a):\n    if a:\n        a = 1\n        return a\n") == {}


def held(body: str) -> tuple[str, list[str]]:
    """What a body gives to Hypothesis, and what it does with the values."""
    lines = body.splitlines()
    assert lines[0] == "@settings(derandomize=True, deadline=None)" and lines[-1] == "holds()"
    at = next(number for number, line in enumerate(lines) if line.startswith("def holds"))
    given = "".join(line.strip() for line in lines[1:at]).removeprefix("@given(").removesuffix(")")
    return given, [line.removeprefix("    ") for line in lines[at + 1 : -2]]


STRATEGIES = {
    "int": "st.integers(-1000, 1000)",
    "float | None": "st.floats(-1000, 1000) | st.none()",
    "'Optional[str]'": "st.none() | st.text()",
    "Literal['a', 2]": 'st.sampled_from(["a", 2])',
    "list[dict[str, bool]]": "st.lists(st.dictionaries(st.text(), st.booleans()))",
    "tuple[int, ...]": "st.lists(st.integers(-1000, 1000)).map(tuple)",
    "tuple[bytes, str]": "st.tuples(st.binary(), st.text())",
    "Annotated[frozenset[int], 'few']": "st.frozensets(st.integers(-1000, 1000))",
    "dt.datetime": "st.datetimes()",
    "Decimal": "st.decimals(-1000, 1000, places=2)",
    "Color": "st.sampled_from(Color)",
    "Point": "st.builds(Point, x=st.integers(-1000, 1000), color=st.sampled_from(Color))",
}
TYPES = (
    "import datetime as dt\nimport enum\nfrom dataclasses import dataclass\nfrom decimal import Decimal\nfrom pathlib import Path\n"
    "from typing import Annotated, Any, Literal, Optional, Protocol\n\nclass Color(enum.Enum):\n    RED = 1\n\n"
    "@dataclass\nclass Point:\n    x: int\n    color: Color\n    name: str = ''\n\n@dataclass\nclass Node:\n    next: 'Node'\n\n"
    "class Cart:\n    def __init__(self, owner: str) -> None: pass\n    def size(self, extra: int = 0) -> int: return extra\n\n"
    "class Sized(Protocol): pass\n\n"
)


@pytest.mark.parametrize(("annotation", "strategy"), STRATEGIES.items())
def test_hypothesis_makes_values_for_an_annotation(annotation: str, strategy: str) -> None:
    told = bodies(TYPES + f"def f(value: {annotation}) -> bool:\n    return True\n")
    assert held(told["test_f_returns_bool"]) == (f"value={strategy}", ["assert isinstance(f(value), bool)"])


@pytest.mark.parametrize(
    "annotation", ["Any", "Node", "list[Any]", "Sized", "Cart", "dict", "Callable[[], int]", "unknown.Name", "int | Any"]
)
def test_nothing_makes_values_of_what_the_source_does_not_tell(annotation: str) -> None:
    assert (
        reasons(TYPES + f"def f(value: {annotation}) -> bool:\n    return True\n")["f"] == f"nothing makes values for value: {annotation}"
    )


RETURNS = {
    "str | None": ["result = f(x)", "assert result is None or isinstance(result, str)"],
    "float": ["assert isinstance(f(x), float | int)"],
    "list[Point]": ["result = f(x)", "assert isinstance(result, list)", "assert all(isinstance(one, Point) for one in result)"],
    "dict[str, int]": ["result = f(x)", "assert isinstance(result, dict)", "assert all(isinstance(one, int) for one in result.values())"],
    "Literal['a', 'b']": ['assert f(x) in ["a", "b"]'],
    "dt.date": ["assert isinstance(f(x), dt.date)"],
    "'Point'": ["assert isinstance(f(x), Point)"],
}


@pytest.mark.parametrize(("annotation", "body"), RETURNS.items())
def test_what_is_returned_is_held_against_its_annotation(annotation: str, body: list[str]) -> None:
    told = bodies(TYPES + f"def f(x: int) -> {annotation}:\n    return x\n")
    (one,) = [text for name, text in told.items() if name.startswith("test_f_")]
    assert held(one)[1] == body


@pytest.mark.parametrize("annotation", ["Any", "Sized", "Iterable[int]", "None", "T", "Self"])
def test_an_annotation_that_tests_nothing_is_a_reason(annotation: str) -> None:
    assert "f" in reasons(TYPES + f"def f(x: int) -> {annotation}:\n    return x\n")


def test_values_that_a_function_says_to_refuse_do_not_count() -> None:
    source = 'class Refused(Exception): pass\n\ndef f(x: int) -> int:\n    """Raises OverflowError where it is large."""\n'
    told = bodies(source + "    x += 1\n    if x:\n        raise Refused\n    return x\n")
    assert held(told["test_f_returns_int"])[1] == [
        "try:",
        "    result = f(x)",
        "except (Refused, OverflowError):",
        "    reject()",
        "assert isinstance(result, int)",
    ]


REFUSALS = {
    "a guard": ("if x < 0:\n        raise ValueError", ["except ValueError:", "    assert x < 0", "    reject()"]),
    "two guards": (
        "if x < 0 or x > MAX:\n        raise ValueError\n    if not x:\n        raise ValueError",
        ["except ValueError:", "    assert (x < 0 or x > MAX) or not x", "    reject()"],
    ),
    "two exceptions": (
        "if x == 'it':\n        raise KeyError\n    if x:\n        x += 1\n        raise ValueError",
        ["except KeyError:", '    assert x == "it"', "    reject()", "except ValueError:", "    reject()"],
    ),
    "a guard, and it is raised elsewhere, too": (
        "if x < 0:\n        raise ValueError\n    x += 1\n    if x == 9:\n        raise ValueError",
        ["except ValueError:", "    reject()"],
    ),
    "what only the function knows": ("if x < y:\n        raise ValueError", ["except ValueError:", "    reject()"]),
    "what linters would write in another way": ("if x == None:\n        raise ValueError", ["except ValueError:", "    reject()"]),
}


@pytest.mark.parametrize(("body", "wanted"), REFUSALS.values(), ids=REFUSALS)
def test_only_what_the_guards_name_may_be_refused(body: str, wanted: list[str]) -> None:
    told = bodies(f"MAX = 100\n\ndef f(x: int, y=1) -> int:\n    {body}\n    return len(str(x)) * 1\n")
    assert held(told["test_f_returns_int"])[1] == ["try:", "    result = f(x)", *wanted, "assert isinstance(result, int)"]


def test_a_method_is_called_on_an_object_that_its_class_tells_how_to_make() -> None:
    given, body = held(bodies(TYPES)["test_cart_size_returns_int"])
    assert given == "owner=st.text(), extra=st.integers(-1000, 1000)"
    assert body == ["assert isinstance(Cart(owner).size(extra=extra), int)"]
    assert reasons("class A(Base):\n    def f(self, x: int) -> int:\n        return x\n") == {"A.f": returns.UNKNOWN_OBJECT}
    assert reasons("class A:\n    def __init__(self):\n        open('x')\n    def f(self, x: int) -> int:\n        return x\n") == {
        "A.__init__": returns.UNKNOWN_OBJECT,
        "A.f": returns.UNKNOWN_OBJECT,
    }


REACHES = """
import requests
from redis import Redis

cache = Redis()


class PriceError(Exception):
    pass


def cached(name: str) -> str:
    try:
        return cache.get(name).decode()
    except ConnectionError:
        log(name)
        return ""


async def fetch(name):
    try:
        return requests.get(name, timeout=1).json()["price"]
    except (requests.Timeout, OSError) as error:
        raise PriceError(name) from error
    except KeyError:
        return None
    finally:
        print("done")


def known(name: str) -> bool:
    return requests.head(name, timeout=1).ok
"""


def test_what_happens_when_a_call_outside_fails_is_held() -> None:
    module = read(REACHES.encode(), "services/api/prices.py")
    assert isinstance(module, Module)
    told = {one.name: one for one in find(module, "prices").candidates if one.kind == "outage"}
    assert {name: "\n".join(one.body) for name, one in told.items()} == {
        "test_cached_when_cache_get_raises_connection_error": (
            'failing = patch("prices.cache.get", side_effect=ConnectionError("down"))\nwith failing:\n    assert cached("a") == ""'
        ),
        "test_fetch_when_requests_get_raises_timeout": (
            'failing = patch("prices.requests.get", side_effect=requests.Timeout("down"))\n'
            'with failing, pytest.raises(PriceError):\n    asyncio.run(fetch("a"))'
        ),
    }
    assert ("requests", "") in told["test_fetch_when_requests_get_raises_timeout"].imports
    assert [one for one in find(module, "prices", frozenset({"requests", "redis"})).candidates if one.kind == "outage"] == [], "its own"


def test_what_goes_outside_is_not_called_with_made_up_values_not_through_a_helper_either() -> None:
    source = REACHES + "\n\ndef through(name: str) -> bool:\n    return known(name)\n\ndef _rm(path):\n    shutil.rmtree(path)\n"
    told = reasons("import shutil\n" + source + "\n\ndef clean(path: str) -> bool:\n    _rm(path)\n    return True\n")
    assert told["known"] == told["through"] == "side effects: it calls requests.head"
    assert told["clean"] == "side effects: it calls shutil.rmtree"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f(x): pass", "unannotated"),
        ("def _f(x): pass", "private"),
        ("def f(x: str) -> None: pass", "returns nothing"),
        ("def f(x: Path) -> str: return str(x)", "nothing makes values for x: Path"),
        ("def f(x: str) -> str:\n    return open(x).read()", "side effects: it calls open"),
        ("import requests\ndef f(x: str) -> str:\n    return requests.get(x).text", "side effects: it calls requests.get"),
        ("@retry\ndef f(x: str) -> str: return x", "decorated: what @retry makes of it isn't known"),
        ("def f(x: int) -> int:\n    yield x", "a generator without examples"),
        ("if FAST:\n    def f(x: int) -> int: return x", "defined only in `if FAST`"),
    ],
)
def test_a_function_without_an_oracle_has_its_reason(source: str, reason: str) -> None:
    assert bodies(source) == {}
    assert list(reasons(source).values()) == [reason]


HOSTILE = [
    'def f(x="\\"\\"\\"\\nimport os"):\n    """\n    >>> f("a\\\\nb\\\\x00\\\\u202e")\n    "x\'\\\\""\n    """\n',
    'import enum\nclass E(enum.Enum):\n    A = \'\\x1b[31m\\n"""\'\n    B = \'\\udc80\'\n    C = "it\'s \\"x\\""\n',
    "def f(a):\n    if a == '\\n# services/x.py:1 gone()':\n        raise ValueError\n",
    'def ünï(größe: int) -> int:\n    """\n    >>> ünï(1)\n    1\n    """\n    return größe\n',
    "from dataclasses import dataclass\n@dataclass\nclass D:\n    x: 'int'\n    type: str\n    y: 'Literal[\"a\\\\nb\"]' = ''\n",
]


@pytest.mark.parametrize("source", HOSTILE)
@pytest.mark.parametrize("path", ["services/api/a.py", 'services/api/"""\n\x1b.py', "services/api/" + "long" * 40 + ".py"])
def test_text_of_the_source_stays_text(source: str, path: str, tmp_path: Path) -> None:
    one = found(source, path)
    assert one.candidates
    content = render(Place(path, "a", "src"), one.candidates, one.without)
    tree = ast.parse(content)
    assert next(node.name for node in tree.body if isinstance(node, ast.FunctionDef)) == "importable"
    assert not [c for c in content.decode() if not c.isprintable() and c != "\n"]
    (tmp_path / "test_a.py").write_bytes(content)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").touch()
    ruff(tmp_path / "test_a.py")


EVERYTHING = '''
import enum
from dataclasses import dataclass

class Color(enum.Enum):
    RED = "r"
    BLUE = "b"

@dataclass(frozen=True)
class P:
    x: int

def f(x: int, *, y: str) -> str:
    """
    >>> import json
    >>> from collections import OrderedDict
    >>> unused = lambda v: v ** 2
    >>> l = [1, 2][0 : 1]
    >>> f(l, y="a") == None
    False
    >>> dict(a=1)
    {'a': 1}
    >>> for i in range(2):
    ...     print(i)
    0
    1
    >>> json.dumps(OrderedDict(a=1.0))
    '{"a": 1.0}'
    >>> f("LONG", y="")
    'y'
    """
    if not y:
        raise Exception
    return y
'''.replace("LONG", "x" * 120)


def test_what_is_written_passes_the_linter_and_formatter_of_the_project(tmp_path: Path) -> None:
    one = found(EVERYTHING)
    assert len(one.candidates) == 7
    for file in ("services/api/m.py", "a/b.py", "a/b-c.py"):  # linters look where the project's own modules are
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for number, place in enumerate((Place("services/api/m.py", "m"), Place("a/b.py", "a.b", "."), Place("a/b-c.py", "b-c", "a"))):
        (tmp_path / f"test_{number}.py").write_bytes(render(place, one.candidates, one.without))
    ruff(*tmp_path.glob("*.py"))


THEIRS = '''# -*- coding: {coding} -*-
"""Ours: gr\xfc\xdfe."""
import pytest   # odd  spacing


@pytest.fixture
def cart():
\treturn {{"a": 1}}  # a tab


class TestCart:
    # a comment that stays

    def test_it(self, cart) :
        assert cart  ;  assert True

    def test_f0_returns_int(self):   # ours has this name already
        assert 1

# the end, without a line end'''


@pytest.mark.parametrize("coding", ["utf-8", "latin-1", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_ten_rounds_of_adding_functions_leave_every_byte_of_a_person_in_place(coding: str, end: str, tmp_path: Path) -> None:
    content = THEIRS.format(coding=coding.removesuffix("-sig")).replace("\n", end).encode(coding)
    place = Place("services/api/m.py", "m", None)
    theirs = content
    for round_ in range(10):
        source = "".join(f"def f{n}(x: int) -> int:\n    return x + {n}\n\n" for n in range(round_ + 2))
        one = found(source)
        before = content
        content = append(content, place, one.candidates)
        assert content.startswith(before) and len(content) > len(before)
        assert append(content, place, one.candidates) == content
        assert content.count(b"\n") == content.count(end.encode())
        # a person edits between the rounds, too
        content = content.replace(b"x", b"x", 1) + f"{end}# round {round_}".encode()
    assert content.startswith(theirs)
    ast.parse(content)
    text = content.decode(coding)
    assert text.count("import pytest") == 1
    for n in range(11):
        assert text.count(f"def test_f{n}_returns_int(") == 1
    (tmp_path / "m.py").write_text("".join(f"def f{n}(x: int) -> int:\n    return x + {n}\n\n" for n in range(11)))
    (tmp_path / "test_m.py").write_bytes(content)
    pytest_says(tmp_path, "test_m.py")


def test_a_test_that_is_not_wanted_is_a_name_in_a_comment(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "def f(x: int) -> int:\n    return x * 2\n\ndef g(x: int) -> int:\n    return x * 2\n"
    (shop / TESTS).parent.mkdir(parents=True)
    (shop / TESTS).write_text("# test_f_returns_int: not wanted\n")
    report = made(shop, source, capsys=capsys)
    assert [one["function"] for one in report["modules"][0]["written"]] == ["g"]
    again = made(shop, source, capsys=capsys)
    assert (again["functions"], again["asserted"], again["tests_written"]) == (2, 1, 0)


def test_a_file_that_cannot_be_read_or_has_not_the_characters_is_not_added_to() -> None:
    tests = found('def ü(x: int) -> int:\n    """\n    >>> ü("東")\n    1\n    """\n').candidates
    place = Place("services/api/m.py", "m")
    with pytest.raises(NotAppended, match="characters"):
        append(b"# coding: latin-1\n", place, tests)
    with pytest.raises(NotAppended, match="read"):
        append(b"def test_(:\n", place, tests)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project with a service whose folder no import statement can name, and this environment as its own."""
    (tmp_path / "services/telegram-bot").mkdir(parents=True)
    service = {"name": "telegram-bot", "path": "services/telegram-bot", "kind": "worker", "code": "theirs", "app": "worker.py"}
    (tmp_path / ".copier-answers.yml").write_text(json.dumps({"level": 1, "services": [service]}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # this environment has many, and they take seconds
    monkeypatch.setattr(run, "interpreter", lambda project: Path(sys.executable))
    return tmp_path


MODULE = "services/telegram-bot/pricing.py"
TESTS = "tests/unit/telegram-bot/test_telegram_bot_pricing.py"


def made(shop: Path, source: str, *options: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (shop / MODULE).write_text(source, encoding="utf-8")
    assert cli.main(["stubs", "--json", *options]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_only_what_is_green_is_written_and_the_project_is_not_touched(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = (
        "from pathlib import Path\nimport socket\n\ndef good(x: int) -> int:\n    return x\n\ndef wrong(x: int) -> str:\n    return x\n\n"
        "def ends(x: int) -> int:\n    return __builtins__['__import__']('os').__dict__['_' + 'exit'](0)\n\n"
        "def talks(x: str) -> str:\n    getattr(socket, 'create' + '_connection')(('127.0.0.1', 9))\n    return x\n\n"
        "def litters(x: int) -> int:\n    getattr(Path('litter'), 'write' + '_text')('x')\n    return x\n\n"
        f"def escapes(x: int) -> int:\n    getattr(Path({str(shop / 'escaped')!r}), 'write' + '_text')('x')\n    return x\n\n"
        "def once(x: int) -> int:\n    if not Path('/proc').exists() and x: raise ValueError\n    return x if isinstance(x, int) else 0\n\n"
        "def some(x: str) -> int:\n    x = x.strip()\n    if x:\n        return 1\n    raise LookupError\n"
    )
    report = made(shop, source, capsys=capsys)
    (one,) = report["modules"]
    assert [test["function"] for test in one["written"]] == ["good", "litters", "once", "some"]
    why = {test["function"]: test["why"] for test in one["demoted"]}
    assert "Permission" in why["escapes"]
    assert "isinstance" in why["wrong"] and "ended the run" in why["ends"] and "no network" in why["talks"]
    assert sorted(str(path.relative_to(shop)) for path in shop.rglob("*") if path.is_file()) == [".copier-answers.yml", MODULE, TESTS]
    text = (shop / TESTS).read_text()
    assert "except LookupError:\n            reject()" in text
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS], cwd=shop, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_test_that_hangs_ends_at_its_time(shop: Path) -> None:
    (shop / MODULE).write_text("def hangs(x: int) -> int:\n    while True: pass\n\ndef good(x: int) -> int:\n    return x\n")
    modules = stubs.chosen(shop, {"services": json.loads((shop / ".copier-answers.yml").read_text())["services"]}, [])
    one = stubs.plan(shop, *modules[0])
    assert isinstance(one, stubs.Stub)
    outcomes = run.run(
        shop, {one.test: render(one.place, one.tests)}, {one.test: [test.name for test in one.tests]}, Path(sys.executable), each=2
    )
    told = {(name, outcome.green, outcome.why.split(":")[0]) for (_, name, _), outcome in outcomes.items()}
    assert told == {("test_hangs_returns_int", False, "TooLong"), ("test_good_returns_int", True, "")}


def test_changed_and_gone_functions_are_told_and_their_tests_left_alone(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(shop, "def price(amount: int) -> int:\n    return amount\n\ndef old(x: int) -> int:\n    return x\n", capsys=capsys)
    before = (shop / TESTS).read_bytes()
    report = made(shop, "\n\ndef price(amount: int, rate: int = 1) -> int:\n    return amount * rate\n", capsys=capsys)
    (one,) = report["modules"]
    assert one["signature_changed"] == [{"test_says": "price(amount)", "code_says": "price(amount, rate=1)"}]
    assert one["function_gone"] == ["old(x)"]
    assert (shop / TESTS).read_bytes() == before
    assert [(trace.qualname, trace.line) for trace in traces(before)] == [("price", 1), ("old", 4)]


def test_code_that_is_not_to_be_run_gets_only_what_reading_shows(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "import enum\nclass Color(enum.Enum):\n    RED = 1\n\n"
    source += "def f(x: int) -> int:\n    if x < 0:\n        raise ValueError\n    return x\n"
    report = made(shop, source, "--read", capsys=capsys)
    assert [test["kind"] for test in report["modules"][0]["written"]] == ["enum", "guard", "answer"]
    assert not report["run"]


@pytest.mark.parametrize("line", ["import nothere", "raise SystemExit", "import os\nTOKEN = os.environ['TOKEN']", "print(1)"])
def test_of_a_module_whose_import_may_do_something_nothing_is_written_unseen(
    shop: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    report = made(shop, f"{line}\n\ndef f(x: int):\n    if x < 0:\n        raise ValueError\n", "--read", capsys=capsys)
    assert report["tests_written"] == 0
    assert "importing its module runs code" in report["modules"][0]["demoted"][0]["why"]


UNSURE = {
    "a message that may fail": "def f(x: float):\n    if not x:\n        raise ValueError(f'bad {x:.2f}')",
    "a message of another": "def f(a, x: int):\n    if x < 0:\n        raise ValueError(a.name)",
    "a message put together": "def f(a, x: int):\n    if x < 0:\n        text = a.name\n        raise ValueError(text)",
    "a function that makes the exception": "def error(t): return ValueError(t)\ndef f(x):\n    if x is None:\n        raise error('x')",
    "an exception with an __init__": "class E(Exception):\n    def __init__(self, a, b): pass\n"
    "def f(x):\n    if x is None:\n        raise E",
    "an instance": "BAD = ValueError('x')\ndef f(x):\n    if x is None:\n        raise BAD",
    "the end of an iteration": "async def f(x):\n    if x is None:\n        raise StopIteration",
    "an import before": "def f(x):\n    import nothere\n    if x is None:\n        raise ValueError",
    "an answer that changes": "H = {}\nH['a'] = 1\ndef f(x):\n    if x is None:\n        return H",
    "a constant that may be another": "LIMIT = 1\ntry:\n    from local import LIMIT\nexcept ImportError: pass\n"
    "def f(x):\n    if x > LIMIT:\n        raise ValueError",
    "a global": "SEP = 1\ndef g():\n    global SEP\n    SEP = 2\ndef f(x):\n    if x > SEP:\n        raise ValueError",
    "which object it is": "UNSET = '<unset>'\ndef f(x):\n    if x is UNSET:\n        return None",
    "a class and its object": "def f(x):\n    if callable(x):\n        raise ValueError",
    "a name of its own": "def len(x): return 9\ndef f(x):\n    if len(x) < 1:\n        raise ValueError",
    "a name that is bound again": "def f(x):\n    if x is None:\n        raise ValueError\nf = g(f)",
    "an enum with a value of its own": "import enum\nclass C(enum.Enum):\n    A = 1\n    @property\n    def value(self): return 2",
    "a field that is mangled": "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass A:\n    __x: int",
}


@pytest.mark.parametrize("source", UNSURE.values(), ids=UNSURE)
def test_what_could_be_red_is_not_sure(source: str) -> None:
    assert [one for one in found(source + "\n").candidates if one.sure] == []


def test_two_services_may_have_modules_of_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services = [{"name": name, "path": f"services/{name}", "kind": "worker", "code": "theirs", "app": ""} for name in ("a", "b")]
    for number, name in enumerate("ab"):
        (tmp_path / f"services/{name}").mkdir(parents=True)
        (tmp_path / f"services/{name}/utils.py").write_text(
            f"def only_{name}(x):\n    if x is None:\n        return {number}\n    return x.y\n"
        )
    (tmp_path / ".copier-answers.yml").write_text(json.dumps({"level": 1, "services": services}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(run, "interpreter", lambda project: Path(sys.executable))
    assert cli.main(["stubs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tests_written"] == 2
    pytest_says(tmp_path, "tests/unit")


def test_a_module_that_keeps_the_process_or_hangs_costs_only_its_own_tests(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thread = "import threading, time\nthreading.Thread(target=lambda: time.sleep(600)).start()\n"
    source = "def f(x):\n    if x is None:\n        return 1\n    return x.y\n"
    (shop / "services/telegram-bot/keeps.py").write_text(thread + source)
    report = made(shop, source, capsys=capsys)
    assert report["tests_written"] == 2


def test_who_said_once_that_code_is_not_to_be_run_need_not_say_it_again(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = json.loads((shop / ".copier-answers.yml").read_text())
    (shop / ".copier-answers.yml").write_text(json.dumps({**recorded, "seed_tests": "read"}))
    report = made(shop, "def f(x: int) -> int:\n    if x < 0:\n        raise ValueError\n    return x\n", capsys=capsys)
    assert [test["kind"] for test in report["modules"][0]["written"]] == ["guard", "answer"]
    assert not report["run"] and "seed_tests: read" in report["why_not_run"]


def test_without_hypothesis_what_needs_it_is_told_and_the_rest_is_written(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "has", lambda python, module: module != "hypothesis")
    report = made(shop, "def f(x: int) -> int:\n    if x < 0:\n        raise ValueError\n    return x\n", capsys=capsys)
    (one,) = report["modules"]
    assert [test["kind"] for test in one["written"]] == ["guard", "answer"]
    assert [test["why"] for test in one["demoted"]] == [stubs.NO_HYPOTHESIS]


def test_a_function_of_which_no_candidate_is_green_gets_a_skeleton(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(shop, "def f(x: int) -> str:\n    return x\n", "--all", capsys=capsys)
    text = (shop / TESTS).read_text()
    assert 'reason="to be written: AssertionError' in text and "def test_f_does_what" in text


def test_skeletons_are_skips_with_their_reason(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(shop, "def f(x): pass\n", "--all", capsys=capsys)
    assert '@pytest.mark.skip(reason="to be written: unannotated")' in (shop / TESTS).read_text()
    ruff(shop / TESTS)
    before = (shop / TESTS).read_bytes()
    made(shop, "def f(x): pass\n", "--all", capsys=capsys)
    assert (shop / TESTS).read_bytes() == before


def test_a_skeleton_patches_what_is_outside_where_the_code_reaches_it(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "import json\nimport requests\nfrom boto3 import client\n\n\ndef fetch(name: str) -> str:\n"
    source += "    found = requests.get(json.dumps(name), timeout=3)\n    client('s3')\n    return found.text\n"
    made(shop, source, "--all", capsys=capsys)
    text = (shop / TESTS).read_text()
    patched = re.findall(r'patch\("([^"]+)"\)', text)
    assert [one.rsplit(".", 2 if "requests" in one else 1)[1:] for one in patched] == [["requests", "get"], ["client"]]
    ruff(shop / TESTS)


@pytest.mark.parametrize("path", ["services/none.py", "../elsewhere", "README.md", "\x1b[31m"])
def test_a_path_that_is_not_there_is_one_line_and_exit_2(shop: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stubs", path]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.isprintable() is False and "\x1b" not in told
    assert not (shop / "tests").exists()


def test_two_modules_do_not_share_a_test_file(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "services/telegram-bot/a").mkdir()
    for name in ("a/b.py", "a_b.py"):
        (shop / "services/telegram-bot" / name).write_text("def f(x: int) -> int:\n    return x\n")
    report = made(shop, "", capsys=capsys)
    assert [one["not_appended"] for one in report["modules"]] == [None, "it is for the tests of services/telegram-bot/a/b.py", None]


def test_a_module_that_cannot_be_read_is_in_the_report(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = made(shop, "def f(:\n", capsys=capsys)
    assert report["unparsed"][0]["file"] == MODULE


def test_routes_refuse_other_methods_and_strangers(tmp_path: Path) -> None:
    from extensions.source.routes import find as routes_of

    (tmp_path / "services/api").mkdir(parents=True)
    (tmp_path / "services/api/app.py").write_text(
        "from flask import Flask\nfrom flask_login import login_required\n\ndef create_app():\n    app = Flask(__name__)\n\n"
        "    @app.get('/items/<int:number>')\n    def item(number):\n        return 'x'\n\n"
        "    @app.delete('/<path:anything>')\n    @login_required\n    def gone(anything):\n        return 'x'\n\n    return app\n"
    )
    service = {"name": "api", "path": "services/api", "kind": "web", "code": "ours", "app": "app:create_app()"}
    tests: list[Candidate] = web.of_file(
        routes_of(tmp_path, service), "services/api/app.py", {}, lambda name, suffix: f"test_{name}_{suffix}"
    )
    assert [(one.name, one.body[-1]) for one in tests] == [
        ("test_item_takes_no_PUT", 'assert client.put("/items/1").status_code == 405'),
        ("test_gone_refuses_strangers", 'assert client.delete("/x").status_code in (302, 303, 401, 403)'),
    ]


def test_values_are_written_as_formatters_want_them() -> None:
    for value, text in (
        ("it's", '"it\'s"'),
        ('"', "'\"'"),
        ("a\"'", '"a\\"\'"'),
        (b"'", 'b"\'"'),
        ((1,), "(1,)"),
        ({"a": [None]}, '{"a": [None]}'),
    ):
        assert values.written(value) == text
        assert ast.literal_eval(text) == value
