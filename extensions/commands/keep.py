"""`levels keep`: take a file over from the template, or give it back."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import Refused
from ..template import answers, layers
from ..template.place import root
from .arguments import check, project_answers

HELP = "take a file over: the template never touches it again; or give it back"
BACK = "show how it differs from the template's, and let the template merge into it again"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--back", action="store_true", help=BACK)


def run(options: argparse.Namespace) -> int:
    from ..moving import moves

    project = Path.cwd()
    recorded = project_answers(project)
    check({"keep": [options.file]})
    if options.back:
        return moves.give_back(project, recorded, options.file)
    if options.file not in layers.owners(root(), answers.recorded_services(recorded)):
        raise Refused(f"{options.file}: expected a file of the template's; the others are yours anyway")
    return moves.move(project, {"keep": sorted({*recorded["keep"], options.file})})
