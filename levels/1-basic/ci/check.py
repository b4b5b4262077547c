"""What a pull request must pass: lint, format, types and tests. Green here is green there.

    python3 ci/check.py              all of it
    python3 ci/check.py lint test    some of it
    python3 ci/check.py fix          have ruff mend and format the code

Exit codes: 0 passed, 1 not passed, 2 can't tell.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import install
import uv

RUFF = "0.17.6"
MYPY = "2.4.1"


def main(arguments: list[str]) -> int:
    """Run the steps that `arguments` name; return the exit code."""
    if uv.PROJECT["theirs"]:
        import baseline  # beside this file where code was here before: there, only what is new may fail

        return baseline.main(arguments)
    unknown = [name for name in arguments if name not in {*STEPS, "fix"}]
    if unknown:
        uv.fail(f"{unknown[0]}: expected {', '.join(STEPS)} or fix")
    install.ensure()
    if "fix" in arguments:
        return fix(["."])
    codes = set()
    for name, step in STEPS.items():
        if not arguments or name in arguments:
            code = step()
            said = "ok" if code == 0 else "to mend" if code == 1 else "could not run (see above)"
            print(f"{name:8}{said}", flush=True)
            codes.add(code)
    return 1 if 1 in codes else 2 if any(codes) else 0


def lint() -> int:
    """Have ruff look for mistakes."""
    return uv.call([*ruff("check"), "."]).returncode


def form() -> int:
    """Have ruff look at the format."""
    return uv.call([*ruff("format", "--check"), "."]).returncode


def types() -> int:
    """Have mypy check one service at a time, because two may have modules of the same name."""
    return max(uv.call([*mypy(), service["path"]]).returncode for service in uv.SERVICES)


def test() -> int:
    """Run the tests, and measure what of the services they cover."""
    code = pytest(f"--cov={service['path']}" for service in uv.SERVICES)
    summarize()
    return 0 if code == 5 else min(code, 1)  # 5: there is none


def fix(paths: list[str]) -> int:
    """Let ruff mend and format what is in `paths`; return the exit code."""
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
    """Show the coverage on the page of the workflow's run."""
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if page and Path(os.environ["COVERAGE_FILE"]).exists():
        report = [str(uv.VENV_PYTHON), "-m", "coverage", "report", "--format=markdown", "--fail-under=0"]
        table = uv.call(report, capture_output=True).stdout
        with open(page, "a", encoding="utf-8") as file:
            file.write(f"### Coverage\n\n{table}\n")


STEPS: dict[str, Callable[[], int]] = {"lint": lint, "format": form, "types": types, "test": test}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
