"""What a pull request must pass: lint, format, types, tests, and every ci/checks/*.py. Green here is green there.

    python3 ci/check.py              all of it
    python3 ci/check.py lint test    some of it
    python3 ci/check.py fix          have ruff fix and format the code

Exit codes: 0 passed, 1 not passed, 2 can't tell.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import uv

RUFF = "0.17.6"
MYPY = "2.4.1"
SHARED = uv.ROOT / "services" / "serving.py"  # what new services have in common


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
        said = "ok" if code == 0 else "to fix" if code == 1 else "could not run (see above)"
        print(f"{name:8} {said}", flush=True)
        codes.add(code)
    return 1 if 1 in codes else 2 if any(codes) else 0


def more() -> dict[str, Callable[[], int]]:
    """Return the checks that stand in ci/checks/, by their names: scripts with exit codes like this one's."""
    env = {**uv.environment(), "PYTHONPATH": str(uv.ROOT / "ci")}

    def run(path: Path) -> int:
        return min(subprocess.run([sys.executable, str(path)], cwd=uv.ROOT, env=env, check=False).returncode % 256, 2)

    return {path.stem: partial(run, path) for path in sorted((uv.ROOT / "ci" / "checks").glob("*.py"))}


def lint() -> int:
    """Have ruff look for mistakes."""
    return uv.call([*ruff("check"), "."]).returncode


def form() -> int:
    """Have ruff look at the format."""
    return uv.call([*ruff("format", "--check"), "."]).returncode


def types() -> int:
    """Have mypy check all services in one go."""
    paths = [service["path"] for service in uv.SERVICES] + [str(SHARED)] * SHARED.is_file()
    return uv.call([*mypy(), *paths]).returncode


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
    if not Path(os.environ["COVERAGE_FILE"]).exists():
        return
    report = [str(uv.VENV_PYTHON), "-m", "coverage", "json", "-q", "--fail-under=0", "-o", "-"]
    done = uv.call(report, stdout=subprocess.PIPE)
    measured = json.loads(done.stdout)["files"] if done.returncode == 0 else {}
    lines = []
    for service in uv.SERVICES:
        inside = "" if service["path"] == "." else f"{service['path']}/"
        own = [measured[path]["summary"] for path in measured if path.startswith(inside) and path not in uv.PROJECT["ours"]]
        if statements := sum(one["num_statements"] for one in own):
            share = sum(one["covered_lines"] for one in own) / statements
            lines.append(f"{service['name']}: {share:.0%} of {statements} lines are covered")
    print("\n".join(lines), flush=True)
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(page, "a", encoding="utf-8") as file:
            file.write("### Coverage\n\n" + "".join(f"- {line}\n" for line in lines))


STEPS: dict[str, Callable[[], int]] = {"lint": lint, "format": form, "types": types, "test": test}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
