"""Tests that `levels stubs` writes: what is asserted of which source."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from extensions.source.modules import Module, read
from extensions.stubs import returns, values, web
from extensions.stubs.candidates import find
from extensions.stubs.model import Candidate, Found
from extensions.stubs.wording import in_words


def found(source: str | bytes, path: str = "services/api/pricing.py") -> Found:
    module = read(source.encode() if isinstance(source, str) else source, path)
    assert isinstance(module, Module), module
    return find(module)


def bodies(source: str) -> dict[str, str]:
    """The body of each test that is written, by its name."""
    return {one.name: "\n".join(one.body) for one in found(source).candidates}


def reasons(source: str) -> dict[str, str]:
    return {one.qualname: one.reason for one in found(source).without}


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


def test_an_example_that_raises_asserts_the_exception_and_its_message() -> None:
    source = (
        'def f(x):\n    """\n    >>> f(0)\n    Traceback (most recent call last):\n      ...\n    ValueError:'
        ' no "zero"\n    """\n'
    )
    assert (
        bodies(source)["test_f_examples"]
        == "with pytest.raises(ValueError) as caught:\n    f(0)\nassert str(caught.value) == 'no \"zero\"'"
    )


def test_what_stands_before_an_example_is_kept_in_order_and_imports_go_to_the_top() -> None:
    source = (
        'def f(x):\n    """\n    >>> import math\n    >>> y = math.pi\n    >>> f(y)\n    3\n    >>> z = 1\n  '
        '  """\n'
    )
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
def test_a_guard_is_violated_by_a_value_that_its_condition_names(
    parameters: str, condition: str, call: str
) -> None:
    source = (
        f"MAX = 100\n\ndef f({parameters}):\n    if {condition}:\n        raise ValueError\n    return 1\n"
    )
    told = bodies(source)
    (guard,) = [body for name, body in told.items() if "_rejects_" in name]
    assert guard == f"with pytest.raises(ValueError):\n    {call}"
    namespace: dict[str, Any] = {"pytest": pytest}
    exec(source, namespace)
    for body in told.values():
        exec(body, namespace)


TAILS = {
    "a constant, at the edge of what is refused": (
        "if n < 0:\n        raise ValueError\n    return 'ok'",
        ['assert f(0) == "ok"'],
    ),
    "a constant, at the edge of what is answered": (
        "if n > MAX:\n        return 'many'\n    return 'few'",
        ['assert f(100) == "few"'],
    ),
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
        (
            "if n == 1:\n        return 0\n    elif n == 2:\n        return 0\n    if n == 3:\n        n ="
            " 5\n    return n"
        ),
        [],
    ),
    "an else": ("if n == 1:\n        return 0\n    else:\n        n = 5\n    return n", []),
}


@pytest.mark.parametrize(("body", "wanted"), TAILS.values(), ids=TAILS)
def test_a_simple_return_after_the_guards_is_asserted(body: str, wanted: list[str]) -> None:
    source = f"MAX = 100\nNAMES = ('a', 'b')\n\ndef f(n):\n    {body}\n"
    told = [
        one for one in found(source).candidates if one.kind == "answer" and one.line == source.count("\n")
    ]
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
    assert told["test_f_rejects_missing_name"] == 'with pytest.raises(ValueError):\n    asyncio.run(f(""))'
    assert "result = asyncio.run(f(name))" in told["test_f_returns_str"]


