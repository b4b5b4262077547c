"""`levels propose`: keep one issue and one pull request about the next level."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from .arguments import project_answers

HELP = "keep one issue and one pull request about the next level"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="show what it would do; GitHub is asked nothing"
    )


def run(options: argparse.Namespace) -> int:
    from ..evolution import proposal

    project = Path.cwd()
    recorded = project_answers(project)
    for line in proposal.propose(project, recorded, now=datetime.now(UTC), dry_run=options.dry_run):
        print(line)
    return 0
