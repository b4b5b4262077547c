"""`levels road`: what `make status` has seen of every environment, as a page."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..errors import Refused
from .arguments import project_answers

HELP = "write what `make status` saw, given as JSON, as a page: each commit's road through the environments"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="HTML", help="the page to write")


def run(options: argparse.Namespace) -> int:
    from ..evolution import road

    project = Path.cwd()
    project_answers(project)
    try:
        document = json.load(sys.stdin)
    except ValueError:
        document = None
    page = road.render(document, project)
    try:
        Path(options.file).write_text(page, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{options.file}: expected a file that can be written ({error.strerror})") from None
    print(f"written to {options.file}")
    return 0
