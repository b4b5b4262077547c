"""`levels todo`: the checklist of the level."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .arguments import level_of, project_answers

HELP = "what this level still needs, and how to do it; exit code 1 where something is to do"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--level", metavar="LEVEL", help="hold the project to this level instead of its own")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--offline", action="store_true", help="don't ask GitHub")


def run(options: argparse.Namespace) -> int:
    from ..evolution import checklist

    project = Path.cwd()
    recorded = project_answers(project)
    level = level_of(options.level) if options.level is not None else None
    seen = checklist.report(project, recorded, level, offline=options.offline)
    print(
        json.dumps(seen.as_json(), indent=2, ensure_ascii=False)
        if options.json
        else checklist.text(seen, recorded)
    )
    return 0 if seen.passed else 1
