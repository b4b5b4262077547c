"""Level 2: the settings of each environment, which hold secrets and so are never rendered."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

ENVIRONMENTS = ("staging", "production")


def enter(project: Path) -> Iterator[str]:
    """Begin config/<environment>.env from its template, where git ignores it. Yields a line for each."""
    for environment in ENVIRONMENTS:
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
    """Leave what holds secrets where it is. Yields a line for each file."""
    for environment in ENVIRONMENTS:
        if (project / "config" / f"{environment}.env").exists():
            yield f"config/{environment}.env stays on this machine: delete it when nothing needs it, and stop what was deployed"
