"""What test writers reach on the same modules of libraries from PyPI: Hypothesis Ghostwriter and Pynguin, whom `levels stubs` has to beat.

Of each: seconds to write, tests that are green and red, green tests that assert nothing, public functions that a green test asserts
something of, and how many mutants of the module the green tests notice. Run `.venv/bin/python -m benchmarks.stubs`; Pynguin takes one to
three minutes a module, `--writers ghostwriter` leaves it out. Releases are fetched by their hashes. The tests run under this account, in
a scratch folder. A writer is a function in `WRITERS`.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.mutants import sample
from extensions.source.modules import Function, Module, read_file
from extensions.stubs import project
from extensions.stubs.write import Place, render

RELEASES = {
    "boltons==26.2.0": "41942cbce440211bbcf2487ccdc356964ad674f95a01068b8a0dd7a1d1fed036",
    "humanize==4.17.0": "02d0899527760efe18011944f882df4970943b4cdff7b5a0ba7fed43a576ef98",
    "python-slugify==9.2.0": "7298dcfc65e9ccdf834b3c398f163af0d09a9a8fc1ee6a7b2dffd8d38bfb756e",
    "toolz==1.2.0": "890f820b1cb8152785aaf9386d8707770110809035800985ca65cb24ce1120ef",
    "inflection==0.5.1": "f38b2b640938a4f35ade69ac3d053042959b62a0f1076a5bbaa1b9526605a8a2",
}
NEEDED = ("pytest>=9,<10", "hypothesis[cli,ghostwriter]>=6.140,<7", "text-unidecode>=1.3,<2")
PYNGUIN = "pynguin==0.48.0"
# A sample, since Pynguin takes minutes a module: the usual helpers of a service, with doctests and without, annotated and not.
MODULES = (
    "inflection/__init__.py",
    "humanize/filesize.py",
    "toolz/recipes.py",
    "boltons/mathutils.py",
)
SEARCH = 30  # seconds that Pynguin may search a module; it takes more to choose its assertions


@dataclass
class Suite:
    """The test files that a writer wrote for the module `file`, and what became of them."""

    writer: str
    file: str
    folder: Path
    seconds: float
    green: int = 0
    red: list[str] = field(default_factory=list)
    hollow: int = 0  # green, and nothing is asserted
    asserted: set[str] = field(default_factory=set)
    killed: int = 0


def main() -> None:
    """Measure and print a table, or JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--writers", nargs="+", choices=list(WRITERS), default=list(WRITERS))
    parser.add_argument("--modules", nargs="+", default=list(MODULES))
    parser.add_argument("--mutants", type=int, default=10, help="of each module")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="copier-levels-stubs.") as folder:
        results = run(Path(folder), options.writers, options.modules, options.mutants)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for row in results:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


def run(work: Path, writers: list[str], modules: list[str], mutants: int) -> list[dict[str, Any]]:
    """One row for each writer and module, and one for each writer over all."""
    source = work / "source"
    environment(work / "tools", *NEEDED)
    fetch(work, source)
    if "pynguin" in writers:
        environment(work / "pynguin", PYNGUIN, *NEEDED[2:])
    rows = []
    for writer in writers:
        total = {"writer": writer, "module": "all"}
        for file in modules:
            row = judged(work, source, writer, file, mutants)
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
            for key, value in row.items():
                if not isinstance(value, str):
                    total[key] = round(total.get(key, 0) + value, 2)  # type: ignore[operator, call-overload]
        rows.append(total)
    return rows


def judged(work: Path, source: Path, writer: str, file: str, mutants: int) -> dict[str, Any]:
    """Write the tests of one module, run them, and run the green ones against its mutants."""
    folder = work / writer / dotted(file).replace(".", "_")
    folder.mkdir(parents=True)
    start = time.perf_counter()
    WRITERS[writer](work, source, file, folder)
    suite = Suite(writer, file, folder, time.perf_counter() - start)
    public = public_functions(source, file)
    outcomes = outcome(work, source, folder)
    for name, passed in outcomes.items():
        if not passed:
            suite.red.append(name)
            continue
        suite.green += 1
        called = asserted(folder, name)
        suite.hollow += called is None
        suite.asserted |= public & (called or set())
    changed = sample((source / file).read_text(encoding="utf-8"), mutants)
    if suite.green:
        assert not noticed(work, source, suite, (source / file).read_text(encoding="utf-8")), "what is green is red on the module itself"
        suite.killed = sum(noticed(work, source, suite, text) for _, text in changed)
    return {
        "writer": writer,
        "module": file,
        "seconds": round(suite.seconds, 2),
        "green": suite.green,
        "red": len(suite.red),
        "without assertion": suite.hollow,
        "public functions": len(public),
        "asserted": len(suite.asserted),
        "mutants": len(changed),
        "killed": suite.killed,
    }


def public_functions(source: Path, file: str) -> set[str]:
    """The functions at the top of a module that an importer may call."""
    module = read_file(source, file)
    assert isinstance(module, Module), module

    def public(one: Function) -> bool:
        return one.kind == "function" and not one.nested and not one.name.startswith("_")

    return {one.name for one in module.functions if public(one)}


