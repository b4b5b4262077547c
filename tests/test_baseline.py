"""A baseline is of findings, never of what couldn't run: real pytest, real imports, in an adopted project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.projects import Project
from tests.support.strangers import repository

FLASK = "from flask import Flask\n\napp = Flask(__name__)\n"
APP = "app = print\n"  # Flask isn't in the environment of these tests
GREEN = "def test_it():\n    assert True\n"
RED = "def test_one():\n    assert False\n\n\ndef test_two():\n    assert 1 == 2\n"
# The environment is that of these tests, and what is asked of it are the two steps that need no other tool.
DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, "ci")
import uv
uv.VENV_PYTHON, uv.ensure = Path(sys.executable), lambda: None
import baseline, check
baseline.coverage, check.summarize = list, lambda: None  # pytest-cov isn't here
baseline.IMPORT_SECONDS = 5
baseline.STEPS = {name: baseline.STEPS[name] for name in ("app", "test")}
sys.exit(baseline.main(sys.argv[1:]))
"""

# What is broken: the app, its test, a conftest; the exit codes of baseline and of check, and what is said.
BROKEN: dict[str, tuple[dict[str, str], int, int, str]] = {
    "nothing": ({}, 0, 0, "shop can be imported; 1 tests ran, 0 parts couldn't"),
    "a missing package": (
        {"shop.py": "import no_such_package\n" + APP},
        1,
        1,
        "shop: shop can't be imported: ModuleNotFoundError: No module named 'no_such_package' (shop.py:1)",
    ),
    "a wrong Python": (
        {"shop.py": "import sys\nassert sys.version_info < (3, 2), 'needs Python 3.1'\n" + APP},
        1,
        1,
        "shop can't be imported: AssertionError: needs Python 3.1 (shop.py:2)",
    ),
    "a failing conftest": (
        {"conftest.py": "import no_such_package\n", "test_shop.py": RED},
        1,
        1,
        "pytest stopped with exit code 4, so no test ran",
    ),
    "a syntax error": (
        {"shop.py": "def f(:\n" + APP},
        1,
        1,
        "shop can't be imported: SyntaxError: invalid syntax (shop.py:1)",
    ),
    "a missing variable": (
        {"shop.py": "import os\nKEY = os.environ['NO_SUCH_KEY']\n" + APP},
        1,
        1,
        "shop can't be imported: KeyError: 'NO_SUCH_KEY' (shop.py:2)",
    ),
    "a wrong port": (
        {"shop.py": "PORT = int('80a')\n" + APP},
        1,
        1,
        "ValueError: invalid literal for int() with base 10: '80a' (shop.py:1)",
    ),
    "an import that connects": (
        {"shop.py": "import socket\nsocket.create_connection(('127.0.0.1', 9), 2)\n" + APP},
        1,
        1,
        "shop can't be imported: ConnectionRefusedError: [Errno 111] Connection refused (shop.py:2)",
    ),
    "an import that hangs": (
        {"shop.py": "import time\ntime.sleep(60)\n" + APP},
        1,
        1,
        "importing shop doesn't end within 5 s: it may wait for a server",
    ),
    "no tests": ({"test_shop.py": ""}, 0, 0, "shop can be imported; 0 tests ran, 0 parts couldn't"),
    "all tests failing": (
        {"test_shop.py": RED},
        0,
        0,
        "config/baseline.txt: 2 findings recorded",
    ),
    "a test that can't be collected, beside one that fails": (
        {"test_shop.py": RED, "test_more.py": "import no_such_package\n"},
        1,
        1,
        "test_more can't be collected: ModuleNotFoundError: No module named 'no_such_package'",
    ),
}


@pytest.fixture(scope="module")
def adopted(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("adopted") / "shop"
    repository(folder, {"shop.py": FLASK, "test_shop.py": GREEN})
    return Project(folder, template).copy(seed_tests="none")


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_run_is_told_and_neither_recorded_nor_green(adopted: Project, case: str) -> None:
    files, recorded, checked, said = BROKEN[case]
    texts = {"shop.py": APP, "test_shop.py": GREEN, **files}
    for path in ("conftest.py", "test_more.py", "config/baseline.txt"):
        (adopted.folder / path).unlink(missing_ok=True)
    for path, text in texts.items():
        (adopted.folder / path).write_text(text)

    def run(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-c", DRIVER, *words]
        done = subprocess.run(
            command, cwd=adopted.folder, capture_output=True, text=True, check=False, timeout=300
        )
        return done.returncode, done.stdout + done.stderr

    code, told = run("baseline")
    assert said in told
    assert code == recorded, told
    baseline = adopted.read("config/baseline.txt")
    assert "no_such_package" not in baseline and "import" not in baseline and "stopped" not in baseline
    code, told = run()
    assert code == checked, told