def test_enums_dataclasses_and_pairs_come_back() -> None:
    source = (
        "import enum\nfrom dataclasses import dataclass\nclass Color(enum.Enum):\n    RED = 1\n    BLUE ="
        " enum.auto()\n@dataclass(frozen=True)\nclass Point:\n    x: int\n    name: str = ''\ndef"
        " encode_id(number: int) -> str:\n    return str(number)\ndef decode_id(text: str) -> int:\n   "
        " return int(text)\n"
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
    assert given_and_body(told["test_encode_id_comes_back_from_decode_id"]) == (
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
def test_what_the_head_of_a_function_answers_is_asserted(
    parameters: str, condition: str, leaves: str, body: str
) -> None:
    source = (
        f"from typing import Any as Item\nMAX = 100\n\ndef f({parameters}):\n    if {condition}:\n       "
        f" {leaves}\n    return value.x()\n"
    )
    (one,) = found(source).candidates
    assert one.body == (body,)
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    exec(body, namespace)


def test_an_answer_that_only_running_tells_is_left_alone() -> None:
    assert bodies("def f(a):\n    if a is None:\n        return today()\n") == {}
    assert bodies("def f(a):\n    if a:\n        a = 1\n        return a\n") == {}


def given_and_body(body: str) -> tuple[str, list[str]]:
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
    "import datetime as dt\nimport enum\nfrom dataclasses import dataclass\nfrom decimal import Decimal\nfrom"
    " pathlib import Path\nfrom typing import Annotated, Any, Literal, Optional, Protocol\n\nclass"
    " Color(enum.Enum):\n    RED = 1\n\n@dataclass\nclass Point:\n    x: int\n    color: Color\n    name: str"
    " = ''\n\n@dataclass\nclass Node:\n    next: 'Node'\n\nclass Cart:\n    def __init__(self, owner: str) ->"
    " None: pass\n    def size(self, extra: int = 0) -> int: return extra\n\nclass Sized(Protocol): pass\n\n"
)


@pytest.mark.parametrize(("annotation", "strategy"), STRATEGIES.items())
def test_hypothesis_makes_values_for_an_annotation(annotation: str, strategy: str) -> None:
    told = bodies(TYPES + f"def f(value: {annotation}) -> bool:\n    return True\n")
    assert given_and_body(told["test_f_returns_bool"]) == (
        f"value={strategy}",
        ["assert isinstance(f(value), bool)"],
    )


@pytest.mark.parametrize(
    "annotation",
    ["Any", "Node", "list[Any]", "Sized", "Cart", "dict", "Callable[[], int]", "unknown.Name", "int | Any"],
)
def test_nothing_makes_values_of_what_the_source_does_not_tell(annotation: str) -> None:
    assert (
        reasons(TYPES + f"def f(value: {annotation}) -> bool:\n    return True\n")["f"]
        == f"nothing makes values for value: {annotation}"
    )


RETURNS = {
    "str | None": ["result = f(x)", "assert result is None or isinstance(result, str)"],
    "float": ["assert isinstance(f(x), float | int)"],
    "list[Point]": [
        "result = f(x)",
        "assert isinstance(result, list)",
        "assert all(isinstance(one, Point) for one in result)",
    ],
    "dict[str, int]": [
        "result = f(x)",
        "assert isinstance(result, dict)",
        "assert all(isinstance(one, int) for one in result.values())",
    ],
    "Literal['a', 'b']": ['assert f(x) in ["a", "b"]'],
    "dt.date": ["assert isinstance(f(x), dt.date)"],
    "'Point'": ["assert isinstance(f(x), Point)"],
}


@pytest.mark.parametrize(("annotation", "body"), RETURNS.items())
def test_what_is_returned_is_compared_with_its_annotation(annotation: str, body: list[str]) -> None:
    told = bodies(TYPES + f"def f(x: int) -> {annotation}:\n    return x\n")
    (one,) = [text for name, text in told.items() if name.startswith("test_f_")]
    assert given_and_body(one)[1] == body


@pytest.mark.parametrize("annotation", ["Any", "Sized", "Iterable[int]", "None", "T", "Self"])
def test_an_annotation_that_tests_nothing_is_a_reason(annotation: str) -> None:
    assert "f" in reasons(TYPES + f"def f(x: int) -> {annotation}:\n    return x\n")


def test_values_that_a_function_says_to_refuse_do_not_count() -> None:
    source = (
        'class Refused(Exception): pass\n\ndef f(x: int) -> int:\n    """Raises OverflowError where it is'
        ' large."""\n'
    )
    told = bodies(source + "    x += 1\n    if x:\n        raise Refused\n    return x\n")
    assert given_and_body(told["test_f_returns_int"])[1] == [
        "try:",
        "    result = f(x)",
        "except (Refused, OverflowError):",
        "    reject()",
        "assert isinstance(result, int)",
    ]


REFUSALS = {
    "a guard": (
        "if x < 0:\n        raise ValueError",
        ["except ValueError:", "    assert x < 0", "    reject()"],
    ),
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
    "what only the function knows": (
        "if x < y:\n        raise ValueError",
        ["except ValueError:", "    reject()"],
    ),
    "what linters would write in another way": (
        "if x == None:\n        raise ValueError",
        ["except ValueError:", "    reject()"],
    ),
}


@pytest.mark.parametrize(("body", "wanted"), REFUSALS.values(), ids=REFUSALS)
def test_only_what_the_guards_name_may_be_refused(body: str, wanted: list[str]) -> None:
    told = bodies(f"MAX = 100\n\ndef f(x: int, y=1) -> int:\n    {body}\n    return len(str(x)) * 1\n")
    assert given_and_body(told["test_f_returns_int"])[1] == [
        "try:",
        "    result = f(x)",
        *wanted,
        "assert isinstance(result, int)",
    ]


def test_a_method_is_called_on_an_object_that_its_class_tells_how_to_make() -> None:
    given, body = given_and_body(bodies(TYPES)["test_cart_size_returns_int"])
    assert given == "owner=st.text(), extra=st.integers(-1000, 1000)"
    assert body == ["assert isinstance(Cart(owner).size(extra=extra), int)"]
    assert reasons("class A(Base):\n    def f(self, x: int) -> int:\n        return x\n") == {
        "A.f": returns.UNKNOWN_OBJECT
    }
    assert reasons(
        "class A:\n    def __init__(self):\n        open('x')\n    def f(self, x: int) -> int:\n       "
        " return x\n"
    ) == {
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


def test_what_happens_when_a_call_outside_fails_is_asserted() -> None:
    module = read(REACHES.encode(), "services/api/prices.py")
    assert isinstance(module, Module)
    told = {one.name: one for one in find(module, "prices").candidates if one.kind == "outage"}
    assert {name: "\n".join(one.body) for name, one in told.items()} == {
        "test_cached_when_cache_get_raises_connection_error": (
            'failing = patch("prices.cache.get", side_effect=ConnectionError("down"))\nwith failing:\n   '
            ' assert cached("a") == ""'
        ),
        "test_fetch_when_requests_get_raises_timeout": (
            'failing = patch("prices.requests.get", side_effect=requests.Timeout("down"))\n'
            'with failing, pytest.raises(PriceError):\n    asyncio.run(fetch("a"))'
        ),
    }
    assert ("requests", "") in told["test_fetch_when_requests_get_raises_timeout"].imports
    assert [
        one
        for one in find(module, "prices", frozenset({"requests", "redis"})).candidates
        if one.kind == "outage"
    ] == [], "its own"


def test_what_goes_outside_is_not_called_with_invented_values_nor_through_a_helper_either() -> None:
    source = (
        REACHES + "\n\ndef through(name: str) -> bool:\n    return known(name)\n\ndef _rm(path):\n   "
        " shutil.rmtree(path)\n"
    )
    told = reasons(
        "import shutil\n" + source + "\n\ndef clean(path: str) -> bool:\n    _rm(path)\n    return True\n"
    )
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
        (
            "import requests\ndef f(x: str) -> str:\n    return requests.get(x).text",
            "side effects: it calls requests.get",
        ),
        ("@retry\ndef f(x: str) -> str: return x", "decorated: what @retry makes of it isn't known"),
        ("def f(x: int) -> int:\n    yield x", "a generator without examples"),
        ("if FAST:\n    def f(x: int) -> int: return x", "defined only in `if FAST`"),
    ],
)
def test_a_function_without_an_expected_value_has_its_reason(source: str, reason: str) -> None:
    assert bodies(source) == {}
    assert list(reasons(source).values()) == [reason]


