"""`levels preview`: look ahead at a level."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .arguments import level_of, project_answers

HELP = "what moving to a level would bring; changes nothing"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("level", metavar="LEVEL")
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    from ..moving import preview

    recorded = project_answers(Path.cwd())
    seen = preview.preview(recorded, level_of(options.level))
    print(json.dumps(seen, indent=2) if options.json else preview.text(seen))
    return 0
