"""`levels service`: add a service."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..errors import Refused
from .arguments import check, project_answers

HELP = "add a service"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--worker", action="store_true", help="one without HTTP, as a bot")


def run(options: argparse.Namespace) -> int:
    from ..moving import moves

    project = Path.cwd()
    recorded = project_answers(project)
    if not options.name:
        raise Refused("NAME: expected a name for the service, as in NAME=shop")
    entry = {"name": options.name, "kind": "worker" if options.worker else "web"}
    services = [*recorded["services"], entry]
    try:
        check({"services": services})
    except Refused as refused:
        # The person typed a name, and not the list that it is put into.
        raise Refused(re.sub(rf"^services\[{len(services) - 1}\](\.\w+)?", "NAME", str(refused))) from None
    return moves.move(project, {"services": services})
