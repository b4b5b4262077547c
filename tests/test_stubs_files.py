"""The files that `levels stubs` writes: that they are text, that nothing of a person's is touched, and what
is run before.
"""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from extensions import cli
from extensions.stubs import project as stubs
from extensions.stubs import run
from extensions.stubs.write import NotAppended, Place, append, render, traces
from tests.support.projects import ROOT
from tests.test_stubs import found

RUFF = ["--isolated", "--line-length=120", "--config", "src = ['.', 'src', 'services/api']"]
LINT = "--select=E,F,W,I,B,C4,UP"  # as generated projects have it


def pytest_says(folder: Path, file: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout


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


HOSTILE = [
    (
        'def f(x="\\"\\"\\"\\nimport os"):\n    """\n    >>> f("a\\\\nb\\\\x00\\\\u202e")\n    "x\'\\\\""\n  '
        '  """\n'
    ),
    (
        "import enum\nclass E(enum.Enum):\n    A = '\\x1b[31m\\n\"\"\"'\n    B = '\\udc80'\n    C = \"it's"
        ' \\"x\\""\n'
    ),
    "def f(a):\n    if a == '\\n# services/x.py:1 gone()':\n        raise ValueError\n",
    'def ünï(größe: int) -> int:\n    """\n    >>> ünï(1)\n    1\n    """\n    return größe\n',
    (
        "from dataclasses import dataclass\n@dataclass\nclass D:\n    x: 'int'\n    type: str\n    y:"
        " 'Literal[\"a\\\\nb\"]' = ''\n"
    ),
]


@pytest.mark.parametrize("source", HOSTILE)
@pytest.mark.parametrize(
    "path", ["services/api/a.py", 'services/api/"""\n\x1b.py', "services/api/" + "long" * 40 + ".py"]
)
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
    # Linters look where the project's own modules are.
    for file in ("services/api/m.py", "a/b.py", "a/b-c.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for number, place in enumerate(
        (Place("services/api/m.py", "m"), Place("a/b.py", "a.b", "."), Place("a/b-c.py", "b-c", "a"))
    ):
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
def test_ten_rounds_of_adding_functions_leave_every_byte_of_a_person_in_place(
    coding: str, end: str, tmp_path: Path
) -> None:
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
    (tmp_path / "m.py").write_text(
        "".join(f"def f{n}(x: int) -> int:\n    return x + {n}\n\n" for n in range(11))
    )
    (tmp_path / "test_m.py").write_bytes(content)
    pytest_says(tmp_path, "test_m.py")


def test_a_test_that_is_not_wanted_is_a_name_in_a_comment(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "def f(x: int) -> int:\n    return x * 2\n\ndef g(x: int) -> int:\n    return x * 2\n"
    (shop / TESTS).parent.mkdir(parents=True)
    (shop / TESTS).write_text("# test_f_returns_int: not wanted\n")
    report = written(shop, source, capsys=capsys)
    assert [one["function"] for one in report["modules"][0]["written"]] == ["g"]
    again = written(shop, source, capsys=capsys)
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
    """A small project with a service whose folder no import statement can name, and this environment as its
    own.
    """
    (tmp_path / "services/telegram-bot").mkdir(parents=True)
    service = {
        "name": "telegram-bot",
        "path": "services/telegram-bot",
        "kind": "worker",
        "code": "theirs",
        "app": "worker.py",
    }
    (tmp_path / ".copier-answers.yml").write_text(json.dumps({"level": 1, "services": [service]}))
    monkeypatch.chdir(tmp_path)
    # This environment has many, and they take seconds.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(run, "interpreter", lambda project: Path(sys.executable))
    return tmp_path


MODULE = "services/telegram-bot/pricing.py"
TESTS = "tests/unit/telegram_bot/test_telegram_bot_pricing.py"


def written(shop: Path, source: str, *options: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (shop / MODULE).write_text(source, encoding="utf-8")
    assert cli.main(["stubs", "--json", *options]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ValueError: ", "ValueError"),
        ("E: one\n  two\n\nthree", "E: one two"),
        (
            f"AssertionError: assert False\n +  where False = isinstance({'x' * 90}, str)\n +    where {'x' * 90} = f()",
            f"AssertionError: assert False, where False = isinstance({'x' * 90}, str)",
        ),
        (f"E: {'a word ' * 10}ends here. {'another ' * 20}", f"E: {'a word ' * 10}ends here"),
        (f"E: {'word ' * 100}", f"E: {'word ' * 39}…"),
        ("E" * 500, f"{'E' * 200} …"),
    ],
)
def test_why_a_candidate_is_not_written_is_told_in_a_whole_sentence(text: str, told: str) -> None:
    assert run._sentence(text) == told


def test_only_what_is_green_is_written_and_the_project_is_not_touched(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (
        "from pathlib import Path\nimport socket\n\ndef good(x: int) -> int:\n    return x\n\ndef wrong(x:"
        " int) -> str:\n    return x\n\ndef ends(x: int) -> int:\n    return"
        " __builtins__['__import__']('os').__dict__['_' + 'exit'](0)\n\ndef talks(x: str) -> str:\n   "
        " getattr(socket, 'create' + '_connection')(('127.0.0.1', 9))\n    return x\n\ndef litters(x: int)"
        " -> int:\n    getattr(Path('litter'), 'write' + '_text')('x')\n    return x\n\ndef escapes(x: int)"
        f" -> int:\n    getattr(Path({str(shop / 'escaped')!r}), 'write' + '_text')('x')\n    return x\n\ndef"
        " once(x: int) -> int:\n    if not Path('/proc').exists() and x: raise ValueError\n    return x if"
        " isinstance(x, int) else 0\n\ndef some(x: str) -> int:\n    x = x.strip()\n    if x:\n       "
        " return 1\n    raise LookupError\n"
    )
    report = written(shop, source, capsys=capsys)
    (one,) = report["modules"]
    assert [test["function"] for test in one["written"]] == ["good", "litters", "once", "some"]
    why = {test["function"]: test["why"] for test in one["demoted"]}
    assert "Permission" in why["escapes"]
    assert why["wrong"].startswith("AssertionError: assert False, where False = isinstance(")
    assert "ended the run" in why["ends"] and "no network" in why["talks"]
    assert sorted(str(path.relative_to(shop)) for path in shop.rglob("*") if path.is_file()) == [
        ".copier-answers.yml",
        MODULE,
        TESTS,
    ]
    text = (shop / TESTS).read_text()
    assert "except LookupError:\n            reject()" in text
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS],
        cwd=shop,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_a_test_that_hangs_ends_at_its_time(shop: Path) -> None:
    (shop / MODULE).write_text(
        "def hangs(x: int) -> int:\n    while True: pass\n\ndef good(x: int) -> int:\n    return x\n"
    )
    modules = stubs.chosen(
        shop, {"services": json.loads((shop / ".copier-answers.yml").read_text())["services"]}, []
    )
    one = stubs.plan(shop, *modules[0])
    assert isinstance(one, stubs.Stub)
    outcomes = run.run(
        shop,
        {one.test: render(one.place, one.tests)},
        {one.test: [test.name for test in one.tests]},
        Path(sys.executable),
        each=2,
    )
    told = {(name, outcome.green, outcome.why.split(":")[0]) for (_, name, _), outcome in outcomes.items()}
    assert told == {("test_hangs_returns_int", False, "TooLong"), ("test_good_returns_int", True, "")}


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_who_interrupts_a_run_does_not_wait_for_it(shop: Path) -> None:
    (shop / MODULE).write_text("import time\n\ndef hangs(x: int) -> int:\n    while True: time.sleep(0.1)\n")
    here = (
        "import sys; from pathlib import Path; from extensions import cli; from extensions.stubs import run"
    )
    command = f"{here}; run.interpreter = lambda project: Path(sys.executable); sys.exit(cli.main(['stubs']))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(
        [sys.executable, "-c", command], cwd=shop, env=env, stderr=subprocess.PIPE, text=True
    )
    assert started.stderr and "running 1 candidate of 1 module" in started.stderr.readline()
    time.sleep(1)  # the two runs have begun
    started.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, said = started.communicate(timeout=30)
    assert started.returncode == 130 and "Traceback" not in said
    assert time.monotonic() - began < 8, "a test may take 10 seconds"
    assert not (shop / "tests").exists()


def test_changed_and_gone_functions_are_told_and_their_tests_left_alone(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(
        shop,
        "def price(amount: int) -> int:\n    return amount\n\ndef old(x: int) -> int:\n    return x\n",
        capsys=capsys,
    )
    before = (shop / TESTS).read_bytes()
    report = written(
        shop, "\n\ndef price(amount: int, rate: int = 1) -> int:\n    return amount * rate\n", capsys=capsys
    )
    (one,) = report["modules"]
    assert one["signature_changed"] == [{"test_says": "price(amount)", "code_says": "price(amount, rate=1)"}]
    assert one["function_gone"] == ["old(x)"]
    assert (shop / TESTS).read_bytes() == before
    assert [(trace.qualname, trace.line) for trace in traces(before)] == [("price", 1), ("old", 4)]


def test_a_view_inside_of_create_app_is_there_at_the_second_run(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stubs, "judge", lambda *ignored: None)  # Flask may not be installed here
    service = {
        "name": "api",
        "path": "services/api",
        "kind": "web",
        "code": "theirs",
        "app": "app:create_app()",
    }
    (shop / ".copier-answers.yml").write_text(json.dumps({"level": 1, "services": [service]}))
    (shop / "services/api").mkdir()
    code = "from flask import Flask\nfrom flask.views import MethodView\n\n\nclass Base(MethodView):\n"
    code += "    def get(self):\n        return 'x'\n\n\nclass Cart(Base):\n    pass\n\n\ndef create_app():\n"
    code += (
        "    app = Flask(__name__)\n\n    @app.get('/items/<int:number>')\n    def item(number):\n       "
        " return 'x'\n\n"
    )
    code += "    app.add_url_rule('/cart', view_func=Cart.as_view('cart'))\n    return app\n"
    (shop / "services/api/app.py").write_text(code)
    assert cli.main(["stubs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tests_written"] == 2
    file = shop / "tests/unit/api/test_api_app.py"
    assert {trace.told for trace in traces(file.read_bytes())} == {"create_app.item(number)", "Cart()"}
    for now, changed, gone in (
        (code, [], []),
        (code.replace("item(number)", "item(number, lang='en')"), ["create_app.item(number, lang='en')"], []),
        (code.replace("def item", "def other"), [], ["create_app.item(number)"]),
    ):
        (shop / "services/api/app.py").write_text(now)
        assert cli.main(["stubs", "--json"]) == 0
        (module,) = json.loads(capsys.readouterr().out)["modules"]
        assert [one["code_says"] for one in module["signature_changed"]] == changed
        assert module["function_gone"] == gone


STAY = [
    # What stands inside of a function is there, and so is what is inherited, imported from where it went, or
    # assigned.
    (
        "def make():\n    def price(amount: int) -> int:\n        return amount\n    return price\n",
        "a function inside of another",
    ),
    ("from decimal import Decimal as price\n", "imported"),
    ("from os.path import *\n", "maybe imported"),
    ("import functools\nprice = functools.partial(int, base=2)\n", "assigned"),
    ("class Shop:\n    def price(self): ...\n", "a method now"),
]


@pytest.mark.parametrize("source", [source for source, _ in STAY], ids=[why for _, why in STAY])
def test_a_function_that_may_be_there_is_not_told_as_gone(
    source: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(shop, "def price(amount: int) -> int:\n    return amount\n", capsys=capsys)
    assert (shop / TESTS).exists()
    assert written(shop, source, capsys=capsys)["modules"][0]["function_gone"] == []


def test_a_method_that_went_from_a_class_without_bases_is_gone(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method = "    def price(self, amount: int) -> int:\n        return amount\n"
    kept = "class Other:\n" + method
    written(
        shop, f"class Shop:\n    def __init__(self) -> None:\n        pass\n{method}\n\n{kept}", capsys=capsys
    )
    assert "def test_Shop__price" in (shop / TESTS).read_text() or "Shop.price(" in (shop / TESTS).read_text()
    for bases, gone in (("", ["Shop.price(self, amount)"]), ("(Other)", [])):
        source = f"{kept}\n\nclass Shop{bases}:\n    def __init__(self) -> None:\n        pass\n"
        assert written(shop, source, capsys=capsys)["modules"][0]["function_gone"] == gone


def test_the_report_counts_in_english(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / MODULE).write_text(
        "def price(amount: int) -> int:\n    return amount\n\ndef odd(x):\n    return x\n"
    )
    assert cli.main(["stubs"]) == 0
    said = capsys.readouterr().out
    assert "2 functions and methods read; tests assert something of 1\n1 new test in 1 file\n" in said
    assert f"{TESTS}: 1 test\n" in said
    assert "For 1 function or method the source tells no expected value" in said
    (shop / MODULE).write_text("def other(amount: int):\n    return amount\n")
    assert cli.main(["stubs"]) == 0
    said = capsys.readouterr().out
    assert "1 function or method read" in said and "No new test" in said
    assert "1 tested function not in the module any more; look whether" in said
    (shop / MODULE).unlink()
    assert cli.main(["stubs"]) == 0
    assert capsys.readouterr().out == "There is no module of yours to write tests for\n"


def test_code_that_is_not_to_be_run_gets_only_what_reading_shows(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "import enum\nclass Color(enum.Enum):\n    RED = 1\n\n"
    source += "def f(x: int) -> int:\n    if x < 0:\n        raise ValueError\n    return x\n"
    report = written(shop, source, "--read", capsys=capsys)
    assert [test["kind"] for test in report["modules"][0]["written"]] == ["enum", "guard", "answer"]
    assert not report["run"]


@pytest.mark.parametrize(
    "line", ["import nothere", "raise SystemExit", "import os\nTOKEN = os.environ['TOKEN']", "print(1)"]
)
def test_of_a_module_whose_import_may_do_something_nothing_is_written_unseen(
    shop: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    report = written(
        shop, f"{line}\n\ndef f(x: int):\n    if x < 0:\n        raise ValueError\n", "--read", capsys=capsys
    )
    assert report["tests_written"] == 0
    assert "importing its module may run code" in report["modules"][0]["demoted"][0]["why"]


def test_two_services_may_have_modules_of_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services = [
        {"name": name, "path": f"services/{name}", "kind": "worker", "code": "theirs", "app": ""}
        for name in ("a", "b")
    ]
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


def test_a_module_that_keeps_the_process_or_hangs_costs_only_its_own_tests(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    thread = "import threading, time\nthreading.Thread(target=lambda: time.sleep(600)).start()\n"
    source = "def f(x):\n    if x is None:\n        return 1\n    return x.y\n"
    (shop / "services/telegram-bot/keeps.py").write_text(thread + source)
    report = written(shop, source, capsys=capsys)
    assert report["tests_written"] == 2


def test_who_said_once_that_code_is_not_to_be_run_need_not_say_it_again(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = json.loads((shop / ".copier-answers.yml").read_text())
    (shop / ".copier-answers.yml").write_text(json.dumps({**recorded, "seed_tests": "read"}))
    report = written(
        shop, "def f(x: int) -> int:\n    if x < 0:\n        raise ValueError\n    return x\n", capsys=capsys
    )
    assert [test["kind"] for test in report["modules"][0]["written"]] == ["guard", "answer"]
    assert not report["run"] and "seed_tests: read" in report["why_not_run"]


def test_without_hypothesis_what_needs_it_is_told_and_the_rest_is_written(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "has", lambda python, module: module != "hypothesis")
    report = written(
        shop, "def f(x: int) -> int:\n    if x < 0:\n        raise ValueError\n    return x\n", capsys=capsys
    )
    (one,) = report["modules"]
    assert [test["kind"] for test in one["written"]] == ["guard", "answer"]
    assert [test["why"] for test in one["demoted"]] == [stubs.NO_HYPOTHESIS]


def test_a_function_of_which_no_candidate_is_green_gets_a_skeleton(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(shop, "def f(x: int) -> str:\n    return x\n", "--all", capsys=capsys)
    text = (shop / TESTS).read_text()
    assert 'reason="to be written: AssertionError' in text and "def test_f_does_what" in text


def test_skeletons_are_skips_with_their_reason(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(shop, "def f(x): pass\n", "--all", capsys=capsys)
    assert '@pytest.mark.skip(reason="to be written: unannotated")' in (shop / TESTS).read_text()
    ruff(shop / TESTS)
    before = (shop / TESTS).read_bytes()
    written(shop, "def f(x): pass\n", "--all", capsys=capsys)
    assert (shop / TESTS).read_bytes() == before


def test_a_skeleton_patches_what_is_outside_where_the_code_reaches_it(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "import json\nimport requests\nfrom boto3 import client\n\n\ndef fetch(name: str) -> str:\n"
    source += (
        "    found = requests.get(json.dumps(name), timeout=3)\n    client('s3')\n    return found.text\n"
    )
    written(shop, source, "--all", capsys=capsys)
    text = (shop / TESTS).read_text()
    patched = re.findall(r'patch\("([^"]+)"\)', text)
    assert [one.rsplit(".", 2 if "requests" in one else 1)[1:] for one in patched] == [
        ["requests", "get"],
        ["client"],
    ]
    ruff(shop / TESTS)


@pytest.mark.parametrize("path", ["services/none.py", "../elsewhere", "README.md", "\x1b[31m"])
def test_a_path_that_is_not_there_is_one_line_and_exit_2(
    shop: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["stubs", path]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.isprintable() is False and "\x1b" not in told
    assert not (shop / "tests").exists()


def test_two_modules_do_not_share_a_test_file(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "services/telegram-bot/a").mkdir()
    for name in ("a/b.py", "a_b.py"):
        (shop / "services/telegram-bot" / name).write_text("def f(x: int) -> int:\n    return x\n")
    report = written(shop, "", capsys=capsys)
    assert [one["not_appended"] for one in report["modules"]] == [
        None,
        "it is for the tests of services/telegram-bot/a/b.py",
        None,
    ]


def test_a_module_that_cannot_be_read_is_in_the_report(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = written(shop, "def f(:\n", capsys=capsys)
    assert report["unparsed"][0]["file"] == MODULE
