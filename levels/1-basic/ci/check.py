"""What a pull request must pass: lint, format, types, tests, every ci/checks/*.py. Green here is green there.

    python3 ci/check.py [lint] [format] [types] [test]   all of it, or some
    python3 ci/check.py fix                              have ruff fix and format the code

Exit codes: 0 passed, 1 not passed, 2 can't tell.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import uv

RUFF = "0.17.6"
MYPY = "2.4.1"


def main(arguments: list[str]) -> int:
    """Run the steps that `arguments` name, all of them without; return the exit code."""
    steps = {**STEPS, **more()}
    if unknown := [name for name in arguments if name not in {*steps, "fix"}]:
        uv.fail(f"{unknown[0]}: expected {', '.join(steps)} or fix")
    uv.ensure()
    if "fix" in arguments:
        return fix(["."])
    codes = set()
    for name in arguments or steps:
        codes.add(code := steps[name]())
        print(f"{name:7} {said(code)}", flush=True)
    return 1 if 1 in codes else 2 if any(codes) else 0


def said(code: int) -> str:
    """Return what an exit code of a step comes to, in words."""
    return {0: "ok", 1: "to fix"}.get(code, "could not run (see above)")


def more() -> dict[str, Callable[[], int]]:
    """Return the checks of ci/checks/ by name: scripts with these exit codes, which may import from ci/."""
    start = partial(subprocess.call, cwd=uv.ROOT, env={**os.environ, "PYTHONPATH": str(uv.ROOT / "ci")})
    scripts = sorted((uv.ROOT / "ci" / "checks").glob("*.py"))
    return {path.stem: partial(start, [sys.executable, path]) for path in scripts}


def test() -> int:
    """Run the tests, and say how much of each service they cover."""
    command = [str(uv.VENV_PYTHON), "-m", "pytest", *(f"--cov={service['path']}" for service in uv.SERVICES)]
    code = subprocess.call(command, cwd=uv.ROOT)
    summarize()
    return 0 if code == 5 else min(code, 1)  # 5: there is none


def fix(paths: list[str]) -> int:
    """Let ruff fix and format what is in `paths`; return the exit code."""
    commands = (ruff("check", "--fix-only"), ruff("format"))
    return int(any(uv.call([*command, *paths]).returncode for command in commands))


def ruff(*command: str) -> list[str]:
    """Return a ruff command. What is the template's (`ours`) is checked there, by its rules."""
    ours = f"extend-exclude={json.dumps(uv.PROJECT['ours'])}"
    return [*uv.tool("ruff", RUFF), *command, "--force-exclude", "--config", ours]


def mypy() -> list[str]:
    """Return the mypy command: the project's own, if there is one, knows the plugins that its settings name."""
    own = uv.VENV / "bin" / "mypy"
    command = [str(own)] if own.exists() else uv.tool("mypy", MYPY)
    return [*command, "--python-executable", str(uv.VENV_PYTHON), "--no-error-summary"]


def summarize() -> None:
    """Say how much of each service is covered, without what is the template's."""
    report = [str(uv.VENV_PYTHON), "-m", "coverage", "report", "--format=total"]
    total = [*report, f"--omit={','.join(uv.PROJECT['ours'])}"]
    for service in uv.SERVICES:
        share = uv.call([*total, f"--include={service['path']}/*"], capture_output=True).stdout.strip()
        if share.isdecimal():
            print(f"{service['name']}: {share}% of the lines are covered", flush=True)


STEPS: dict[str, Callable[[], int]] = {
    "lint": lambda: uv.call([*ruff("check"), "."]).returncode,
    "format": lambda: uv.call([*ruff("format", "--check"), "."]).returncode,
    # With what services share: the whole of services/.
    "types": lambda: uv.call([*mypy(), *{service["path"].split("/")[0] for service in uv.SERVICES}]).returncode,
    "test": test,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