UNSURE = {
    "a message that may fail": "def f(x: float):\n    if not x:\n        raise ValueError(f'bad {x:.2f}')",
    "a message of another": "def f(a, x: int):\n    if x < 0:\n        raise ValueError(a.name)",
    "a message put together": (
        "def f(a, x: int):\n    if x < 0:\n        text = a.name\n        raise ValueError(text)"
    ),
    "a function that makes the exception": (
        "def error(t): return ValueError(t)\ndef f(x):\n    if x is None:\n        raise error('x')"
    ),
    "an exception with an __init__": (
        "class E(Exception):\n    def __init__(self, a, b): pass\n"
        "def f(x):\n    if x is None:\n        raise E"
    ),
    "an instance": "BAD = ValueError('x')\ndef f(x):\n    if x is None:\n        raise BAD",
    "the end of an iteration": "async def f(x):\n    if x is None:\n        raise StopIteration",
    "an import before": "def f(x):\n    import nothere\n    if x is None:\n        raise ValueError",
    "an answer that changes": "H = {}\nH['a'] = 1\ndef f(x):\n    if x is None:\n        return H",
    "a constant that may be another": (
        "LIMIT = 1\ntry:\n    from local import LIMIT\nexcept ImportError: pass\n"
        "def f(x):\n    if x > LIMIT:\n        raise ValueError"
    ),
    "a global": (
        "SEP = 1\ndef g():\n    global SEP\n    SEP = 2\ndef f(x):\n    if x > SEP:\n        raise ValueError"
    ),
    "which object it is": "UNSET = '<unset>'\ndef f(x):\n    if x is UNSET:\n        return None",
    "a class and its object": "def f(x):\n    if callable(x):\n        raise ValueError",
    "a name of its own": "def len(x): return 9\ndef f(x):\n    if len(x) < 1:\n        raise ValueError",
    "a name that is bound again": "def f(x):\n    if x is None:\n        raise ValueError\nf = g(f)",
    "an enum with a value of its own": (
        "import enum\nclass C(enum.Enum):\n    A = 1\n    @property\n    def value(self): return 2"
    ),
    "a field that is mangled": (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass A:\n    __x: int"
    ),
}


