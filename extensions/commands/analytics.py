"""`levels analytics`: what the experiments say, as text, as JSON and as a page."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..project.git_and_files import shown
from .arguments import project_answers

HELP = "what the experiments say: ship, roll back or keep running, with figures"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--events",
        type=Path,
        required=True,
        metavar="EVENTS",
        help="the folder with the events of the services",
    )
    parser.add_argument("--experiment", metavar="NAME", help="this one alone")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--html", type=Path, metavar="HTML", help="write a page, too, into this file")
    parser.add_argument(
        "--keep-days",
        type=int,
        metavar="KEEP_DAYS",
        help="first remove events that are older, from the folder too",
    )


def run(options: argparse.Namespace) -> int:
    from ..analytics import experiments, needed, report
    from .evolution import write

    project = Path.cwd()
    recorded = project_answers(project)
    plans, unplanned = experiments.read(project)
    names = [plan.name for plan in plans]
    if options.experiment is not None and options.experiment not in names:
        lacks = ", and it isn't planned yet: it lacks a goal, a minimal_effect, a start or an end"
        raise Refused(
            f"--experiment {options.experiment}: expected {' or '.join(names) or 'one that is planned'}"
            f" ({experiments.FILE}{lacks if options.experiment in unplanned else ''})"
        )
    if options.keep_days is not None and not 1 <= options.keep_days <= 36500:
        raise Refused(f"--keep-days {options.keep_days}: expected a number of days, 1 at least")
    needed()
    document = report.make(
        recorded["project_name"],
        options.events,
        plans,
        unplanned,
        now=datetime.now(UTC),
        keep=options.keep_days,
        only=options.experiment,
    )
    if options.html is not None:
        from ..analytics import page

        write(options.html, page.render(document))
    if options.json:
        print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(_text(document))
        if options.html is not None:
            print(f"\n{options.html}: open it in a browser")
    return 0


def _text(document: Mapping[str, Any]) -> str:
    from ..analytics.page import about_events, rows

    lines: list[str] = []
    for one in document["experiments"]:
        said = [*one["verdict"]["reasons"], *one["notes"]]
        for row in rows(one):
            figures = f"{row.treatment}, {row.control} with the control: {row.change} ({row.interval})"
            said.append(f"{row.variant}, {row.metric}: {figures}")
        lines += [one["name"], *_wrapped(one["verdict"]["sentence"])]
        lines += [line for text in said for line in _wrapped(text, "- ")]
        lines.append("")
    lines += [f"{name}: not planned yet, so nothing is said of it" for name in document["not_planned"]]
    lines += [] if document["experiments"] or document["not_planned"] else ["no experiment is planned"]
    return "\n".join([*lines, *about_events(document["events"])])


def _wrapped(text: str, begin: str = "  ") -> list[str]:
    return textwrap.wrap(shown(text), 100, initial_indent=f"  {begin}", subsequent_indent="    ")
