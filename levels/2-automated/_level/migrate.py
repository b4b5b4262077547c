"""Level 2: the settings of each environment, which hold secrets and so are never rendered; and the workflow
of pushes.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

BEFORE = ("staging", "production")  # what there was before the answer `environments`


def environments(project: Path, told: str) -> list[str]:
    """The names of a project's environments, from the text of its config/levels.json."""
    try:
        return list(json.loads(told)["environments"])
    except (ValueError, LookupError):
        return list(BEFORE)


def now(project: Path) -> list[str]:
    """The names of the environments that the project has now."""
    file = project / "config" / "levels.json"
    return environments(project, file.read_text(encoding="utf-8") if file.is_file() else "")


def enter(project: Path) -> Iterator[str]:
    """Begin config/<environment>.env from its template, where git ignores it. Yields a line for each."""
    yield from begin(project, now(project))
    quality = project / ".github" / "workflows" / "quality.yml"
    text = quality.read_text(encoding="utf-8", errors="replace") if quality.is_file() else ""
    head, _, jobs = text.partition("\njobs:\n")
    own = [name for name in re.findall(r"(?m)^  ([\w-]+):", jobs) if name != "check"]
    if own and "\n  push:" not in head:
        yield (
            f"quality.yml is for pull requests from here on, and a push runs staging-deploy.yml: a job of yours for a push"
            f" goes there ({', '.join(own)})"
        )


def stay(project: Path) -> Iterator[str]:
    """Begin the settings of environments that came, and name those that went. Yields a line for each."""
    shown = ["git", "show", "HEAD:./config/levels.json"]
    told = subprocess.run(shown, cwd=project, capture_output=True, text=True, check=False).stdout
    before, after = environments(project, told), now(project)
    yield from begin(project, [name for name in after if name not in before])
    for name in before:
        if name not in after:
            yield f"{name} is no environment any more: what was deployed there runs on until you stop it"
    yield from stays(project, [name for name in before if name not in after])
    if before[0] != after[0]:
        yield (
            f"a merge is deployed to {after[0]} from here on: it needs secrets and variables, and staging_deployment on in"
            " config/feature-flags.yml (docs/staging.md)"
        )


def begin(project: Path, names: Iterable[str]) -> Iterator[str]:
    """Begin the settings of these environments. Yields a line for each."""
    for environment in names:
        settings = project / "config" / f"{environment}.env"
        template = project / "config" / f"{environment}.env.template"
        if settings.exists() or not template.is_file():
            continue
        if subprocess.run(["git", "check-ignore", "--quiet", str(settings)], cwd=project, check=False).returncode:
            why = "is not ignored by git, so it was not made: add *.env to .gitignore before you put secrets there"
            yield f"config/{environment}.env {why}"
            continue
        shutil.copyfile(template, settings)
        yield f"config/{environment}.env is there to be filled in; git ignores it"


def leave(project: Path) -> Iterator[str]:
    """Leave what holds secrets where it is, and no folder with Python's cache alone. Yields a line for each."""
    folder = project / "runtime"
    if folder.is_dir() and [entry.name for entry in folder.iterdir()] == ["__pycache__"]:
        shutil.rmtree(folder)
        yield "runtime/: removed, it held only Python's cache"
    shown = ["git", "show", "HEAD:./config/levels.json"]
    told = subprocess.run(shown, cwd=project, capture_output=True, text=True, check=False).stdout
    yield from stays(project, environments(project, told))


def stays(project: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield a line for each of these environments whose settings are on this machine."""
    for environment in names:
        if (project / "config" / f"{environment}.env").exists():
            told = "stays on this machine: delete it when nothing needs it, and stop what was deployed"
            yield f"config/{environment}.env {told}"
