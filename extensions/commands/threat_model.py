"""`levels threat-model`: write docs/threat-model.md, or say whether it is out of date."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from .arguments import project_answers

HELP = "write docs/threat-model.md: what is open, what is stored, which secrets, what is unknown"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where it is out of date")
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    from ..apidocs import threat_model
    from ..evolution.facts import Facts

    facts = Facts(Path.cwd(), project_answers(Path.cwd()), datetime.now(UTC), offline=True)
    return threat_model.run(facts, options.check, options.json)
