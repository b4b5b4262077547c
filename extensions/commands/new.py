"""`levels new`: start a project, or adopt a repository."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..errors import Refused
from .arguments import answer, level_of

HELP = "start a project, or adopt the repository that stands at DEST"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dest", type=Path, metavar="DEST")
    parser.add_argument("--level", help="the level to start at (1)")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an answer, as for copier; can be repeated",
    )
    parser.add_argument("--defaults", action="store_true", help="ask nothing")


def run(options: argparse.Namespace) -> int:
    from ..moving import moves

    data: dict[str, Any] = {}
    for pair in options.data:
        key, separator, value = pair.partition("=")
        if not separator:
            raise Refused(f"--data {pair}: expected KEY=VALUE")
        answer(f"--data {key}", key, ("confirm_services",))
        data[key] = value
    if options.level is not None:
        data["level"] = level_of(options.level)
    return moves.new(options.dest, data, defaults=options.defaults or not sys.stdin.isatty())
