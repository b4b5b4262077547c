"""`levels stubs`: write the tests that are missing."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .arguments import project_answers

HELP = "write tests of what the source says of itself; a test file that stands is only appended to"
ALL = "a skeleton, skipped, for each function of which nothing can be asserted"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", metavar="PATH", help="modules or folders of services (all)")
    parser.add_argument("--all", action="store_true", help=ALL)
    parser.add_argument(
        "--read", action="store_true", help="don't run the code: write only what can't be red by reading"
    )
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    from ..stubs import project, report

    recorded = project_answers(Path.cwd())
    modules = project.chosen(Path.cwd(), recorded, [path for path in options.paths if path])

    def say(text: str) -> None:
        if not options.json:
            print(f"levels: {text}", file=sys.stderr, flush=True)

    read_only = options.read or recorded["seed_tests"] == "read"  # said once, it holds for every run
    result = project.stubs(Path.cwd(), modules, read_only=read_only, skeletons=options.all, say=say)
    print(json.dumps(report.as_json(result), indent=2) if options.json else report.text(result))
    return 0