def outcome(work: Path, source: Path, folder: Path, *more: str) -> dict[str, bool]:
    """Of each test "file::name" whether it passed. A file that can't be collected is one that failed. Skips are left out."""
    report = work / "report.xml"
    report.unlink(missing_ok=True)
    pytest(work, source, folder, f"--junit-xml={report}", *more)
    found = {}
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rsplit('.', 1)[-1]}.py::{case.get('name')}"
        if case.find("skipped") is None:
            found[name] = case.find("failure") is None and case.find("error") is None
    return found


def pytest(work: Path, source: Path, folder: Path, *more: str) -> int:
    """Run the tests of a folder on the sources; the exit code, 1 for a run that took more than two minutes."""
    command = [
        str(work / "tools/bin/python"),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--hypothesis-seed=0",
        "--tb=no",
        f"--rootdir={folder}",
        *more,
        str(folder),
    ]
    scratch = Path(tempfile.mkdtemp(dir=work))
    env = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(scratch)}
    try:
        done = subprocess.run(command, cwd=scratch, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return 1
    finally:
        shutil.rmtree(scratch)
    return done.returncode


def asserted(folder: Path, name: str) -> set[str] | None:
    """What the test calls, by its last name, where it asserts anything; None where it doesn't."""
    file, _, test = name.partition("::")
    tree = ast.parse((folder / file).read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    node = next(one for one in functions if one.name == test.split("[")[0])
    calls = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
    names = {one.attr if isinstance(one, ast.Attribute) else one.id for one in calls if isinstance(one, (ast.Attribute, ast.Name))}
    return names if "raises" in names or any(isinstance(one, ast.Assert) for one in ast.walk(node)) else None


def noticed(work: Path, source: Path, suite: Suite, text: str) -> bool:
    """Whether a green test turns red on a mutant."""
    mutated = work / "mutated"
    if not mutated.exists():
        shutil.copytree(source, mutated)
    (mutated / suite.file).write_text(text, encoding="utf-8")
    try:
        red = [f"--deselect={name}" for name in suite.red]
        return pytest(work, mutated, suite.folder, "-x", *red) != 0
    finally:
        shutil.copy(source / suite.file, mutated / suite.file)


# Who writes


def levels(work: Path, source: Path, file: str, folder: Path) -> None:
    """`levels stubs`, its run of the candidates with it."""
    one = project.plan(source, {"name": "library", "path": ".", "kind": "worker", "code": "theirs", "app": ""}, file)
    assert isinstance(one, project.Stub), one
    project.judge(source, [one], work / "tools/bin/python")
    if one.tests:
        place = Place(file, dotted(file))
        (folder / f"test_{dotted(file).replace('.', '_')}.py").write_bytes(render(place, one.tests))


def ghostwriter(work: Path, source: Path, file: str, folder: Path) -> None:
    """`hypothesis write` of a module."""
    done = called(work, source, "tools/bin/hypothesis", "write", "--style", "pytest", dotted(file))
    if done.returncode == 0:
        (folder / f"test_{dotted(file).replace('.', '_')}.py").write_text(done.stdout, encoding="utf-8")


def pynguin(work: Path, source: Path, file: str, folder: Path) -> None:
    """Pynguin with its own settings, but for the time that it may search."""
    where = ("--project-path", str(source), "--output-path", str(folder), "--module-name", dotted(file))
    called(work, source, "pynguin/bin/pynguin", *where, "--maximum-search-time", str(SEARCH), "--seed", "1")


def dotted(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def called(work: Path, source: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the tools on the sources, for ten minutes at most."""
    env = {**os.environ, "PYTHONPATH": str(source), "PYNGUIN_DANGER_AWARE": "1"}
    command = [str(work / program), *arguments]
    return subprocess.run(command, cwd=source, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)


WRITERS: dict[str, Callable[[Path, Path, str, Path], None]] = {"levels": levels, "ghostwriter": ghostwriter, "pynguin": pynguin}


# What is needed


def environment(folder: Path, *requirements: str) -> None:
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    uv("pip", "install", "--quiet", "--python", str(folder), *requirements)


def fetch(work: Path, source: Path) -> None:
    """The libraries, by their hashes, without what they depend on."""
    wanted = work / "wanted.txt"
    wanted.write_text("".join(f"{name} --hash=sha256:{digest}\n" for name, digest in RELEASES.items()), encoding="utf-8")
    only = ("--no-deps", "--only-binary", ":all:", "--require-hashes")
    uv("pip", "install", "--quiet", "--python", str(work / "tools"), "--target", str(source), *only, "-r", str(wanted))


def uv(*arguments: str) -> None:
    own = Path(__file__).parents[1] / ".cache/uv/bin/uv"
    subprocess.run([str(own) if own.exists() else "uv", *arguments], check=True)


if __name__ == "__main__":
    main()
