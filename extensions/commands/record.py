"""`levels record`: write what was done by hand into the deployment log."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import project_answers

HELP = "write a deploy, a rollback, an incident or its end into the deployment log"
KINDS = ("deploy", "rollback", "incident", "restored")
OUTCOMES = ("success", "failure")
AT = "when it was, such as 2026-11-24T09:30; now, where it isn't given"


def add_options(parser: argparse.ArgumentParser) -> None:
    # The metavars are the words of `make record`: see cli.
    parser.add_argument("kind", choices=KINDS, metavar="WHAT", help=", ".join(KINDS))
    parser.add_argument("--environment", default="production", metavar="ENV", help="where (production)")
    parser.add_argument("--version", metavar="VERSION", help="what was deployed (the commit)")
    parser.add_argument(
        "--outcome",
        choices=OUTCOMES,
        default="",
        metavar="OUTCOME",
        help=f"{' or '.join(OUTCOMES)}, of a deploy or a rollback (success)",
    )
    parser.add_argument("--at", default="", metavar="AT", help=AT)
    parser.add_argument("--note", default="", metavar="NOTE", help="one line on what happened")


def run(options: argparse.Namespace) -> int:
    from ..evolution import deployment_log

    project = Path.cwd()
    project_answers(project)
    what = (options.kind, options.environment, options.version, options.outcome, options.note, options.at)
    print(deployment_log.record(project, *what))
    return 0
