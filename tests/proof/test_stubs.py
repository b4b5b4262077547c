"""Tests that `levels stubs` writes for code that nobody here wrote: five libraries and two Flask applications
from PyPI.
"""

from __future__ import annotations

import ast
import os
import random
import shutil
import subprocess
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stubs import NEEDED, environment, fetch
from extensions.source.files import aside, walk
from extensions.source.modules import Module, read, read_all
from extensions.stubs import project as stubs
from extensions.stubs import run
from extensions.stubs.candidates import find
from extensions.stubs.write import Place, append, render
from tests.proof.test_foreign import FOREIGN, unpacked
from tests.support.proofs import Machine, fresh_machine
from tests.support.scale import scaled

pytestmark = pytest.mark.proof

GREEN = 0.95  # of the candidates, before any is left out


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


def written(
    project: Path, services: list[dict[str, str]], files: list[tuple[dict[str, str], str]], python: Path
) -> stubs.Result:
    """Write the stubs of a project with this interpreter."""
    patch = pytest.MonkeyPatch()
    patch.setattr(run, "interpreter", lambda folder: python)
    try:
        return stubs.stubs(project, files)
    finally:
        patch.undo()


def held(project: Path, result: stubs.Result, python: Path) -> None:
    """What was written is green, each test asserts, and few candidates were not."""
    kept = [one for stub in result.stubs for one in stub.tests]
    demoted = [(stub.source, one.name, why) for stub in result.stubs for one, why in stub.demoted]
    assert len(kept) / (len(kept) + len(demoted)) >= GREEN, demoted
    files = [stub.test for stub in result.stubs if stub.written]
    for file in files:
        for node in ast.parse((project / file).read_bytes()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                text = ast.unparse(node)
                assert "assert " in text or "pytest.raises(" in text, text
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": ""}
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *files]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


def test_what_is_written_for_five_libraries_is_green_and_asserts(tmp_path: Path) -> None:
    source = tmp_path / "source"
    environment(tmp_path / "tools", *NEEDED)
    fetch(tmp_path, source)
    service = {"name": "library", "path": ".", "kind": "worker", "code": "theirs", "app": ""}
    names = [os.path.join(folder, name) for folder, found in walk(source) for name in found]
    files = [(service, name) for name in names if not aside(name) and not name.startswith("bin/")]
    python = tmp_path / "tools/bin/python"
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*.py")}
    result = written(source, [service], files, python)
    assert sum(stub.written for stub in result.stubs) > 200
    held(source, result, python)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_every_module_of_the_standard_library_gives_test_files_that_parse_and_are_whole() -> None:
    kinds: Counter[str] = Counter()
    for module in read_all(sysconfig.get_paths()["stdlib"]):
        if not isinstance(module, Module):
            continue
        found = find(module)
        skeletons = [one for one in found.without if one.reason != "private"]
        where = Place(module.path, module.path.removesuffix(".py").replace("/", "."), ".")
        content = render(where, found.candidates, list({one.qualname: one for one in skeletons}.values()))
        names = [node.name for node in ast.parse(content).body if isinstance(node, ast.FunctionDef)]
        assert len(set(names)) == len(names), module.path
        assert append(content, where, found.candidates, skeletons) == content
        kinds.update(one.kind for one in found.candidates)
    assert kinds["examples"] > 100 and kinds["guard"] > 50, kinds


@pytest.mark.soak
def test_random_programs_and_random_bytes_are_no_reason_to_stop() -> None:
    chance = random.Random(20261124)
    pieces = [
        "def f(a: int, *, b: str = 'x') -> int:",
        "    if a < 0 or not b:",
        "        raise ValueError",
        "    return a",
    ]
    pieces += [
        '    """>>> f(1)',
        "    1",
        '    """',
        "import enum",
        "from enum import *",
        "class C(Enum):",
        "    A = 1",
    ]
    pieces += ["@dataclass(frozen=True)", "    x: int = 1", "\tpass", "é = '\\udc80'"]
    read_ones = 0
    for _ in range(scaled(30_000)):
        text = "\n".join(chance.choices(pieces, k=chance.randrange(1, 8))).encode("utf-8", "surrogatepass")
        if chance.random() < 0.3:
            text = text.replace(b"a", bytes([chance.randrange(256)]))
        module = read(text, "services/api/m.py")
        if isinstance(module, Module):
            found = find(module)
            ast.parse(render(Place(module.path, "m"), found.candidates, found.without))
            read_ones += bool(found.candidates)
    assert read_ones > 10


APPS: dict[str, dict[str, Any]] = {
    "tutorial": {
        "name": "flaskr",
        "path": "flaskr",
        "kind": "web",
        "code": "theirs",
        "app": "flaskr:create_app()",
    },
    "httpbin": {"name": "httpbin", "path": "httpbin", "kind": "web", "code": "theirs", "app": "httpbin:app"},
}


@pytest.mark.parametrize("name", APPS)
def test_what_is_written_for_a_flask_application_is_green_and_holds_its_routes(
    machine: Machine, tmp_path: Path, name: str
) -> None:
    project = unpacked(FOREIGN[name], machine, tmp_path, name)
    python = tmp_path / "venv/bin/python"
    machine.run(
        f"uv venv --quiet {tmp_path}/venv && uv pip install --quiet --python {python}"
        f" {FOREIGN[name].install}",
        project,
    )
    service = APPS[name]
    files = [
        (service, os.path.join(service["path"], folder, one))
        for folder, names in walk(project / service["path"])
        for one in names
    ]
    result = written(project, [service], [(s, os.path.normpath(file)) for s, file in files], python)
    routes = [one for stub in result.stubs for one in stub.tests if one.kind == "route"]
    assert len(routes) >= {"tutorial": 5, "httpbin": 30}[name], result
    held(project, result, python)
    shutil.rmtree(project)
