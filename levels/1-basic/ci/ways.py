"""Install what the project depends on, each part of it in its own way: code was here before, and so was its way.

uv and Pipenv projects are installed by their own tool. All the rest (requirements files, setup.py, Poetry, a plain
pyproject.toml) is resolved together, and so is the test runner, in ranges so wide that the project's own versions win.
In a container: what running needs, and gunicorn, but nothing for tests.
"""

import re
from pathlib import Path

import poetry
import uv

PIPENV = "2026.10.3"
# What extras, groups and requirements files are called that tests need, or that running needs.
FOR_TESTS = set() if uv.IN_IMAGE else {"ci", "dev", "develop", "development", "local", "test", "tests", "testing"}
FOR_RUNNING = {"", "app", "base", "common", "core", "main"} | ({"prod", "production"} if uv.IN_IMAGE else set())


def install_all() -> int:
    """Install everything into .venv, which is there; return the exit code of what failed, or 0."""
    together: list[list[str]] = []
    for folder in folders():
        code, more = install(folder)
        if code:
            return code
        together += more
    return install_together([*together, added()])


def added() -> list[str]:
    """Return what is installed beside the project's own dependencies, in ranges that leave the choice to them."""
    web = [service for service in uv.SERVICES if service["kind"] == "web"]
    new = ["flask>=2.2", "gunicorn>=20"] if any(service["code"] == "ours" for service in uv.SERVICES) else []
    for_image = ["gunicorn>=20"] if web else []
    return [*new, *uv.PROJECT["dependencies"], *(for_image if uv.IN_IMAGE else ["hypothesis>=6", "pytest>=7", "pytest-cov>=4"])]


def folders() -> list[Path]:
    """Return the folders that may name dependencies: the project's root, and each service's."""
    return list(dict.fromkeys([uv.ROOT, *(uv.ROOT / service["path"] for service in uv.SERVICES)]))


def all_sources() -> list[Path]:
    """Return all files that name dependencies."""
    return [path for folder in folders() for path in sources(folder)]


def sources(folder: Path) -> list[Path]:
    """Return the files in `folder` that name dependencies."""
    names = ["pyproject.toml", "uv.lock", "poetry.lock", "Pipfile", "Pipfile.lock", "setup.py", "setup.cfg"]
    return [folder / name for name in names if (folder / name).is_file()] + requirements(folder)


def requirements(folder: Path) -> list[Path]:
    """Return the requirements files of `folder` that running and testing need; not those of docs or releases."""
    found = [*folder.glob("*requirements*.txt"), *folder.glob("requirements/*.txt")]
    return sorted(path for path in found if re.sub(r"requirements|[-_.]", "", path.stem) in FOR_TESTS | FOR_RUNNING)


def install(folder: Path) -> tuple[int, list[list[str]]]:
    """Install what has a tool of its own; return the exit code, and for the rest the arguments of `uv pip install`."""
    pyproject = poetry.toml(folder / "pyproject.toml")
    tools, project = pyproject.get("tool", {}), pyproject.get("project", {})
    groups = sorted(FOR_TESTS & {*pyproject.get("dependency-groups", {})})
    extras = sorted(FOR_TESTS & {*project.get("optional-dependencies", {}), *tools.get("poetry", {}).get("extras", {})})
    if (folder / "uv.lock").is_file() or ("uv" in tools and project):
        scope = ["--no-dev", "--inexact"] if uv.IN_IMAGE else ["--inexact", *each("--group", groups), *each("--extra", extras)]
        return uv.call([uv.find(), "sync", *uv.locked(folder), *scope], cwd=folder).returncode, []
    if (folder / "Pipfile").is_file():
        how = ["sync"] if (folder / "Pipfile.lock").is_file() else ["install", "--skip-lock"]
        how += [] if uv.IN_IMAGE else ["--dev"]
        env = {**uv.environment(), "VIRTUAL_ENV": str(uv.VENV), "PIPENV_VERBOSITY": "-1"}
        return uv.call([*uv.tool("pipenv", PIPENV), *how], cwd=folder, env=env).returncode, []

    arguments = []
    setup = [path for path in sources(folder) if path.stem == "setup"]
    legacy = "".join(path.read_text(encoding="utf-8", errors="replace") for path in setup)
    if "poetry" in tools:
        arguments.append(poetry.arguments(folder, pyproject, FOR_TESTS, extras))
    elif (folder / "setup.py").is_file() or ("build-system" in pyproject and (project or legacy)):
        declared = {extra for extra in FOR_TESTS if re.search(rf"(^|['\"]){extra}['\"]?\s*[:=]", legacy, re.MULTILINE)}
        wanted = ",".join(sorted({*extras, *declared}))
        arguments.append(["--editable", f"{folder}[{wanted}]" if wanted else str(folder)])
    elif project:
        arguments.append(["--requirements", str(folder / "pyproject.toml"), *each("--extra", extras)])
    arguments += [["--group", f"{folder / 'pyproject.toml'}:{group}"] for group in groups]
    # Beside Poetry, a requirements file is what was exported from its lock.
    more = [] if "poetry" in tools else requirements(folder)
    return 0, arguments + [["--requirements", str(path)] for path in more]


def install_together(parts: list[list[str]]) -> int:
    """Resolve all `parts` as one; where they contradict each other, one after the other. Return the exit code."""
    if not any(parts):
        return 0
    command = [uv.find(), "pip", "install", "--quiet", "--python", str(uv.VENV_PYTHON)]
    code = uv.call([*command, *(argument for part in parts for argument in part)]).returncode
    if code and len(parts) > 2:
        print("install: these don't fit together (see above); installing one after the other, so the last one wins")
        code = next(filter(None, (uv.call([*command, *part]).returncode for part in parts)), 0)
    return code


def each(option: str, values: list[str]) -> list[str]:
    """Return the option once for each of the values."""
    return [argument for value in values for argument in (option, value)]
