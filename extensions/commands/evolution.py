"""`levels evolution`: the detector's report as a table, as JSON and as a page."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..project.git_and_files import shown
from .arguments import project_answers

HELP = "what the project measures of itself, and which level is due"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--html", type=Path, metavar="HTML", help="write a page, too, into this file")
    parser.add_argument("--offline", action="store_true", help="ask neither GitHub nor Prometheus")


def run(options: argparse.Namespace) -> int:
    from ..evolution import detector

    project, html = Path.cwd(), options.html
    recorded = project_answers(project)
    document = detector.detect(project, recorded, now=datetime.now(UTC), offline=options.offline).as_json()
    if html is not None:
        from ..evolution import page

        _write(html, page.render(document))
    if options.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print(document)
        if html is not None:
            print(f"\n{html}: open it in a browser")
    return 0


def _write(path: Path, text: str) -> None:
    """Put a file in its place whole, or not at all. Raises Refused."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise Refused(f"--html {path}: expected a file that can be written ({error.strerror})") from error


def _print(document: Mapping[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..evolution.detector import HOLDS

    console = Console(highlight=False, soft_wrap=False)

    def say(text: str = "", style: str = "") -> None:
        console.print(Text(shown(text), style=style))

    def table(*columns: str) -> Table:
        columned = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
        for column in columns:
            columned.add_column(column, overflow="fold")
        return columned

    def row(into: Table, *cells: str, style: str = "") -> None:
        into.add_row(*(Text(shown(cell)) for cell in cells), style=style)

    say(f"{document['project']} is at level {document['level']}, {document['title']}")
    say()
    say(document["verdict"]["headline"], "bold")
    say(document["verdict"]["text"])
    recommended = document["recommendation"]
    if recommended:
        for reason in recommended["reasons"]:
            say(f"  - {reason}")
        say()
        for benefit in recommended["benefits"]:
            say(f"  brings  {benefit}")
        say(f"  effort  {recommended['effort']}")
        say(f"  cost    {recommended['cost']}")
    for item in document["blocked_by"]:
        say(f"  [ ] {item['title']}: {' '.join(item['fix'].splitlines())}")
    say(f"{document['next']['why']}: {document['next']['command']}")
    for stage in document["later"]:
        say(
            f"Later: the trigger of level {stage['level']}, {stage['title']}, holds"
            f" ({'; '.join(stage['reasons'])})",
            "dim",
        )

    ahead = [stage for stage in document["roadmap"] if stage["level"] > document["level"]]
    if ahead:
        say()
        road = table("level", "is due when", "now", "threshold", "trigger")
        for stage in ahead:
            for number, part in enumerate(stage["parts"]):
                row(
                    road,
                    "" if number else str(stage["level"]),
                    part["name"],
                    part["shown"],
                    part["against"],
                    HOLDS[part["outcome"]],
                    style="bold" if part["outcome"] else "",
                )
        console.print(road)
    known = [one for one in document["metrics"].values() if one["value"] is not None]
    say()
    figures = table("measured", "value", "source", "window", "confidence")
    for one in known:
        row(figures, one["name"], one["shown"], one["source"], one["window"] or "now", one["confidence"])
    console.print(figures)
    if document["unknown"]:
        say()
        missing = table("unknown", "why", "to know it")
        for one in document["unknown"]:
            row(missing, document["metrics"][one["metric"]]["name"], one["reason"], one["do"])
        console.print(missing)
