"""What writers of tests reach on the same modules from PyPI: `levels stubs`, Hypothesis Ghostwriter and
Pynguin.

Run `.venv/bin/python -m benchmarks.stubs --save rows.jsonl`. Every module and writer gives a row, appended to
that file once it is finished; rows that stand there already are not made again, so that writers can run by
themselves (`--writers`) and an interruption costs one module. `--from rows.jsonl` prints the tables alone.
Pynguin needs an hour and more. All of it runs under this account, with the code of strangers: in scratch
folders, but nothing keeps it there. On what it is measured is in corpora.py, who writes in writers.py, the
mutants are in mutants.py.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import shutil
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.corpora import CORPORA, NEEDED, environment, fetch, fetched, public_functions
from benchmarks.mutants import sample
from benchmarks.writers import PYNGUIN, WRITERS, Files, Suite, called

__all__ = ["NEEDED", "environment", "fetch"]  # for the proof of the stubs, which uses the same libraries

RUN = 60.0  # seconds for the tests of a module, or for each where that wasn't enough

Row = dict[str, Any]


@dataclass
class Outcome:
    """The names of the tests by what became of them.

    `aside` are those that skip, or fail as they say that they would.
    """

    green: set[str] = field(default_factory=set)
    red: set[str] = field(default_factory=set)
    aside: set[str] = field(default_factory=set)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", choices=list(CORPORA), default="corpus")
    parser.add_argument("--writers", nargs="+", choices=list(WRITERS), default=list(WRITERS))
    parser.add_argument("--modules", nargs="+", metavar="FILE", help="only these, as in toolz/recipes.py")
    parser.add_argument("--mutants", type=int, default=5, help="of each module")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="append rows there, and leave out those that it has"
    )
    parser.add_argument(
        "--from", type=Path, metavar="FILE", dest="source", help="print the tables of saved rows"
    )
    parser.add_argument("--json", action="store_true", help="rows instead of tables")
    options = parser.parse_args()
    rows = saved(options.source or options.save, options.corpus)
    if not options.source:
        with tempfile.TemporaryDirectory(prefix="copier-levels-stubs.", ignore_cleanup_errors=True) as folder:
            done = {(row["writer"], row["module"]) for row in rows}
            for row in run(
                Path(folder), options.corpus, options.writers, options.modules, options.mutants, done
            ):
                rows.append(row)
                print(row["writer"], row["module"], row["seconds"], file=sys.stderr, flush=True)
                if options.save:
                    with options.save.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps(row) + "\n")
    print(json.dumps(rows, indent=2) if options.json else tables(rows))


def saved(file: Path | None, corpus: str) -> list[Row]:
    """The rows of a corpus in a file; none where there is no file.

    The last line may be half a row, of a run that was ended.
    """
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file and file.exists() else []:
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return [row for row in rows if row["corpus"] == corpus]


def run(
    work: Path,
    corpus: str,
    writers: Sequence[str],
    modules: Sequence[str] | None,
    mutants: int,
    done: set[tuple[str, str]],
) -> Iterator[Row]:
    """A row for each writer and module that isn't done."""
    needs = CORPORA[corpus].needs
    environment(work / "tools", *NEEDED[:2], *needs)
    targets = [one for one in fetched(work, CORPORA[corpus]) if not modules or one.file in modules]
    if "pynguin" in writers:
        environment(work / "pynguin", PYNGUIN, *needs)
    for writer in writers:
        wanted = [one for one in targets if (writer, one.file) not in done]
        for suite in WRITERS[writer](work, wanted):
            yield {"corpus": corpus, "writer": writer, **judged(work, suite, mutants)}


# What a suite is worth


