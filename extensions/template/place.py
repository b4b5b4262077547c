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
    """The template's git address, and the commit or tag there, that the package was installed from; None in a
    checkout.

    Installed from git, the package knows its commit (PEP 610). One from a package index is the release of its
    version: its address stands in its metadata, and the release workflow has made the tag.
    """
    try:
        package = metadata.distribution("copier-levels")
    except metadata.PackageNotFoundError:
        return None
    direct = json.loads(package.read_text("direct_url.json") or "{}")
    if commit := direct.get("vcs_info", {}).get("commit_id"):
        return direct["url"], commit
    urls = dict(line.split(", ", 1) for line in package.metadata.get_all("Project-URL", []))
    return f"{urls['Repository']}.git", f"v{package.version}"
