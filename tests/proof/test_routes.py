"""Routes that are told from the source, beside the url_map of the app that runs: foreign applications from
PyPI, and tricky sources.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from extensions.source import routes
from tests.proof import test_dependencies
from tests.proof.test_foreign import FOREIGN, unpacked
from tests.support.flask_sources import SOURCES
from tests.support.proofs import Machine, fresh_machine
from tests.test_source_routes import pairs, service

pytestmark = pytest.mark.proof

URL_MAP = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
module, _, call = sys.argv[2].partition(":")
app = getattr(importlib.import_module(module), call.removesuffix("()"))
app = app() if call.endswith("()") else app
print(json.dumps([[rule.rule, method] for rule in app.url_map.iter_rules() for method in rule.methods]))
"""


@dataclass(frozen=True)
class Application:
    """How a foreign application is reached, its number of pairs, and those that only running it tells, with
    the line that is named.
    """

    path: str
    imported_from: str
    app: str
    pairs: int
    unresolved: tuple[tuple[str, str], ...] = ()
    named: str = ""
    settings: str = ""  # variables without which it doesn't start


APPLICATIONS = {
    "tutorial": Application("flaskr", ".", "flaskr:create_app()", 33),
    "httpbin": Application(
        "httpbin",
        ".",
        "httpbin:app",
        190,
        (("/", "GET"), ("/", "HEAD"), ("/", "OPTIONS")),
        "httpbin/core.py app.route(staticroute)",
    ),
    "bepasty": Application("src/bepasty", "src", "bepasty.wsgi:application", 88),
}

# Wheels of the table of dependencies, whose url_map nobody here had seen when their routes were first told.
WHEELS = {
    "ihatemoney": Application("ihatemoney", ".", "ihatemoney.run:create_app()", 146),
    "mwdb": Application(
        "mwdb",
        ".",
        "mwdb.app:app",
        234,
        tuple((rule, method) for rule in ("/", "/<path:path>") for method in ("GET", "HEAD", "OPTIONS")),
        "mwdb/app.py app.register_blueprint(static_blueprint)",
        "MWDB_POSTGRES_URI=postgresql://localhost/x MWDB_SECRET_KEY=x MWDB_ENABLE_SSDEEP=0",
    ),
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


@pytest.fixture(scope="module")
def flask_python(machine: Machine) -> Path:
    machine.run(
        f"uv venv --quiet {machine.home}/flask && uv pip install --quiet --python {machine.home}/flask"
        " 'flask>=3.1,<4'",
        machine.home,
    )
    return machine.home / "flask/bin/python"


def url_map(
    machine: Machine, python: Path, folder: Path, app: str, settings: str = ""
) -> list[tuple[str, str]]:
    """(rule, method) of each rule of the app that runs, sorted."""
    said = machine.run(
        f"{settings} {python} -W ignore {machine.home}/url_map.py {folder} '{app}' 2>/dev/null", folder
    )
    return sorted((rule, method) for rule, method in json.loads(said.splitlines()[-1]))


@pytest.fixture(autouse=True)
def script(machine: Machine) -> None:
    (machine.home / "url_map.py").write_text(URL_MAP, encoding="utf-8")


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_routes_of_a_foreign_application_are_those_of_its_url_map(
    machine: Machine, tmp_path: Path, name: str
) -> None:
    application = APPLICATIONS[name]
    folder = unpacked(FOREIGN[name], machine, tmp_path, name)
    python = tmp_path / "venv/bin/python"
    machine.run(f"uv venv --quiet {tmp_path}/venv && uv pip install --quiet --python {python} -e .", folder)
    compare(machine, python, folder, name, application)


@pytest.mark.parametrize("name", WHEELS)
def test_the_routes_of_an_unseen_application_are_those_of_its_url_map(
    machine: Machine, tmp_path: Path, name: str
) -> None:
    row = next(one for one in test_dependencies.BLIND if one.package == name)
    folder = test_dependencies.unpacked(row, machine, tmp_path)
    wheel = next((machine.caches / "wheels" / name).glob("*.whl"))
    python = tmp_path / "venv/bin/python"
    machine.run(
        f"uv venv --quiet {tmp_path}/venv && uv pip install --quiet --python {python} {wheel}", tmp_path
    )
    compare(machine, python, folder, name, WHEELS[name])


def compare(machine: Machine, python: Path, folder: Path, name: str, application: Application) -> None:
    """The url_map of the app that runs has what is told from its source, and besides only what is said to be
    unresolved.
    """
    real = url_map(machine, python, folder / application.imported_from, application.app, application.settings)
    assert len(real) == application.pairs
    found = routes.find(folder, {**service(application.app, application.path), "name": name})
    told = sorted((one.rule, method) for one in found.routes for method in one.methods)
    assert sorted(told + list(application.unresolved)) == real
    if application.named:
        assert application.named in [f"{one.file} {one.what}" for one in found.unresolved]


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_expected_of_a_tricky_source_is_what_flask_makes_of_it(
    machine: Machine, flask_python: Path, tmp_path: Path, name: str
) -> None:
    source = SOURCES[name]
    source.write(tmp_path)
    assert url_map(machine, flask_python, tmp_path, source.app) == pairs([*source.routes, *source.wanting])
