"""Find uv, or get it, and make .venv: the target `install`; with --image nothing for tests. All import this."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

if sys.version_info < (3, 11):
    sys.exit("ci: Python 3.11 or later is needed to run this: `make PYTHON=python3.11 …`")

PINNED = "0.13.9"
OLDEST = (0, 8)  # with an older one on PATH the pinned one is fetched
PYPI = "https://pypi.org/simple"

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".installed"
PROJECT = json.loads((ROOT / "config" / "levels.json").read_text(encoding="utf-8"))
MAKE: str = PROJECT["make"]  # how the targets are called here
SERVICES: list[dict[str, str]] = PROJECT["services"]
IN_IMAGE = "--image" in sys.argv


def fail(message: str) -> NoReturn:
    """End with one line on standard error and exit code 2."""
    print(f"{Path(sys.argv[0]).stem}: {message}", file=sys.stderr)
    sys.exit(2)


def environment() -> dict[str, str]:
    """Return the caller's environment, with the project's package index where the caller names none."""
    env = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(VENV)}
    env.pop("VIRTUAL_ENV", None)  # an activated one of another project would draw uv's attention
    chosen = (env.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"))
    index = next(filter(None, chosen), PROJECT["package_index"])
    more = {} if index.rstrip("/") == PYPI else {"UV_DEFAULT_INDEX": index, "PIP_INDEX_URL": index}
    return {**more, **env}


def cache() -> Path:
    """Return the folder for what these scripts keep between runs; git doesn't see it."""
    folder = ROOT / ".cache"
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    return folder


def find() -> str:
    """Return a uv that is new enough: the one on PATH, else the pinned one, installed when first needed."""
    if found := shutil.which("uv"):
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        if (version := re.search(r"(\d+)\.(\d+)", said)) and tuple(map(int, version.groups())) >= OLDEST:
            return found
    bin = cache() / f"uv-{PINNED}" / "bin"
    if not (bin / "uv").exists():
        print(f"installing uv {PINNED} into .cache", flush=True)
        pip = [str(bin / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", "--clear", str(bin.parent)], [*pip, f"uv=={PINNED}"]):
            if subprocess.run(command, env=environment(), check=False).returncode:
                fail("uv can't be installed (see above): Debian needs python3-venv, or install uv yourself")
    return str(bin / "uv")


def call(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command, at the project's root unless `options`, those of subprocess.run, say another place."""
    settings = {"cwd": ROOT, "env": environment(), "text": True, **options}
    return subprocess.run(command, check=False, **settings)


def tool(name: str, version: str) -> list[str]:
    """Return the command line of a tool that runs in an environment of its own, on the project's Python."""
    python = VENV_PYTHON if VENV_PYTHON.exists() else sys.executable
    return [find(), "tool", "run", "--quiet", "--python", str(python), "--from", f"{name}=={version}", name]


def install() -> int:
    """Make .venv and install everything; return the exit code of what failed, or 0."""
    # Which Python: the project's, unless the caller or a file of yours says another.
    said = "UV_PYTHON" in os.environ or (ROOT / ".python-version").is_file()
    which = [] if said else ["--python", PROJECT["python"]]
    venv = [find(), "venv", "--quiet", "--clear", *which, str(VENV)]
    code = 0 if VENV_PYTHON.exists() else call(venv).returncode
    if not code and PROJECT["theirs"]:
        code = import_module("ways").install_all()
    elif not code:
        scope = ["--no-dev", "--no-install-project"] if IN_IMAGE else []
        code = call([find(), "sync", "--inexact", *locked(ROOT), *scope]).returncode
    if not code:
        STAMP.touch()
    return code


def locked(folder: Path) -> list[str]:
    """Return the options of `uv sync` that hold CI and image to the lock file; say where there is none."""
    if not IN_IMAGE and not os.environ.get("CI"):
        return []  # here the lock file may change
    if (folder / "uv.lock").is_file():
        return ["--locked"]
    github = "::warning::" if "GITHUB_ACTIONS" in os.environ else ""
    print(f"{github}uv.lock isn't committed: versions are today's", flush=True)
    return []


def ensure() -> None:
    """Install where a file that names dependencies is newer than .venv. Ends the script if that fails."""
    files = [ROOT / "pyproject.toml", ROOT / "uv.lock"]
    if PROJECT["theirs"]:
        files = import_module("ways").all_sources()
    installed = STAMP.stat().st_mtime if STAMP.exists() and VENV_PYTHON.exists() else 0
    stale = any(path.stat().st_mtime > installed for path in files if path.is_file())
    if (stale or not installed) and (code := install()):
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(install())
