"""What measuring costs on a large repository, as a ratio to git's own time for the same questions, in the
same run.

    python -m benchmarks.detector                      a repository of 60,000 commits, made for it
    python -m benchmarks.detector --repository PATH    a real one

The floor is the git command alone, its output thrown away: the log of the time that metrics look at, and the
tags. Both are run alternately and the medians compared; absolute times are printed for orientation only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from extensions.evolution import metrics
from extensions.evolution.sources import git_history, rates
from tests.support.projects import git
from tests.support.repositories import DAY, History

COMMITS = 60_000


def main() -> None:
    """Run it and print a line, or JSON with `--json`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repository", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="copier-levels-bench.") as folder:
        result = run(options.repository or made(Path(folder) / "made"), options.rounds)
    print(
        json.dumps(result, indent=2)
        if options.json
        else "".join(f"{name} {value}   " for name, value in result.items())
    )


def made(folder: Path) -> Path:
    """A repository of ten years with 50 people, two bots and a release each week."""
    history, now = History(folder), time.time()
    for number in range(COMMITS):
        at = now - (COMMITS - number) * 10 * 365 * DAY / COMMITS
        who = number * 7919 % 52
        history.commit(
            at,
            f"Person {who}" if who < 50 else f"machine-{who}-bot",
            f"{who}@example.com",
            f"Change {number}\n\nWhy it was made.\n",
        )
        if number % 115 == 0:
            history.tag(f"v1.{number // 115}.0", at)
    return history.make()


def run(repository: Path, rounds: int) -> dict[str, Any]:
    """Medians in seconds, and their ratio. `now` is when the repository's newest commit was made."""
    newest = int(git(repository, "log", "-1", "--format=%ct").strip())
    now = datetime.fromtimestamp(newest, UTC)
    begin = newest - (rates.HISTORY_WEEKS * 7 + git_history.TEAM_DAYS) * DAY

    def by_git() -> None:
        for command in (
            ["rev-parse", "--is-shallow-repository", "HEAD"],
            ["log", f"--since={begin}", f"--format={git_history.FORMAT}", "HEAD"],
            [
                "for-each-ref",
                "--format=%(creatordate:unix) %(objectname) %(*objectname) %(refname:strip=2)",
                "refs/tags",
            ],
        ):
            subprocess.run(["git", "-C", str(repository), *command], stdout=subprocess.DEVNULL, check=True)

    def by_us() -> None:
        metrics.measure(repository, {"services": []}, now=now, offline=True)

    taken: dict[Callable[[], None], list[float]] = {by_git: [], by_us: []}
    for _ in range(rounds + 1):
        for once, times in taken.items():
            start = time.perf_counter()
            once()
            times.append(time.perf_counter() - start)
    # The first round warms the disk's cache.
    git_seconds, seconds = (statistics.median(times[1:]) for times in taken.values())
    return {
        "commits": int(git(repository, "rev-list", "--count", "HEAD")),
        "seconds": round(seconds, 3),
        "git": round(git_seconds, 3),
        "ratio": round(seconds / git_seconds, 2),
    }


if __name__ == "__main__":
    main()
