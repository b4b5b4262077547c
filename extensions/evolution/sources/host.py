"""What the host of an environment knows: asked through the project's own ci/deploy, which has the settings
and the way there by ssh, so that there is one place that reads them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from ...project.git_and_files import shown
from . import web

SCRIPT = "ci/deploy/__main__.py"


def is_asked(project: Path) -> bool:
    """Whether the project has deploys that leave a record on their host."""
    return (project / SCRIPT).is_file()


def record(project: Path, environment: str) -> str:
    """The record that deploys leave on the host of an environment, a line of JSON each; empty where there was
    none.

    Raises NotMeasured where it can't be had: without settings for the environment, without a way there, or
    in time.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "deploy", "history", environment],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "ci"), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, errors = process.communicate(timeout=web.LIMIT)
    except subprocess.TimeoutExpired:
        end(process)
        raise web.NotMeasured(f"the host of {environment} didn't answer within {web.LIMIT:g} s") from None
    if process.returncode:
        raise web.NotMeasured(why(errors) or f"exit code {process.returncode} of `deploy history`")
    return said


def end(process: subprocess.Popen[str]) -> None:
    """Have a script of ci/deploy and its ssh end: first as Ctrl-C would, so that it closes its connection."""
    for one in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, one)
            process.communicate(timeout=2)
            return
        except (subprocess.TimeoutExpired, ProcessLookupError):
            continue


def why(errors: str) -> str:
    """What the end of a script's errors says, in one line: ssh's own words stand before those of the
    script.
    """
    lines = [line for line in errors.splitlines() if line.strip()]
    return shown("; ".join(lines[-2:]).replace(" (ssh says why, above)", ""))[:300]