def judged(work: Path, suite: Suite, mutants: int) -> Row:
    """Run the tests of a module, and the green ones against its mutants.

    A test is a function, however many cases it has. Green is what passes twice, the second time without the
    red ones: a test that hangs on chance or on another one is red. A mutant is killed when a run of the green
    tests (and of those that are expected to fail, which turn red when they don't) is not green on it, or
    takes far longer than on the module itself.
    """
    target = suite.target
    tree = work / "runs" / target.project.name
    if not tree.exists():
        shutil.copytree(target.project, tree)
    original = (target.project / target.file).read_bytes()
    changed = sample(original.decode("utf-8"), mutants)
    for path, content in suite.files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    start = time.perf_counter()
    found = outcome(work, tree, suite.files)
    limit = 10 + 3 * (time.perf_counter() - start)
    if found.green or found.aside:
        again = outcome(work, tree, suite.files, found.red)
        found = Outcome(found.green & again.green, found.red | again.red, found.aside & again.aside)
    killed = 0
    for _, text in changed if found.green or found.aside else ():
        (tree / target.file).write_text(text, encoding="utf-8")
        killed += pytest(work, tree, suite.files, found.red, limit, "-x") != 0
    (tree / target.file).write_bytes(original)
    for path in suite.files:
        (tree / path).unlink()
    return {
        "part": target.part,
        "module": target.file,
        "seconds": round(suite.seconds, 3),
        "stopped": suite.stopped,
        "seconds with the trial": round(suite.trial, 3),
        "candidates": suite.candidates,
        "kept": suite.kept,
        "views": sorted(suite.views),
        "files": {path: content.decode("utf-8") for path, content in suite.files.items()},
        "green": sorted(found.green),
        "red": sorted(found.red),
        "aside": sorted(found.aside),
        "public": sorted(public_functions(target.project, target.file)),
        "mutants": len(changed),
        "killed": killed,
    }


def tests(files: Files) -> list[str]:
    """The tests in files, "file::name"."""
    trees = {path: ast.parse(content) for path, content in files.items()}
    functions = [
        (path, node)
        for path, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    ]
    return [f"{path}::{node.name}" for path, node in functions if node.name.startswith("test_")]


def outcome(work: Path, tree: Path, files: Files, without: Iterable[str] = ()) -> Outcome:
    """Run the tests but for those `without`.

    One that gave no report is red: its file could not be collected, or the time was over.
    """
    wanted = sorted(set(tests(files)) - set(without))
    states = reported(work, tree, files, without)
    if states is None:  # one that hangs is no fault of the others
        states = {}
        for test in wanted:
            states |= reported(work, tree, files, set(tests(files)) - {test}) or {}
    found = Outcome()
    for test in wanted:
        state = states.get(test, {"red"})
        (found.red if "red" in state else found.green if "green" in state else found.aside).add(test)
    return found


