"""What a pull request must pass: lint, format, types, tests, and every ci/checks/*.py. Green here is green there.

    python3 ci/check.py [lint] [format] [types] [test]   all of it, or some
    python3 ci/check.py fix                              have ruff fix and format the code

Exit codes: 0 passed, 1 not passed, 2 can't tell.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial

import uv

RUFF = "0.17.6"
MYPY = "2.4.1"
SHARED = [path for path in ["services/serving.py"] if (uv.ROOT / path).is_file()]  # what new services share


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
        code = steps[name]()
        print(f"{name:8}{said(code)}", flush=True)
        codes.add(code)
    return 1 if 1 in codes else 2 if any(codes) else 0


def said(code: int) -> str:
    """Return what an exit code of a step comes to, in words."""
    return "ok" if code == 0 else "to fix" if code == 1 else "could not run (see above)"


def more() -> dict[str, Callable[[], int]]:
    """Return the checks of ci/checks/ by name: scripts with exit codes like this one's, which may import from ci/."""
    env = {**os.environ, "PYTHONPATH": str(uv.ROOT / "ci")}
    commands = {path.stem: [sys.executable, path] for path in sorted((uv.ROOT / "ci" / "checks").glob("*.py"))}
    start = partial(subprocess.call, cwd=uv.ROOT, env=env)
    return {name: partial(start, command) for name, command in commands.items()}


def test() -> int:
    """Run the tests, and measure what of the services they cover."""
    code = pytest(f"--cov={service['path']}" for service in uv.SERVICES)
    summarize()
    return 0 if code == 5 else min(code, 1)  # 5: there is none


def fix(paths: list[str]) -> int:
    """Let ruff fix and format what is in `paths`; return the exit code."""
    return int(any(uv.call([*ruff(*command), *paths]).returncode for command in (["check", "--fix-only"], ["format"])))


def ruff(*command: str) -> list[str]:
    """Return a ruff command. What is the template's (`ours`) is checked there, by its rules."""
    ours = f"extend-exclude={json.dumps(uv.PROJECT['ours'])}"
    return [*uv.tool("ruff", RUFF), *command, "--force-exclude", "--config", ours]


def mypy() -> list[str]:
    """Return the mypy command: the project's own, if it installs one, knows the plugins that its settings ask for."""
    own = uv.VENV / "bin" / "mypy"
    command = [str(own)] if own.exists() else uv.tool("mypy", MYPY)
    return [*command, "--python-executable", str(uv.VENV_PYTHON), "--no-error-summary"]


def pytest(options: Iterable[str]) -> int:
    """Run pytest in .venv; return its exit code."""
    os.environ.setdefault("COVERAGE_FILE", str(uv.cache() / "coverage"))
    return subprocess.run([str(uv.VENV_PYTHON), "-m", "pytest", *options], cwd=uv.ROOT, check=False).returncode


def summarize() -> None:
    """Say how much of each service is covered, without what is the template's; on the page of the workflow's run too."""
    total = [str(uv.VENV_PYTHON), "-m", "coverage", "report", "--format=total", f"--omit={','.join(uv.PROJECT['ours'])}"]
    for service in uv.SERVICES:
        inside = [] if service["path"] == "." else [f"--include={service['path']}/*"]
        share = uv.call([*total, *inside], capture_output=True).stdout.strip()
        if share.isdecimal():
            print(covered := f"{service['name']}: {share}% of the lines are covered", flush=True)
            with open(os.environ.get("GITHUB_STEP_SUMMARY") or os.devnull, "a", encoding="utf-8") as page:
                page.write(f"- {covered}\n")


STEPS: dict[str, Callable[[], int]] = {
    "lint": lambda: uv.call([*ruff("check"), "."]).returncode,
    "format": lambda: uv.call([*ruff("format", "--check"), "."]).returncode,
    "types": lambda: uv.call([*mypy(), *(service["path"] for service in uv.SERVICES), *SHARED]).returncode,
    "test": test,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
