"""Level 4: what Python cached beside the capabilities goes with them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path


def leave(project: Path) -> Iterator[str]:
    """Remove each folder `capabilities` that holds nothing but Python's cache. Yields a line for each."""
    services = json.loads((project / "config" / "levels.json").read_text(encoding="utf-8"))["services"]
    for service in services:
        folder = project / service["path"] / "capabilities"
        if folder.is_dir() and [entry.name for entry in folder.iterdir()] == ["__pycache__"]:
            shutil.rmtree(folder)
            yield f"{folder.relative_to(project).as_posix()}: removed, it held only Python's cache"
