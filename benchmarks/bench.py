"""What rendering costs, as ratios against a floor in the same run.

The floor is a plain Copier template that ships the same files already rendered and has no extension. It comes
twice: as a repository of these files alone, and of a like size, with the tests and docs that this repository
has, since Copier clones and checks out all of it. Both are packed, as they would come from GitHub. Run
`make bench`; with TMPDIR in memory (/dev/shm) the cost of writing to a disk is left out.

Measured is the whole command, as a person gives it: CPU seconds of the process and of all that it starts, and
wall time beside them. Both templates run in turn, so that a slow moment of the machine meets both; each pair
gives a ratio, and the median of the ratios is told with the middle half of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import copier

from tests.support.projects import git, make_template, release

PLAIN = """\
_subdirectory: template
project_name:
  type: str
"""
OURS = {".git", "copier.yml", "extensions", "levels"}
COPIER = [sys.executable, "-m", "copier"]
FLAGS = ["--trust", "--defaults", "--quiet"]
# As where copier is installed: its modules are compiled once, and not at each start.
ENV = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


class Cost(NamedTuple):
    """What a command took: CPU seconds, its children's with them, and seconds on the clock."""

    cpu: float
    wall: float


def main() -> None:
    """Run everything and print a table as Markdown, or JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=7, help="pairs that are run of each command (7)")
    parser.add_argument("--only", default="", help="of the rows those whose name holds this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="copier-levels-bench.") as folder:
        results = run(Path(folder), options.rounds, options.only)
    print(json.dumps(results, indent=2) if options.json else table(results))


def table(results: dict[str, dict[str, Any]]) -> str:
    """The figures as tables in Markdown: rows of the same columns together."""
    lines: list[str] = []
    columns: list[str] = []
    for name, row in results.items():
        if list(row) != columns:
            columns = list(row)
            lines += ["", "| | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
        lines.append(f"| {name} | " + " | ".join(map(str, row.values())) + " |")
    return "\n".join(lines[1:])


def run(work: Path, rounds: int, only: str = "") -> dict[str, dict[str, Any]]:
    """All measurements in the folder `work` whose name holds `only`."""
    template = make_template(work / "template", "v1.0.0")
    floors = {
        "": make_plain(work / "plain", template),
        ", repository of a like size": make_plain(work / "like", template, around=True),
    }
    for repository in (template, *floors.values()):
        git(repository, "gc", "--quiet")
    results: dict[str, dict[str, Any]] = {}

    def copy(source: Path, ref: str, **data: Any) -> Callable[[], Cost]:
        return lambda: copied(source, ref, Path(tempfile.mkdtemp(dir=work)) / "shop", data)

    def update(source: Path, ref: str, to: str, **data: Any) -> Callable[[], Cost]:
        start = Path(tempfile.mkdtemp(dir=work)) / "shop"
        copied(source, ref, start, {})
        commit(start)

        def once() -> Cost:
            target = Path(tempfile.mkdtemp(dir=work)) / "shop"
            shutil.copytree(start, target, symlinks=True)
            return command([*COPIER, "update", *FLAGS, "--vcs-ref", to, *given(data)], target)

        return once

    for beside, plain in floors.items():
        for level in (1, 4):
            if only in (name := f"copy at level {level}{beside}"):
                results[name] = versus(
                    rounds, copy(template, "v1.0.0", level=level), copy(plain, f"v{level}")
                )
        if only in (name := f"update from 1 to 4{beside}"):
            results[name] = versus(
                rounds, update(template, "v1.0.0", "v1.0.0", level=4), update(plain, "v1", "v4")
            )

    many = [
        (
            f"copy with {count} services",
            copy(template, "v1.0.0", services=[f"service-{n}" for n in range(count)]),
        )
        for count in (1, 10, 100)
    ]
    results |= growing([(name, once) for name, once in many if only in name])
    sizes = [(f"adopt {count} source files", adopt(work, template, count)) for count in (100, 1000, 10000)]
    return results | growing([(name, once) for name, once in sizes if only in name])


def versus(rounds: int, ours: Callable[[], Cost], floor: Callable[[], Cost]) -> dict[str, Any]:
    """Both alternately; one round first to warm up."""
    ours(), floor()
    pairs = [(ours(), floor()) for _ in range(rounds)]
    row: dict[str, Any] = {}
    for kind, title in (("cpu", "CPU"), ("wall", "wall")):
        mine, theirs = ([getattr(cost, kind) for cost in column] for column in zip(*pairs, strict=True))
        row |= {
            f"{title} s": f"{statistics.median(mine):.2f}",
            f"plain, {title} s": f"{statistics.median(theirs):.2f}",
        }
        ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        row[f"{title} ratio"] = f"{middle:.2f} ({low:.2f} to {high:.2f})"
    return row


def growing(rows: list[tuple[str, Callable[[], Cost]]]) -> dict[str, dict[str, Any]]:
    """The least CPU seconds of three runs each, and how many times those of the first row they are."""
    costs = [(name, min(once() for _ in range(3))) for name, once in rows]
    return {
        name: {"CPU s": f"{cost.cpu:.2f}", "times the first": f"{cost.cpu / costs[0][1].cpu:.1f}"}
        for name, cost in costs
    }


def command(line: list[str], folder: Path) -> Cost:
    """Run a command in `folder` and say what it took. Raises CalledProcessError where it fails."""
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            line, cwd=folder, env=ENV, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)  # with what the command's own children took
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise subprocess.CalledProcessError(
                process.returncode, line, said.read().decode(errors="replace")
            )
    return Cost(usage.ru_utime + usage.ru_stime, wall)


def given(data: dict[str, Any]) -> list[str]:
    """Answers as options of `copier`."""
    return [part for key, value in data.items() for part in ("--data", f"{key}={json.dumps(value)}")]


def copied(source: Path, ref: str, target: Path, data: dict[str, Any]) -> Cost:
    """Copy a template to `target`."""
    return command(
        [
            *COPIER,
            "copy",
            *FLAGS,
            "--vcs-ref",
            ref,
            "--data",
            "project_name=shop",
            *given(data),
            str(source),
            str(target),
        ],
        source,
    )


def make_plain(plain: Path, template: Path, around: bool = False) -> Path:
    """A plain template at `plain` with the tags v1 and v4: the files of that level as rendered, and with
    `around` what stands around them in our repository, the extension and the levels aside.
    """
    if around:
        shutil.copytree(
            template, plain, ignore=lambda folder, names: OURS if folder == str(template) else set()
        )
    for level in (1, 4):
        shutil.rmtree(plain / "template", ignore_errors=True)
        copier.run_copy(
            str(template),
            plain / "template",
            data={"project_name": "shop", "level": level},
            vcs_ref="v1.0.0",
            defaults=True,
            unsafe=True,
            quiet=True,
        )
        (plain / "template" / ".copier-answers.yml").unlink()
        (
            plain
            / "template"
            / "[[ _copier_conf.answers_file ]].jinja".replace("[[", "{{").replace("]]", "}}")
        ).write_text("{{ _copier_answers|to_nice_yaml }}\n")
        (plain / "copier.yml").write_text(PLAIN)
        if level == 1:
            git(plain, "init", "--quiet")
        release(plain, f"v{level}")
    return plain


def adopt(work: Path, template: Path, count: int) -> Callable[[], Cost]:
    """Adopts a repository of `count` source files, one package of which is a Flask application."""

    def once() -> Cost:
        target = Path(tempfile.mkdtemp(dir=work)) / "shop"
        for number in range(count):
            path = target / "shop" / f"part{number // 100}" / f"module{number}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                f'"""Module {number}."""\n\n\ndef double(value: int) -> int:\n    return value * 2\n' * 5
            )
        (target / "shop" / "__init__.py").write_text(
            "from flask import Flask\n\n\ndef create_app():\n    return Flask(__name__)\n"
        )
        commit(target)
        cost = copied(template, "v1.0.0", target, {})
        shutil.rmtree(target)
        return cost

    return once


def commit(folder: Path) -> None:
    """Everything in `folder` into a new git repository."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    git(folder, "add", "--all")
    git(
        folder,
        "-c",
        "user.name=bench",
        "-c",
        "user.email=bench@example.com",
        "commit",
        "--quiet",
        "--message",
        "copy",
    )


if __name__ == "__main__":
    main()
