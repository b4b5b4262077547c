"""What the host of an environment knows, and the way to its Prometheus: asked through the project's own
ci/, which has the settings and ssh, so that there is one place that reads them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ...project.git_and_files import shown
from . import web

DEPLOY, PROMETHEUS = "ci/deploy/__main__.py", "ci/prometheus.py"


def has_record(project: Path) -> bool:
    """Whether the project has deploys that leave a record on their host."""
    return (project / DEPLOY).is_file()


def has_prometheus(project: Path) -> bool:
    """Whether the project has a way to a Prometheus that watches its services."""
    return (project / PROMETHEUS).is_file()


def record(project: Path, environment: str) -> str:
    """The record that deploys leave on the host of an environment, a line of JSON each; empty where there was
    none.

    Raises NotMeasured where it can't be had: without settings for the environment, without a way there, or
    in time.
    """
    process = _started(project, "deploy", "history", environment)
    try:
        said, errors = process.communicate(timeout=web.LIMIT)
    except subprocess.TimeoutExpired:
        _end(process)
        raise web.NotMeasured(_late(environment)) from None
    if process.returncode:
        raise web.NotMeasured(_why(errors, process.returncode))
    return said


@contextlib.contextmanager
def way_to_prometheus(project: Path, named: str, environment: str) -> Iterator[tuple[str, str]]:
    """The address at which the Prometheus of an environment answers meanwhile, and what that is for people:
    the one that is `named`, or the one that the project's ci/prometheus.py leads to.

    Raises NotMeasured where there is no way to it; what it answers is still to be seen.
    """
    if named:
        yield named, shown(named)
        return
    if not has_prometheus(project):
        raise web.NotMeasured("no Prometheus is named: `sources: prometheus:` in config/evolution.yml")
    process = _started(project, "prometheus", environment)
    assert process.stdin and process.stdout
    try:
        try:
            line = web.within(web.LIMIT, "", lambda by: process.stdout.readline() if process.stdout else "")
        except web.NotMeasured:
            raise web.NotMeasured(_late(environment)) from None
        address, _, what = line.strip().partition(" ")
        if not address:
            _, errors = process.communicate(timeout=2)
            raise web.NotMeasured(_why(errors, process.returncode))
        yield address, shown(what)
    finally:
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            process.stdin.close()  # at its end the script closes the way
            process.wait(timeout=2)
        _end(process)


def _started(project: Path, *command: str) -> subprocess.Popen[str]:
    """A script of the project's ci/, as make would run it."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", *command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "ci"), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def _end(process: subprocess.Popen[str]) -> None:
    """Have a script and its ssh end where they run: first as Ctrl-C would, which closes the connection."""
    for one in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, one)
                process.wait(timeout=2)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()


def _late(environment: str) -> str:
    return f"the host of {environment} didn't answer within {web.LIMIT:g} s"


def _why(errors: str, code: int) -> str:
    """What the end of a script's errors says, in one line: ssh's own words stand before those of the
    script.
    """
    lines = [line for line in errors.splitlines() if line.strip()]
    said = shown("; ".join(lines[-2:]).replace(" (ssh says why, above)", ""))[:300]
    return said or f"exit code {code}"
