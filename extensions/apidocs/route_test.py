"""The test that holds an OpenAPI document against the app: written beside the service's other tests, in the
project.
"""

from __future__ import annotations

from collections.abc import Mapping

MARK = '"""Written by `levels api-docs`; edits are lost.'

# A new service is a package, seen from the project's root.
NEW = '''{mark} The routes in docs/{document} are those of the app."""

import json
from pathlib import Path

import pytest

from {module} import {name} as made

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = json.loads((ROOT / "docs" / "{document}").read_text(encoding="utf-8"))


@pytest.fixture
def app():
    """The service's app, made as its server makes it."""
    return {made}
'''
# Of other services the test stands alone: how they are imported is theirs to say.
THEIRS = '''{mark} The routes in docs/{document} are those of the app."""

import importlib
import json
import sys
from pathlib import Path

import pytest

NAME = Path(__file__).parent.name
ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = json.loads((ROOT / "docs" / "{document}").read_text(encoding="utf-8"))


@pytest.fixture
def app(monkeypatch):
    """The service's app, made as its server makes it."""
    services = json.loads((ROOT / "config" / "levels.json").read_text(encoding="utf-8"))["services"]
    service = next(one for one in services if one["name"].replace("-", "_") == NAME)
    module, _, call = service["app"].partition(":")
    folder, top = ROOT / service["path"], module.partition(".")[0]
    if not (folder / top).is_dir() and not (folder / f"{{top}}.py").is_file():
        folder = folder.parent
    # Another service may have a module of that name.
    others = {{}}
    for name in list(sys.modules):
        file = getattr(sys.modules[name], "__file__", None)
        if name.partition(".")[0] == top and file and not Path(file).resolve().is_relative_to(folder):
            others[name] = sys.modules.pop(name)
    monkeypatch.syspath_prepend(str(folder))
    found = getattr(importlib.import_module(module), call.removesuffix("()"))
    yield found() if call.endswith("()") else found
    if others:
        for name in [name for name in sys.modules if name.partition(".")[0] == top]:
            del sys.modules[name]
        sys.modules.update(others)
'''
TEST = '''

def served(app):
    """Each rule that a request can reach, with a method.

    What Flask adds by itself is left out: static files, HEAD and OPTIONS. A rule that was made without
    methods answers all of them: ANY.
    """
    found = set()
    for rule in app.url_map.iter_rules():
        if rule.build_only or rule.websocket or str(rule.endpoint).rpartition(".")[2] == "static":
            continue
        methods = {{"ANY"}} if rule.methods is None else set(rule.methods)
        found |= {{(rule.rule, method) for method in (methods - {{"HEAD", "OPTIONS"}} or methods)}}
    return found


def documented():
    """Each rule with a method that the document has.

    What health.py answers in front of the app is no rule of it.
    """
    operations = [pair for path in DOCUMENT["paths"].values() for pair in path.items() if "x-rule" in pair[1]]
    without = [(one["method"], one) for one in DOCUMENT.get("x-rules-without-place", [])]
    return {{(one["x-rule"], method.upper()) for method, one in operations + without}}


def told(found):
    return ", ".join(f"{{method}} {{rule}}" for rule, method in sorted(found)) + "; run `{make} api-docs`"


def test_every_documented_route_is_served(app):
    there = served(app)
    missing = {{(rule, verb) for rule, verb in documented() if not {{(rule, verb), (rule, "ANY")}} & there}}
    assert documented(), "docs/{document} has no route"
    assert not missing, f"not served by the app: {{told(missing)}}"
'''
EVERY = """

def test_every_route_is_documented(app):
    rules = {{rule for rule, _ in documented()}}
    more = served(app) - documented()
    missing = {{(rule, method) for rule, method in more if method != "ANY" or rule not in rules}}
    assert not missing, f"not in docs/{document}: {{told(missing)}}"
"""


def route_test(document: str, complete: bool, make: str, service: Mapping[str, str]) -> str:
    """The test of a service's document.

    Only where nothing was left unresolved (`complete`) must it have every route of the app.
    """
    module, _, call = service["app"].partition(":")
    more = {
        "module": module,
        "name": call.removesuffix("()"),
        "made": "made()" if call.endswith("()") else "made",
    }
    head = (NEW if service["code"] == "ours" else THEIRS).format(mark=MARK, document=document, **more)
    return (
        head
        + TEST.format(make=make, document=document)
        + (EVERY.format(document=document) if complete else "")
    )
