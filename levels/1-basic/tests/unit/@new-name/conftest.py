"""The tests in this folder import the service's modules by their plain names."""

import json
import sys
from pathlib import Path

import pytest

NAME = Path(__file__).parent.name
ROOT = Path(__file__).resolve().parents[3]
PROJECT = json.loads((ROOT / "config" / "levels.json").read_text(encoding="utf-8"))
PATHS = {service["name"]: ROOT / service["path"] for service in PROJECT["services"]}
FOLDER = PATHS[NAME]


@pytest.fixture(autouse=True)
def modules_of_the_service(monkeypatch):
    """Put the service's folder first, and forget its modules afterwards.

    Other services have modules of the same name.
    """
    names = {path.stem for path in FOLDER.iterdir()}
    others = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in names & sys.modules.keys():
        del sys.modules[name]
    sys.modules.update(others)
