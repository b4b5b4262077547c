"""Tests that are written from the person's source after a copy and after an update."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.projects import Project, git

AtLevel = Callable[..., Project]

APP = 'from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.get("/")\ndef index():\n    return "shop"\n'
PRICES = '''"""Prices."""

import enum


class Currency(enum.Enum):
    EURO = "EUR"


def total(count: int) -> int:
    if count < 0:
        raise ValueError("count")
    return count * 2
'''


@pytest.fixture
def repository(tmp_path: Path, template: Path) -> Project:
    """A repository with a service that nobody has tests for."""
    project = Project(tmp_path / "repo", template)
    project.write("services/pay/app.py", APP)
    project.write("services/pay/prices.py", PRICES)
    git(project.folder, "init", "--quiet")
    return project.commit()


def seeds(project: Project) -> list[str]:
    """The test files of the person's modules."""
    found = (project.folder / "tests/unit").glob("*/test_*.py")
    return sorted(
        path.name for path in found if not path.name.endswith(("_health.py", "_app.py", "_worker.py"))
    )


def test_an_adopted_module_gets_tests_that_hold(repository: Project) -> None:
    repository.copy("v1.0.0")
    assert seeds(repository) == ["test_pay_prices.py"]
    text = repository.read("tests/unit/pay/test_pay_prices.py")
    assert "services/pay/prices.py:6" in text and "pytest.raises(ValueError)" in text
    code = pytest.main(
        ["-q", "-p", "no:cacheprovider", str(repository.folder / "tests/unit/pay/test_pay_prices.py")]
    )
    assert code == 0
    sys.modules.pop("prices", None)


def test_a_large_adoption_gets_a_handful_of_files(
    repository: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):
        repository.write(f"services/pay/part{number}.py", PRICES)
    repository.commit().copy("v1.0.0")
    assert len(seeds(repository)) == 5
    assert "17 more modules were not looked at: `make install stubs`" in capfd.readouterr().err


def test_what_has_to_be_tried_before_it_is_written_is_told(
    repository: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    repository.write("services/pay/web.py", "import flask\n" + PRICES)
    example = '\n\ndef half(n):\n    """\n    >>> half(4)\n    2\n    """\n    return n // 2\n'
    repository.write("services/pay/prices.py", PRICES + example)
    repository.commit().copy("v1.0.0")
    assert "half(4)" not in repository.read("tests/unit/pay/test_pay_prices.py"), (
        "nothing of theirs is run without an environment"
    )
    said = capfd.readouterr().err
    assert (
        "more tests must be tried first, such as docstring examples: `make install stubs` writes those that"
        " are green" in said
    )
    assert "2 more modules were not looked at: `make install stubs` writes what can be asserted" in said, (
        "app.py, too"
    )


def test_a_person_who_wants_nothing_run_is_not_told_to_run_it(
    repository: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    repository.copy("v1.0.0", seed_tests="read")
    said = capfd.readouterr().err
    assert "prices.py" in said and "tried first" not in said and "install stubs" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(("said", "files"), [("all", 21), ("", 10), ("none", 5)])
def test_in_a_terminal_a_person_is_asked_before_more_are_written(
    repository: Project, template: Path, said: str, files: int
) -> None:
    import pty

    for number in range(20):
        repository.write(f"services/pay/part{number:02}.py", PRICES)
    repository.commit().copy("v1.0.0")  # nobody is asked here: five are written
    git(repository.folder, "reset", "--quiet", "HEAD~1")  # as it is while Copier runs
    ours, theirs = pty.openpty()
    script = [sys.executable, str(template / "extensions/after_copy.py"), str(template), "ask"]
    with subprocess.Popen(
        script, cwd=repository.folder, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        os.write(ours, f"{said}\n".encode())
        assert process.stdout is not None
        told = process.stdout.read().decode()
    assert (
        "16 modules of yours have no test file of their own. Write tests for 5 of them now, for all, or for"
        " none? [5/all/none]" in told
    )
    assert len(seeds(repository)) == files


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("prices.py", PRICES.replace("import enum", "import enum\nimport requests")),  # may not be installed
        ("prices.py", PRICES + "\nprint(total(1))\n"),  # runs something
        ("prices.py", PRICES + "\nconnection = connect()\n"),
        ("prices.py", PRICES.replace("class Cur", "@register\nclass Cur")),
        ("prices.py", PRICES.replace("count: int)", "count: int = ask())")),
        ("prices.py", "def broken(:\n"),
    ],
)
def test_what_could_be_red_is_not_written_where_nothing_is_run(
    repository: Project, file: str, text: str
) -> None:
    repository.write(f"services/pay/{file}", text)
    repository.commit().copy("v1.0.0")
    assert seeds(repository) == []


def test_who_wants_no_tests_gets_none(repository: Project) -> None:
    assert seeds(repository.copy("v1.0.0", seed_tests="none")) == []


def test_a_module_that_has_a_test_gets_no_other(repository: Project) -> None:
    repository.write("tests/test_prices.py", "def test_nothing():\n    assert True\n")
    assert seeds(repository.commit().copy("v1.0.0")) == []


def test_code_is_not_run_where_the_answer_says_read(repository: Project) -> None:
    """The environment is there, and the module would be seen to run."""
    bin = repository.folder / ".venv/bin"
    bin.mkdir(parents=True)
    (bin / "python").write_text(f'#!/bin/sh\ntouch {repository.folder}/ran\nexec {sys.executable} "$@"\n')
    (bin / "python").chmod(0o755)
    repository.copy("v1.0.0", seed_tests="read")
    assert seeds(repository) == ["test_pay_prices.py"] and not (repository.folder / "ran").exists()


def test_with_an_environment_each_is_tried_first(repository: Project) -> None:
    bin = repository.folder / ".venv/bin"
    bin.mkdir(parents=True)
    (bin / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (bin / "python").chmod(0o755)
    repository.write(
        "services/pay/prices.py",
        PRICES
        + '\n\ndef half(n: int) -> int:\n    """\n    >>> half(4)\n    3\n    """\n    return n // 2\n',
    )
    repository.commit().copy("v1.0.0")
    text = repository.read("tests/unit/pay/test_pay_prices.py")
    assert "total(" in text and "isinstance(result, int)" in text
    assert "half(4) == 3" not in text, "the example is wrong, and a red test is not written"


def test_a_new_module_gets_tests_at_the_next_move_and_only_then(
    at_level: AtLevel, capfd: pytest.CaptureFixture[str]
) -> None:
    project = at_level(1)
    assert seeds(project) == []
    project.write("services/api/prices.py", PRICES)
    project.commit().move(2)
    seed = project.folder / "tests/unit/api/test_api_prices.py"
    assert seeds(project) == ["test_api_prices.py"]
    assert (
        "tests/unit/api/test_api_prices.py: 2 tests from services/api/prices.py, yours now"
        in capfd.readouterr().err
    )
    ast.parse(seed.read_text())
    project.commit()
    # The person's: an edit stays, and one that is deleted doesn't come back.
    seed.write_text("# mine\n")
    project.commit().move(3)
    assert seed.read_text() == "# mine\n"
    project.commit()
    seed.unlink()
    project.commit().move(2)
    assert seeds(project) == []
