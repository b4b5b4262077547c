"""`levels upgrade`: move to another level."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import level_of, project_answers

HELP = "move to a level, up or down, staying on the version"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("level", metavar="LEVEL")


def run(options: argparse.Namespace) -> int:
    from ..moving import moves

    project_answers(Path.cwd())
    return moves.move(Path.cwd(), {"level": level_of(options.level)})
