"""`levels api-docs`: write the API docs, or say whether they are out of date."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import project_answers

HELP = "write docs/api.md and OpenAPI documents from the routes in the source"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 where they are out of date"
    )
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    from ..apidocs import write

    return write.run(Path.cwd(), project_answers(Path.cwd()), options.check, options.json)
