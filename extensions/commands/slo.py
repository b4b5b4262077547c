"""`levels slo`: what is left of each error budget, and how fast it burns."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Refused
from ..template import answers
from .arguments import project_answers

if TYPE_CHECKING:
    from ..evolution.slo import Budget

HELP = "what is left of each error budget; exit code 1 where one is exhausted, 3 where one isn't known"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "environment", nargs="?", default="", metavar="ENV", help="such as staging (all of them)"
    )
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    from ..evolution import slo

    recorded = project_answers(Path.cwd())
    known = answers.environment_names(recorded)
    if options.environment and options.environment not in known:
        raise Refused(f"ENV is {options.environment!r}, expected {' or '.join(known)}")
    now = datetime.now(UTC)
    wanted = [options.environment] if options.environment else known
    found = list(slo.budgets(Path.cwd(), recorded, wanted, now))
    if options.json:
        document = {
            "project": recorded["project_name"],
            "at": now.isoformat(timespec="seconds"),
            "days": slo.DAYS,
            "budgets": [one.as_json() for one in found],
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print(_text(found))
    return slo.code(found)


def _text(found: Sequence[Budget]) -> str:
    rows = [
        ("environment", "service", "objective", "budget left", "burn now", "data since"),
        *map(_row, found),
    ]
    widths = [max(len(row[column]) for row in rows if column < len(row) - 1) for column in range(5)]
    lines = ["  ".join([*map(str.ljust, row[:-1], widths), row[-1]]) for row in rows]
    if not found:
        lines.append("no web service, so no budget")
    return "\n".join(lines)


def _row(one: Budget) -> tuple[str, ...]:
    share = "" if one.objective is None else f" {one.objective * 100:.10g}%"
    begin = (one.environment, one.service, one.slo + share)
    if one.left is None or one.since is None:
        return (*begin, f"unknown: {one.reason}")
    burn = "unknown" if one.burn is None else f"{one.burn:.3g}"
    exhausted = ", exhausted" if one.state == "exhausted" else ""
    return (*begin, f"{one.left:.1%}{exhausted}", burn, f"{one.since:%Y-%m-%d}")
