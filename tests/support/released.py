"""The released versions, as releases.toml lists them, for the tests that start from them."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.projects import ROOT

NONE_YET = "releases.toml lists no release yet"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("releases", ROOT / ".ci" / "releases.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


module = _load()
Release = module.Release


def to_start_from() -> list[Any]:
    """The first release and the last two, as parameters of a test; a skipped one while there is none."""
    listed = module.releases()
    chosen = [*listed[:1], *listed[1:][-2:]]
    return [pytest.param(release, id=release.tag) for release in chosen] or [
        pytest.param(None, marks=pytest.mark.skip(reason=NONE_YET))
    ]


def missing(commit: str, repository: Path = ROOT) -> str:
    """Why a commit is not to be had in the repository; empty where it is."""

    def says(*command: str) -> tuple[int, str]:
        done = subprocess.run(["git", *command], cwd=repository, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip()

    if says("cat-file", "-e", f"{commit}^{{commit}}")[0] == 0:
        return ""
    if says("rev-parse", "--is-shallow-repository")[1] == "true":
        return f"this clone is shallow and has no commit {commit[:12]}: `git fetch --unshallow` brings it"
    return f"there is no commit {commit[:12]} here: it was never pushed, or this is no clone"
