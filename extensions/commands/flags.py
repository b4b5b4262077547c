"""`levels flags`: what is on, and why."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from ..errors import Refused
from .arguments import project_answers

HELP = "what is on and why, and whether its trigger holds"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "environment", nargs="?", default="", metavar="ENV", help="such as staging (all of them)"
    )
    parser.add_argument(
        "--env-line", action="store_true", help="only FEATURE_FLAGS=…, for a service's environment"
    )
    parser.add_argument("--offline", action="store_true", help="ask neither GitHub, Prometheus nor a host")
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    from ..evolution import flags, metrics

    project = Path.cwd()
    recorded = project_answers(project)
    if options.env_line and not options.environment:
        raise Refused("ENV: expected an environment, as in `levels flags staging --env-line`")
    now = datetime.now(UTC)
    measured = (
        {} if options.env_line else metrics.measure(project, recorded, now=now, offline=options.offline)
    )
    document = flags.report(project, recorded["level"], options.environment, measured, now.date())
    if options.env_line:
        print(f"FEATURE_FLAGS={document['environments'][0]['feature_flags']}")
    else:
        print(json.dumps(document, indent=2) if options.json else flags.text(document, measured))
    return 0
