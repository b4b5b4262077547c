"""How the benchmark of the writers of tests counts. That it runs is seen when it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.corpora import CORPORA, Target
from benchmarks.stubs import asserted, judged, saved, table, tables
from benchmarks.writers import Suite

IN_OUR_STYLE = """
import pytest

def test_f_says_what_it_returns():
    from hypothesis import given, strategies as st

    from package.module import f

    @given(st.integers())
    def holds(x):
        assert isinstance(f(x), int)

    holds()

def test_nobody_calls_what_asserts():
    from package.module import f

    def holds(x):
        assert f(x)

    f(1)

def test_f_refuses():
    from package.module import f as g

    with pytest.raises(ValueError):
        g(-1)

def test_by_name():
    from importlib import import_module

    module = import_module("my-module")
    f = module.f

    assert f(1) == module.g(2)

def test_of_methods_only():
    from package.module import Thing

    assert Thing().f() == "a".g()

def test_decorated():
    from package.module import f

    @f
    def inner():
        return 1

    assert inner() == 1
"""

IN_PYNGUINS_STYLE = """
import pytest
import sys
import package.module as module_0
import package.module

module_ = sys.modules["package.module"]

def test_case_0():
    var_0 = module_0.f(1)
    assert var_0 == 2

def test_case_1():
    module_0.f(1)

def test_case_2():
    var_0 = module_.f(1)
    assert var_0 == 2

def test_case_3():
    var_0 = package.module.f(1)
    assert package.module.CONSTANT == 2
"""


@pytest.mark.parametrize(
    ("text", "name", "calls"),
    [
        (IN_OUR_STYLE, "test_f_says_what_it_returns", {"f"}),
        (IN_OUR_STYLE, "test_nobody_calls_what_asserts", None),
        (IN_OUR_STYLE, "test_f_refuses", {"f"}),
        (IN_OUR_STYLE, "test_by_name", {"f", "g"}),
        (IN_OUR_STYLE, "test_of_methods_only", set()),
        (IN_OUR_STYLE, "test_decorated", {"f"}),
        (IN_PYNGUINS_STYLE, "test_case_0", {"f"}),
        (IN_PYNGUINS_STYLE, "test_case_1", None),
        (IN_PYNGUINS_STYLE, "test_case_2", {"f"}),
        (IN_PYNGUINS_STYLE, "test_case_3", {"f"}),
    ],
)
def test_a_function_is_asserted_that_a_test_which_asserts_calls(
    text: str, name: str, calls: set[str] | None
) -> None:
    found = asserted(text, name)
    assert (None if found is None else found & {"f", "g"}) == calls


def a_row(writer: str, module: str, **more: Any) -> dict[str, Any]:
    counts = {
        "seconds": 2.0,
        "seconds with the trial": 4.0,
        "stopped": False,
        "candidates": 4,
        "kept": 3,
        "mutants": 5,
        "killed": 2,
    }
    results = {
        "files": {"t.py": IN_PYNGUINS_STYLE},
        "green": ["t.py::test_case_0", "t.py::test_case_1"],
        "red": ["t.py::test_case_3"],
        "views": ["f", "g"],
    }
    return {
        "corpus": "corpus",
        "part": "libraries",
        "writer": writer,
        "module": module,
        **counts,
        **results,
        "aside": [],
        "public": list("fgh"),
    } | more


def cells(text: str) -> dict[str, list[str]]:
    return {
        line[0]: line[1:]
        for line in ([cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines())
    }


def test_a_table_has_the_sums_of_the_rows_and_a_column_for_each_writer() -> None:
    rows = [
        a_row("pynguin", "a.py", stopped=True),
        a_row("levels", "a.py"),
        a_row("levels", "b.py", part="applications", green=[], killed=0),
    ]
    found = cells(table(rows))
    assert found[""] == ["`levels stubs`", "Pynguin"]
    assert found["modules"] == ["2", "1"]
    assert found["imported to write"] == ["nothing", "the module"]
    assert found["seconds to write"] == ["4.0", "2.0"]
    assert found["a module, with the trial run"] == ["4", ""]
    assert found["stopped at the limit"] == ["0", "1"]
    assert found["candidates green"] == ["6 of 8 (75%)", ""]
    assert found["tests written"] == ["4", "3"]
    assert found["green, and nothing asserted"] == ["1", "1"]
    assert found["public functions asserted"] == ["1 of 6 (17%)", "1 of 3 (33%)"]
    assert found["further ones, by their route"] == ["3", "1"]
    assert found["mutants killed"] == ["2 of 10 (20%)", "2 of 5 (40%)"]
    assert [line for line in tables(rows).splitlines() if line.isalpha()] == [
        "all",
        "libraries",
        "applications",
    ]
    assert tables([]) == ""


def test_saved_rows_are_those_of_the_corpus_and_half_a_row_is_none(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    assert saved(file, "corpus") == saved(None, "corpus") == []
    rows = [a_row("levels", "a.py"), a_row("levels", "a.py", corpus="held-out")]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + json.dumps(rows[0])[:50])
    assert saved(file, "corpus") == rows[:1]
    assert saved(file, "held-out") == rows[1:]


def test_every_release_is_pinned_by_a_hash() -> None:
    for corpus in CORPORA.values():
        for release, digest in [
            *corpus.releases.items(),
            *((app.release, app.sha256) for app in corpus.apps),
        ]:
            assert "==" in release and len(bytes.fromhex(digest)) == 32


def test_a_suite_is_run_on_the_module_and_on_its_mutants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # pytest-copie takes seconds to import
    monkeypatch.setenv("PYTEST_PLUGINS", "_hypothesis_pytestplugin")
    (tmp_path / "tools").symlink_to(sys.prefix)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/m.py").write_text("def f(x):\n    return x + 1\n")
    content = b"""
import pytest
from m import f

@pytest.mark.parametrize("number", [1, 2])
def test_red_in_one_case(number):
    assert f(number) == 2

@pytest.mark.xfail(strict=True)
def test_expected_to_fail():
    f("")

def test_green():
    assert f(1) == 2
"""
    target = Target(tmp_path / "source", {"kind": "worker"}, "m.py")
    row = judged(tmp_path, Suite(target, {"tests/test_m.py": content}, 1.0), 1)
    assert [[name.rpartition("::")[2] for name in row[state]] for state in ("green", "red", "aside")] == [
        ["test_green"],
        ["test_red_in_one_case"],
        ["test_expected_to_fail"],
    ]
    assert row["public"] == ["f"]
    assert row["mutants"] == row["killed"] == 1
    assert (tmp_path / "runs/source/m.py").read_text() == "def f(x):\n    return x + 1\n"
    nothing = judged(tmp_path, Suite(target, {}, 1.0), 5)
    assert (nothing["green"], nothing["mutants"], nothing["killed"]) == ([], 3, 0)
    broken = judged(
        tmp_path, Suite(target, {"tests/test_m.py": b"import nowhere\n\ndef test_m(): pass\n"}, 1.0), 5
    )
    assert (broken["red"], broken["killed"]) == (["tests/test_m.py::test_m"], 0)
