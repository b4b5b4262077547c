"""Level 2: the settings of each environment, which hold secrets and so are never rendered; and the workflow
of pushes.
"""

import re
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
    quality = project / ".github" / "workflows" / "quality.yml"
    text = quality.read_text(encoding="utf-8", errors="replace") if quality.is_file() else ""
    head, _, jobs = text.partition("\njobs:\n")
    own = [name for name in re.findall(r"(?m)^  ([\w-]+):", jobs) if name != "check"]
    if own and "\n  push:" not in head:
        yield (
            f"quality.yml is for pull requests from here on, and a push runs staging-deploy.yml: a job of yours for a push"
            f" goes there ({', '.join(own)})"
        )


def leave(project: Path) -> Iterator[str]:
    """Leave what holds secrets where it is, and no folder with Python's cache alone. Yields a line for each."""
    folder = project / "runtime"
    if folder.is_dir() and [entry.name for entry in folder.iterdir()] == ["__pycache__"]:
        shutil.rmtree(folder)
        yield "runtime/: removed, it held only Python's cache"
    for environment in ENVIRONMENTS:
        if (project / "config" / f"{environment}.env").exists():
            told = "stays on this machine: delete it when nothing needs it, and stop what was deployed"
            yield f"config/{environment}.env {told}"
