"""What rendering costs, as ratios against a floor in the same run.

The floor is a plain Copier template that ships the same files already rendered and has no extension. Run `make bench`.
Each pair is run alternately; the medians are compared. Absolute times are printed for orientation only.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import copier

from tests.support.projects import git, make_template, release

PLAIN = """\
_subdirectory: template
project_name:
  type: str
"""


def main() -> None:
    """Run everything and print a table, or JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="copier-levels-bench.") as folder:
        results = run(Path(folder), options.rounds)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, row in results.items():
        print(f"{name:<34}" + "".join(f"{key} {value:<10}" for key, value in row.items()))


def run(work: Path, rounds: int) -> dict[str, dict[str, Any]]:
    """All measurements in the folder `work`, each with its median seconds and its ratio."""
    template = make_template(work / "template", "v1.0.0")
    plain = make_plain(work, template)
    results: dict[str, dict[str, Any]] = {}

    def copy(source: Path, ref: str, **data: Any) -> Callable[[], None]:
        def once() -> None:
            target = Path(tempfile.mkdtemp(dir=work)) / "shop"
            copier.run_copy(str(source), target, data={"project_name": "shop", **data}, vcs_ref=ref, defaults=True, unsafe=True, quiet=True)

        return once

    def update(source: Path, ref: str, to: str, **data: Any) -> Callable[[], float]:
        def once() -> float:
            target = Path(tempfile.mkdtemp(dir=work)) / "shop"
            copier.run_copy(str(source), target, data={"project_name": "shop"}, vcs_ref=ref, defaults=True, unsafe=True, quiet=True)
            commit(target)
            start = time.perf_counter()
            copier.run_update(target, data=data, vcs_ref=to, defaults=True, overwrite=True, unsafe=True, quiet=True)
            return time.perf_counter() - start

        return once

    for level in (1, 4):
        results[f"copy at level {level}"] = versus(rounds, copy(template, "v1.0.0", level=level), copy(plain, f"v{level}"))
    results["update 1 to 4"] = versus(rounds, update(template, "v1.0.0", "v1.0.0", level=4), update(plain, "v1", "v4"))

    base = 0.0
    for count in (1, 10, 100):
        services = [f"service-{n}" for n in range(count)]
        seconds = statistics.median(timed(copy(template, "v1.0.0", services=services)) for _ in range(3))
        base = base or seconds
        results[f"copy with {count} services"] = {"seconds": round(seconds, 2), "ratio": round(seconds / base, 2)}
    base = 0.0
    for count in (100, 1000, 10000):
        seconds = statistics.median(adopt(work, template, count) for _ in range(3))
        base = base or seconds
        results[f"adopt {count} source files"] = {"seconds": round(seconds, 2), "ratio": round(seconds / base, 2)}
    return results


def versus(rounds: int, ours: Callable[[], float | None], floor: Callable[[], float | None]) -> dict[str, Any]:
    """Both alternately, so that a slow moment of the machine meets both; one round first to warm up."""
    ours(), floor()
    pairs = [(timed(ours), timed(floor)) for _ in range(rounds)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"seconds": round(mine, 2), "floor": round(theirs, 2), "ratio": round(mine / theirs, 2)}


def timed(once: Callable[[], float | None]) -> float:
    """Seconds that a call takes, or that it says itself."""
    start = time.perf_counter()
    said = once()
    return said if said is not None else time.perf_counter() - start


def make_plain(work: Path, template: Path) -> Path:
    """A plain template with the tags v1 and v4: the files of that level as rendered, and nothing else."""
    plain = work / "plain"
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
        (plain / "template" / "[[ _copier_conf.answers_file ]].jinja".replace("[[", "{{").replace("]]", "}}")).write_text(
            "{{ _copier_answers|to_nice_yaml }}\n"
        )
        (plain / "copier.yml").write_text(PLAIN)
        if level == 1:
            git(plain, "init", "--quiet")
        release(plain, f"v{level}")
    return plain


def adopt(work: Path, template: Path, count: int) -> float:
    """Seconds to adopt a repository of `count` source files, one package of which is a Flask application."""
    target = Path(tempfile.mkdtemp(dir=work)) / "shop"
    for number in range(count):
        path = target / "shop" / f"part{number // 100}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""Module {number}."""\n\n\ndef double(value: int) -> int:\n    return value * 2\n' * 5)
    (target / "shop" / "__init__.py").write_text("from flask import Flask\n\n\ndef create_app():\n    return Flask(__name__)\n")
    commit(target)
    start = time.perf_counter()
    copier.run_copy(str(template), target, data={"project_name": "shop"}, vcs_ref="v1.0.0", defaults=True, unsafe=True, quiet=True)
    seconds = time.perf_counter() - start
    shutil.rmtree(target)
    return seconds


def commit(folder: Path) -> None:
    """Everything in `folder` into a new git repository."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "--quiet", "--message", "copy")


if __name__ == "__main__":
    main()