def reported(work: Path, tree: Path, files: Files, without: Iterable[str]) -> dict[str, set[str]] | None:
    """Of each test how its cases ended; None where the time was over."""
    report = work / "report.xml"
    report.unlink(missing_ok=True)
    if files and pytest(work, tree, files, without, RUN, f"--junit-xml={report}") == -1:
        return None
    states: dict[str, set[str]] = {}
    for case in ET.parse(report).iter("testcase") if report.exists() else ():
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').partition('[')[0]}"
        failed = case.find("failure") is not None or case.find("error") is not None
        states.setdefault(name, set()).add(
            "red" if failed else "aside" if case.find("skipped") is not None else "green"
        )
    return states


def pytest(work: Path, tree: Path, files: Files, without: Iterable[str], limit: float, *more: str) -> int:
    """Run the test files on the sources in `tree`; the exit code, -1 for a run that took longer than the
    limit.
    """
    (work / "empty.ini").write_text("[pytest]\n")
    options = (
        "-q",
        "-p",
        "no:cacheprovider",
        "--hypothesis-seed=0",
        "--tb=no",
        "-c",
        str(work / "empty.ini"),
        f"--rootdir={tree}",
    )
    left_out = [f"--deselect={test}" for test in without]
    command = [
        str(work / "tools/bin/python"),
        "-m",
        "pytest",
        *options,
        *more,
        *left_out,
        *(str(tree / path) for path in files),
    ]
    code, _ = called(work, tree, command, limit)
    return code


def asserted(content: str, name: str) -> set[str] | None:
    """What a test calls, where it asserts anything; None where it doesn't.

    An assert statement counts, and `pytest.raises`; so do they in a function inside the test that the test
    calls, as under `@given`. Only green tests are asked: one that is marked `xfail` and fails is none,
    whichever of its lines it fails in. Of calls these count: a name, under which it was imported at that; and
    an attribute of an imported module, its last name. Decorating is calling. That the assertion is about what
    was called, nobody checks, for no writer.
    """
    tree = ast.parse(content)
    test = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    nodes = list(_run(test))
    imported: dict[str, str] = {}
    for node in [*tree.body, *nodes]:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imported |= {
                (alias.asname or alias.name.partition(".")[0]): alias.name.rpartition(".")[2]
                for alias in node.names
            }
        elif isinstance(node, ast.Assign) and any(
            way in ast.unparse(node.value) for way in ("import_module", "sys.modules")
        ):
            imported |= {target.id: "" for target in node.targets if isinstance(target, ast.Name)}
    called_ones = [node.func for node in nodes if isinstance(node, ast.Call)]
    inner = (node for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node is not test)
    called_ones += [one for node in inner for one in node.decorator_list]
    names = set()
    for one in called_ones:
        if isinstance(one, ast.Name):
            names.add(imported.get(one.id, one.id))
        elif isinstance(one, ast.Attribute):
            root = one.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in imported:
                names.add(one.attr)
    return names if "raises" in names or any(isinstance(node, ast.Assert) for node in nodes) else None


def _run(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function and of what stands in it, but for the bodies of functions in it that nothing in
    it names.
    """
    named = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    waiting: list[ast.AST] = [function]
    while waiting:
        node = waiting.pop()
        if (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node is not function
            and node.name not in named
        ):
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


# What is told

TITLES = {"levels": "`levels stubs`", "ghostwriter": "Hypothesis Ghostwriter", "pynguin": "Pynguin"}


def tables(rows: Sequence[Row]) -> str:
    """A table in Markdown over all modules, and one for each part of the corpus."""
    parts = {
        "all": list(rows),
        **{part: [row for row in rows if row["part"] == part] for part in ("libraries", "applications")},
    }
    return "\n\n".join(f"{name}\n\n{table(some)}" for name, some in parts.items() if some)


def table(rows: Sequence[Row]) -> str:
    """The sums of the rows, a column for each writer."""
    writers = [writer for writer in TITLES if any(row["writer"] == writer for row in rows)]
    columns = [
        _column([row for row in rows if row["writer"] == writer], writer == "levels") for writer in writers
    ]
    lines = [["", *(TITLES[writer] for writer in writers)], ["---"] * (len(writers) + 1)]
    lines += [[name, *(column[name] for column in columns)] for name in (columns[0] if columns else ())]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _column(rows: Sequence[Row], ours: bool) -> dict[str, str]:
    def total(key: str) -> int:
        return sum(len(row[key]) if isinstance(row[key], list) else row[key] for row in rows)

    def share(part: int, whole: int) -> str:
        return f"{part:,} of {whole:,} ({part / whole:.0%})" if whole else "0 of 0"

    calls = [_calls(row) for row in rows]
    functions = [
        set(row["public"]) & {name for one in found for name in one or ()}
        for row, found in zip(rows, calls, strict=True)
    ]
    views = [
        set(row["public"]) & set(row["views"]) - found for row, found in zip(rows, functions, strict=True)
    ]
    seconds = sum(row["seconds"] for row in rows)
    trial = sum(row["seconds with the trial"] for row in rows)
    return {
        "modules": str(len(rows)),
        "imported to write": "nothing" if ours else "the module",
        "seconds to write": f"{seconds:,.1f}",
        "a module": f"{seconds / len(rows):.3g}",
        "seconds with the trial run": f"{trial:,.1f}" if ours else "",
        "a module, with the trial run": f"{trial / len(rows):.3g}" if ours else "",
        "stopped at the limit": str(total("stopped")),
        "modules with tests": str(sum(bool(row["green"] or row["red"] or row["aside"]) for row in rows)),
        "candidates green": share(total("kept"), total("candidates")) if ours else "",
        "tests written": f"{total('green') + total('red') + total('aside'):,}",
        "green": f"{total('green'):,}",
        "red": f"{total('red'):,}",
        "skipped, or expected to fail": f"{total('aside'):,}",
        "green, and nothing asserted": f"{sum(one is None for found in calls for one in found):,}",
        "public functions asserted": share(sum(map(len, functions)), total("public")),
        "further ones, by their route": str(sum(map(len, views))),
        "mutants killed": share(total("killed"), total("mutants")),
    }


def _calls(row: Row) -> list[set[str] | None]:
    """What each green test of a row asserts."""
    return [
        asserted(row["files"][file], name)
        for file, _, name in (test.partition("::") for test in row["green"])
    ]


if __name__ == "__main__":
    main()
