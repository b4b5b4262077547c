"""`levels env`: which settings an environment lacks, by what the code reads."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from .arguments import project_answers

HELP = "which settings an environment lacks, and which nobody reads; adds them to its template"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="such as staging")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    from ..environments import settings
    from ..evolution.facts import Facts

    project = Path.cwd()
    facts = Facts(project, project_answers(project), datetime.now(UTC), offline=True)
    seen = settings.report(facts, options.environment)
    if not options.check:
        settings.write(facts, seen)
    print(json.dumps(settings.as_json(seen), indent=2) if options.json else settings.text(seen))
    return 0 if seen.passed else 1
