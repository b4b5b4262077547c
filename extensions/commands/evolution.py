"""`levels evolution`: the detector's report as a table, as JSON and as a page."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
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
    parser.add_argument(
        "--offline", action="store_true", help="ask neither GitHub, nor Prometheus, nor the host"
    )


def run(options: argparse.Namespace) -> int:
    from ..evolution import detector

    project, html = Path.cwd(), options.html
    recorded = project_answers(project)
    document = detector.detect(project, recorded, now=datetime.now(UTC), offline=options.offline).as_json()
    if html is not None:
        from ..evolution import page

        write(html, page.render(document))
    if options.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print(document)
        if html is not None:
            print(f"\n{html}: open it in a browser")
    return 0


def write(path: Path, text: str) -> None:
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

    def table(columns: Sequence[str], rows: Iterable[Sequence[str]], bold: Sequence[bool] = ()) -> None:
        cells = [[shown(cell) for cell in row] for row in rows]
        columned = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
        for column, width in zip(columns, _widths([columns, *cells], console.width), strict=True):
            columned.add_column(column, overflow="fold", width=width)
        for number, row in enumerate(cells):
            columned.add_row(*map(Text, row), style="bold" if number < len(bold) and bold[number] else "")
        say()
        console.print(columned)

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
        parts = [(stage, number, part) for stage in ahead for number, part in enumerate(stage["parts"])]
        table(
            ("level", "is due when", "now", "threshold", "trigger"),
            [
                (
                    "" if number else str(stage["level"]),
                    part["name"],
                    part["shown"],
                    part["against"],
                    HOLDS[part["outcome"]],
                )
                for stage, number, part in parts
            ],
            bold=[bool(part["outcome"]) for _, _, part in parts],
        )
    table(
        ("measured", "value", "source", "window", "confidence"),
        [
            (one["name"], one["shown"], one["source"], one["window"] or "now", one["confidence"])
            for one in document["metrics"].values()
            if one["value"] is not None
        ],
    )
    if document["unknown"]:
        table(
            ("unknown", "why", "to know it"),
            [
                (document["metrics"][one["metric"]]["name"], one["reason"], one["do"])
                for one in document["unknown"]
            ],
        )


def _widths(rows: Sequence[Sequence[str]], most: int) -> list[int]:
    """How wide each column is for a table that is `most` wide: as its cells are, or else the widest columns
    are narrowed, as far as no word (a file's name, a setting) is broken.
    """
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    least = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    while sum(widths) + 3 * (len(widths) - 1) > most:  # three spaces between two columns
        wide = [number for number, width in enumerate(widths) if width > least[number]]
        if not wide:
            break
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths
