"""`levels preview`: look ahead at a level."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

from ..project.git_and_files import git_says
from .arguments import check, level_of, project_answers

HELP = "what moving to a level would bring; changes nothing"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("level", metavar="LEVEL")
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    from ..moving import preview

    recorded = project_answers(Path.cwd())
    committed = yaml.safe_load(git_says(Path.cwd(), "show", "HEAD:./.copier-answers.yml") or "{}")
    check({key: value for key, value in recorded.items() if value != committed.get(key, value)})
    seen = preview.preview({**recorded, **committed}, level_of(options.level), recorded)
    print(json.dumps(seen, indent=2) if options.json else preview.text(seen))
    return 0
