"""What reading a module costs, as a ratio against `ast.parse` on the same bytes, and how much memory 10,000
modules take.

The modules are those of the standard library. Each is parsed and read one after the other, so that a slow
moment of the machine meets both. Run `.venv/bin/python -m benchmarks.reading`.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import resource
import statistics
import subprocess
import sys
import sysconfig
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from extensions.source.modules import Module, read

MODULES = 10_000


def main() -> None:
    """Measure and print a table, or JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", choices=("read", "parse", "long"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory == "long":
        print(json.dumps(long_module()))
        return
    if options.memory:
        print(json.dumps(memory(parse if options.memory == "parse" else lambda content: read(content, ""))))
        return
    results = {
        "reading": speed(options.rounds),
        "memory of reading": apart("read"),
        "memory of ast.parse": apart("parse"),
    }
    results["50,000 lines"] = apart("long")
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, row in results.items():
        print(f"{name:<24}" + "".join(f"{key} {value:<12}" for key, value in row.items()))


def contents() -> list[bytes]:
    """The modules of the standard library that parse."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    files = (file for file in sorted(stdlib.rglob("*.py")) if "site-packages" not in file.parts)
    found = ((file.read_bytes(), file.name) for file in files)
    return [content for content, name in found if isinstance(read(content, name), Module)]


def parse(content: bytes) -> object:
    """The floor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(content)


def speed(rounds: int) -> dict[str, Any]:
    """Seconds for all modules, by ast.parse and by the reader, and the ratio: the median of the rounds."""
    modules = contents()
    pairs = []
    for _ in range(rounds):
        floor = ours = 0.0
        for content in modules:
            floor += timed(lambda: parse(content))  # noqa: B023
            ours += timed(lambda: read(content, ""))  # noqa: B023
        pairs.append((ours, floor))
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    size = sum(map(len, modules)) / 1e6
    return {
        "modules": len(modules),
        "MB": round(size, 1),
        "seconds": round(mine, 2),
        "floor": round(theirs, 2),
        "ratio": round(mine / theirs, 2),
    }


def timed(once: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    once()
    return time.perf_counter() - start


def apart(what: str) -> dict[str, Any]:
    """`memory` in a process of its own, since a peak stays."""
    command = [sys.executable, "-m", "benchmarks.reading", "--memory", what]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def memory(once: Callable[[bytes], object]) -> dict[str, Any]:
    """The peak of the resident memory after 10,000 modules, one after the other; the library's are taken
    again where there are fewer.
    """
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    files = [
        file
        for file in sorted(stdlib.rglob("*.py"))
        if "site-packages" not in file.parts and "lib2to3" not in file.parts
    ]
    for file in itertools.islice(itertools.cycle(files), MODULES):
        try:
            once(file.read_bytes())
        except (SyntaxError, ValueError):
            continue
    return {"modules": MODULES, "peak MB": peak()}


def long_module() -> dict[str, Any]:
    """One module of 10,000 guarded functions."""
    function = (
        "def f{}(value: int) -> int:\n    if value < 0:\n        raise ValueError('no')\n    return value *"
        " 2\n\n"
    )
    content = "".join(function.format(number) for number in range(10_000)).encode()
    theirs = statistics.median(timed(lambda: parse(content)) for _ in range(3))
    mine = statistics.median(timed(lambda: read(content, "")) for _ in range(3))
    return {
        "seconds": round(mine, 2),
        "floor": round(theirs, 2),
        "ratio": round(mine / theirs, 2),
        "peak MB": peak(),
    }


def peak() -> int:
    """The highest resident memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


if __name__ == "__main__":
    main()