@pytest.mark.parametrize("source", UNSURE.values(), ids=UNSURE)
def test_what_could_be_red_is_not_sure(source: str) -> None:
    assert [one for one in found(source + "\n").candidates if one.sure] == []


def test_routes_refuse_other_methods_and_strangers(tmp_path: Path) -> None:
    from extensions.source.routes import find as routes_of

    (tmp_path / "services/api").mkdir(parents=True)
    (tmp_path / "services/api/app.py").write_text(
        "from flask import Flask\nfrom flask_login import login_required\n\ndef create_app():\n    app ="
        " Flask(__name__)\n\n    @app.get('/items/<int:number>')\n    def item(number):\n        return"
        " 'x'\n\n    @app.delete('/<path:anything>')\n    @login_required\n    def gone(anything):\n       "
        " return 'x'\n\n    return app\n"
    )
    service = {
        "name": "api",
        "path": "services/api",
        "kind": "web",
        "code": "ours",
        "app": "app:create_app()",
    }
    tests: list[Candidate] = web.of_file(
        routes_of(tmp_path, service), "services/api/app.py", {}, lambda name, suffix: f"test_{name}_{suffix}"
    )
    assert [(one.name, one.body[-1]) for one in tests] == [
        ("test_item_takes_no_PUT", 'assert client.put("/items/1").status_code == 405'),
        ("test_gone_rejects_strangers", 'assert client.delete("/x").status_code in (302, 303, 401, 403)'),
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


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("amount < 0", "negative_amount"),
        ("amount <= 0", "zero_or_negative_amount"),
        ("rate > 1", "rate_above_1"),
        ("rate < 0 or rate > 1", "negative_rate_or_rate_above_1"),
        ("not 0 <= rate <= 1", "rate_not_between_0_and_1"),
        ("n < -1", "n_below_minus_1"),
        ("not name", "missing_name"),
        ("name is None", "none_as_name"),
        ("a < b < c < d", "a_below_b_below_c_below_d"),
        ("kind == 'a b'", "kind_equal_to_a_b"),
        ("kind == ''", "kind_equal_to_nothing"),
        ("kind not in KINDS", "kind_not_in_kinds"),
        ("len(name) > 10", "name_longer_than_10"),
        ("len(items) == 0", "empty_items"),
        ("not isinstance(x, int)", "non_int_x"),
        ("n % 2 == 0", "n_modulo_2_equal_to_0"),
        ("'é' == '…'", "equal_to"),
        (" and ".join(["some_long_name > 1"] * 5), "some_long_name_above_1_and_some_long_name_above_1"),
    ],
)
def test_a_condition_is_named_in_english(condition: str, words: str) -> None:
    assert in_words(ast.parse(condition, mode="eval").body) == words
