"""Make .venv with all that the project depends on. With --image, for a container: nothing for tests."""

import os
import sys
from pathlib import Path

import uv

STAMP = uv.VENV / ".installed"


def main() -> int:
    """Install everything; return the exit code of what failed, or 0."""
    if not uv.VENV_PYTHON.exists() and (code := uv.run(["venv", "--quiet", "--clear", *chosen_python(), str(uv.VENV)])):
        return code
    if uv.PROJECT["theirs"]:
        import ways  # beside this file where code was here before: it may be installed in other ways

        code = ways.install_all()
    else:
        code = uv.run(["sync", "--inexact", *(["--no-dev"] if uv.IN_IMAGE else [])])
    if not code:
        STAMP.touch()
    return code


def ensure() -> None:
    """Install where a file that names dependencies is newer than .venv. Ends the script if that fails."""
    installed = STAMP.stat().st_mtime if STAMP.exists() and uv.VENV_PYTHON.exists() else 0
    stale = any(path.stat().st_mtime > installed for path in sources())
    if (stale or not installed) and (code := main()):
        sys.exit(code)


def sources() -> list[Path]:
    """Return the files that name dependencies."""
    if uv.PROJECT["theirs"]:
        import ways

        return [path for folder in ways.folders() for path in ways.sources(folder)]
    return [path for path in (uv.ROOT / "pyproject.toml", uv.ROOT / "uv.lock") if path.is_file()]


def chosen_python() -> list[str]:
    """Return how to tell uv which Python to take: this one, unless the project or the caller says something else."""
    lowest = tuple(map(int, uv.PROJECT["python"].split(".")))
    if "UV_PYTHON" in os.environ or (uv.ROOT / ".python-version").is_file():
        return []
    return ["--python", sys.executable if sys.version_info >= lowest else uv.PROJECT["python"]]


if __name__ == "__main__":
    sys.exit(main())
