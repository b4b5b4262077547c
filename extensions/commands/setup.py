"""`levels setup`: what an environment needs for its first deploy, and doing what a machine can."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from .arguments import project_answers

HELP = "what an environment needs for its first deploy; does what a machine can, after you have seen it"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="such as staging")
    parser.add_argument("--yes", action="store_true", help="do it without being asked")


def run(options: argparse.Namespace) -> int:
    from ..environments import setup

    project = Path.cwd()
    one = setup.Setup(project, project_answers(project), options.environment, datetime.now(UTC))
    items = one.items()
    print(setup.text(items, options.environment))
    can = [item for item in items if item.do]
    if can and not options.yes and sys.stdin.isatty():
        options.yes = input(f"Do what is marked [>] ({len(can)})? [y/N] ").strip().lower() in ("y", "yes")
    if can and options.yes:
        setup.carry_out(one, items, lambda what: print(f"... {what}", flush=True))
        items = one.items()
        print(setup.text(items, options.environment))
    left = [item for item in items if item.state in ("machine", "yours")]
    if can and not options.yes:
        print("Nothing was changed: YES=1 does what is marked [>].")
    if not left:
        print("All that can be told from here is there.")
    return 1 if left else 0
