"""Find uv, or get it; and what else the scripts in this folder share. Python's standard library only."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

if sys.version_info < (3, 11):
    print("ci: Python 3.11 or later is needed to run this; name one by `make PYTHON=python3.11 …`", file=sys.stderr)
    sys.exit(2)

import tomllib  # which older ones lack

PINNED = "0.13.9"
OLDEST = (0, 8)  # with an older one on PATH the pinned one is fetched

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
CACHE = ROOT / ".cache"
PROJECT = json.loads((ROOT / "config" / "levels.json").read_text(encoding="utf-8"))
MAKE: str = PROJECT["make"]  # how the targets are called here
SERVICES: list[dict[str, str]] = PROJECT["services"]
IN_IMAGE = "--image" in sys.argv
PYPI = "https://pypi.org/simple"


def fail(message: str) -> NoReturn:
    """End with one line on standard error and exit code 2."""
    print(f"{Path(sys.argv[0]).stem}: {message}", file=sys.stderr)
    sys.exit(2)


def toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says; nothing where there is none. Ends the script where it isn't TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        fail(f"{path}: {error}")


def environment() -> dict[str, str]:
    """Return the caller's environment, with the project's package index where the caller names none."""
    # An activated venv of another project would draw uv's attention: ours is always .venv.
    env = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    chosen = (env.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"))
    index = next(filter(None, chosen), PROJECT["package_index"])
    if index.rstrip("/") != PYPI:
        env.setdefault("UV_DEFAULT_INDEX", index)
        env.setdefault("PIP_INDEX_URL", index)
    return {**env, "UV_PROJECT_ENVIRONMENT": str(VENV)}


def cache() -> Path:
    """Return the folder for what these scripts keep between runs; git doesn't see it."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n", encoding="utf-8")
    return CACHE


def find() -> str:
    """Return a uv that is new enough: the one on PATH, else the pinned one, which is installed when first needed.

    Ends the script where it can't be installed.
    """
    if (found := shutil.which("uv")) and _version(found) >= OLDEST:
        return found
    folder = cache() / "uv-venv"
    own = folder / "bin" / "uv"
    if not own.exists() or _version(str(own)) != tuple(map(int, PINNED.split("."))):
        print(f"installing uv {PINNED} into .cache/uv-venv")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], [*pip, f"uv=={PINNED}"]):
            if subprocess.run(command, env=environment(), check=False).returncode:
                fail("uv can't be installed (see above): it needs python3-venv on Debian and Ubuntu, or install uv yourself")
    return str(own)


def _version(uv: str) -> tuple[int, ...]:
    done = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(map(int, found.groups())) if found else ()


def call(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command at the project's root; `options` are those of subprocess.run. Return how it ended."""
    return subprocess.run(command, cwd=ROOT, env=environment(), text=True, check=False, **options)


def run(arguments: Sequence[str], cwd: Path = ROOT, **env: str) -> int:
    """Run uv in `cwd` with `arguments`, and with `env` added to the environment; return its exit code."""
    return subprocess.run([find(), *arguments], cwd=cwd, env={**environment(), **env}, check=False).returncode


def tool(name: str, version: str) -> list[str]:
    """Return the command line of a Python tool that runs in an environment of its own."""
    return [find(), "tool", "run", "--quiet", "--python", sys.executable, "--from", f"{name}=={version}", name]
