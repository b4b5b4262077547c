"""The writers of tests that are compared: `levels stubs`, Hypothesis Ghostwriter and Pynguin.

Another one is a function in `WRITERS`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.corpora import Target
from extensions.source.routes import find as find_routes
from extensions.stubs import project
from extensions.stubs.write import render

PYNGUIN = "pynguin==0.48.0"
SEARCH = 15  # seconds that Pynguin may search a module; it takes more to choose its assertions
LIMIT = 180.0  # seconds after which a peer is ended; what it has written by then counts

Files = dict[str, bytes]  # test files by their path from the project


@dataclass
class Suite:
    """What a writer wrote for a module: the test files, and what writing cost."""

    target: Target
    files: Files
    seconds: float
    stopped: bool = False  # at LIMIT
    trial: float = 0.0  # seconds with the run of the candidates, which only `levels` makes
    candidates: int = 0
    kept: int = 0  # of the candidates, those that were green
    # Functions of whose route something is asserted, without a call by name.
    views: set[str] = field(default_factory=set)


def levels(work: Path, targets: Sequence[Target]) -> Iterator[Suite]:
    """`levels stubs` over each project at once, as `make stubs` does it; the seconds are the project's, in
    even shares.
    """
    projects = list(dict.fromkeys(one.project for one in targets))
    for folder in projects:
        ours = [one for one in targets if one.project == folder]
        copy = work / "levels" / folder.name
        shutil.copytree(folder, copy)
        (copy / ".venv").symlink_to(work / "tools")
        service = ours[0].service
        start = time.perf_counter()
        routes = find_routes(copy, service) if service["app"] else None
        for one in ours:
            planned = project.plan(copy, service, one.file, routes)
            if isinstance(planned, project.Stub) and planned.tests:
                render(planned.place, planned.tests)
        middle = time.perf_counter()
        result = project.stubs(copy, [(service, one.file) for one in ours])
        end = time.perf_counter()
        written = {stub.source: stub for stub in result.stubs}
        for one in ours:
            suite = Suite(one, {}, (middle - start) / len(ours), False, (end - middle) / len(ours))
            if stub := written.get(one.file):
                suite.kept, suite.candidates = len(stub.tests), len(stub.tests) + len(stub.demoted)
                suite.views = {test.qualname for test in stub.tests if test.kind == "route"}
                suite.files = {stub.test: (copy / stub.test).read_bytes()} if stub.written else {}
            yield suite


def ghostwriter(work: Path, targets: Sequence[Target]) -> Iterator[Suite]:
    """`hypothesis write` of each module."""
    for one in targets:
        start = time.perf_counter()
        code, said = called(
            work,
            one.project,
            [str(work / "tools/bin/hypothesis"), "write", "--style", "pytest", one.module],
            LIMIT,
        )
        seconds = time.perf_counter() - start
        files = {f"tests/test_{one.module.replace('.', '_')}.py": said.encode()} if code == 0 else {}
        yield Suite(one, files, seconds, code == -1)


def pynguin(work: Path, targets: Sequence[Target]) -> Iterator[Suite]:
    """Pynguin of each module with its own settings, but for the time that it may search."""
    for one in targets:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            where = ("--project-path", str(one.project), "--output-path", folder, "--module-name", one.module)
            settings = ("--maximum-search-time", str(SEARCH), "--seed", "1")
            start = time.perf_counter()
            code, _ = called(work, one.project, [str(work / "pynguin/bin/pynguin"), *where, *settings], LIMIT)
            seconds = time.perf_counter() - start
            files = {f"tests/{path.name}": path.read_bytes() for path in Path(folder).glob("test_*.py")}
        yield Suite(one, files, seconds, code == -1)


def called(work: Path, source: Path, command: list[str], limit: float) -> tuple[int, str]:
    """Run a program that may import the sources, in a scratch folder; its exit code (-1 after `limit`
    seconds) and what it printed.
    """
    scratch = Path(tempfile.mkdtemp(dir=work))
    env = {
        **os.environ,
        "PYTHONPATH": str(source),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYNGUIN_DANGER_AWARE": "1",
    }
    env |= {"HOME": str(scratch), "TMPDIR": str(scratch), "PYTEST_ADDOPTS": ""}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=scratch, env=env, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload]
    try:
        said, _ = process.communicate(timeout=limit)
        return process.returncode, said
    except subprocess.TimeoutExpired:
        return -1, ""
    finally:
        with contextlib.suppress(OSError):  # and what it started
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        shutil.rmtree(scratch, ignore_errors=True)


WRITERS: dict[str, Callable[[Path, Sequence[Target]], Iterator[Suite]]] = {
    "levels": levels,
    "ghostwriter": ghostwriter,
    "pynguin": pynguin,
}
