"""`levels update`: take a new version of the template."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import project_answers

HELP = "take the newest version of the template, staying on the level"


def add_options(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(options: argparse.Namespace) -> int:
    from ..moving import moves

    project_answers(Path.cwd())
    return moves.move(Path.cwd(), {}, newest=True)
