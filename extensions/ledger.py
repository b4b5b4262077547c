"""The ledger of deploys and incidents: one JSON object a line, in the project's repository."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

from .answers import Refused
from .disk import git_says

LEDGER = "config/deploys.jsonl"


def record(project: Path, kind: str, environment: str, version: str | None, outcome: str, note: str) -> str:
    """Append an entry to the ledger at `project`; returns a line that says what was written.

    `kind` is deploy or incident; `version` is the commit where none is given. Raises Refused for an environment or a note that can't be
    taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", environment):
        raise Refused(f"--environment {environment!r}: expected a name such as production")
    if not note.isprintable() or len(note) > 500:
        raise Refused("--note: expected one line, 500 characters at most")
    version = version or git_says(project, "rev-parse", "--short", "HEAD").strip() or "unknown"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", version):
        raise Refused(f"--version {version!r}: expected a commit or a version number")
    entry = {
        "kind": kind,
        "environment": environment,
        "version": version,
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": git_says(project, "config", "user.name").strip() or "unknown",
        **({"outcome": outcome} if kind == "deploy" else {}),
        **({"note": note} if note else {}),
    }
    path = project / LEDGER
    path.parent.mkdir(exist_ok=True)
    # One write in append mode: two people's lines, or a stop in between, leave whole lines.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, (json.dumps(entry, ensure_ascii=False) + "\n").encode())
    finally:
        os.close(handle)
    return f"{LEDGER}: {kind} of {version} to {environment} recorded; commit it"
