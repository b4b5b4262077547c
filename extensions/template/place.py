"""Where the template stands that this command belongs to."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path


def root() -> Path:
    """The folder with copier.yml: in the installed package, or the checkout that this runs from."""
    packaged = Path(__file__).parents[1] / "_template"
    return packaged if packaged.is_dir() else Path(__file__).parents[2]


def installed_from() -> tuple[str, str] | None:
    """The git address and the commit that the package was installed from (PEP 610); None in a checkout."""
    try:
        text = metadata.distribution("copier-levels").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    direct = json.loads(text) if text else {}
    commit = direct.get("vcs_info", {}).get("commit_id")
    return (direct["url"], commit) if commit else None
