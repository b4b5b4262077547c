"""Level 3: exceptions from an earlier time at this level have an end, which is told when it has passed."""

import datetime
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

EXCEPTION = re.compile(r"(\S+) (\d{4}-\d{2}-\d{2})\b")


SCANNING = ".github/workflows/code-scanning.yml"


def stay(project: Path) -> Iterator[str]:
    """Tell what takes the place of CodeQL's workflow, which version 0.1.0 had. Yields that line once."""
    had = subprocess.run(["git", "cat-file", "-e", f"HEAD:./{SCANNING}"], cwd=project, capture_output=True, check=False)
    if not had.returncode and not (project / SCANNING).exists():
        yield f"{SCANNING} is gone: if CODE_SCANNING was true, switch CodeQL's default setup on (GitHub: Settings, Advanced Security)"


def enter(project: Path) -> Iterator[str]:
    """Look through exceptions that were kept from before. Yields a line for each that holds no more."""
    exceptions = project / "config" / "security-exceptions.txt"
    if not exceptions.is_file():
        return
    today = datetime.date.today().isoformat()
    for line in exceptions.read_text(encoding="utf-8", errors="replace").splitlines():
        found = EXCEPTION.match(line)
        if found and found[2] < today:
            yield f"config/security-exceptions.txt: the exception for {found[1]} ended on {found[2]}, so the make target `security` will fail on it"
