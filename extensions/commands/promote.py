"""`levels promote`: a pull request that has one environment run what another one runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import project_answers

HELP = "open a pull request that has an environment run what the one before it runs"


def add_options(parser: argparse.ArgumentParser) -> None:
    # The metavars are the words of `make promote`: see cli.
    parser.add_argument(
        "--from", dest="origin", default="", metavar="FROM", help="the one before, if not given"
    )
    parser.add_argument("--to", default="", metavar="TO", help="such as production")
    parser.add_argument(
        "--reason", default="", metavar="REASON", help="why to go past what holds a deploy up"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show it")


def run(options: argparse.Namespace) -> int:
    from ..environments import promote

    project = Path.cwd()
    recorded = project_answers(project)
    asked = (options.origin, options.to, options.reason, options.dry_run)
    return promote.promote(project, recorded, *asked)
