"""`make integration` asks what docs/openapi.json says: what is planted is caught, and nothing unsafe is called unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.projects import Project
from tests.support.proofs import Machine, fresh_machine

pytestmark = pytest.mark.proof

APP = "services/api/app.py"
ROUTES = '''

@prices.get("/sizes/<int:number>")
def size(number: int) -> ResponseReturnValue:
    """Answer a size."""
    return {"size": number}


@prices.delete("/sizes/<int:number>")
def forget(number: int) -> ResponseReturnValue:
    """Forget a size."""
    with open(os.environ["DELETED"], "a") as file:
        file.write(f"{number}\\n")
    return {}, 204


def json_error('''


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


@pytest.fixture(scope="module")
def made(machine: Machine, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project at level 2 whose service has a route to delete with, installed and documented."""
    folder = tmp_path_factory.mktemp("contract") / "shop"
    project = Project(folder, template).copy(level=2, services=["api"])
    project.replace(APP, "\n\ndef json_error(", ROUTES)
    machine.run("git init --quiet --initial-branch=main", folder)
    machine.commit(folder)
    machine.run("make install api-docs", folder)
    machine.commit(folder)
    return project


@pytest.fixture
def shop(made: Project, machine: Machine) -> Project:
    machine.run("git checkout --quiet . && git clean -fdq tests", made.folder)
    return made


def integration(machine: Machine, project: Project, code: int, **settings: str) -> tuple[str, list[str]]:
    """What `make integration` prints with these settings of the service, and what was deleted meanwhile."""
    deleted = project.folder.parent / "deleted.txt"
    deleted.write_text("")
    told = {"api": {"DELETED": str(deleted), **settings}}
    project.write("tests/integration/settings.json", json.dumps(told))
    return machine.run("make integration", project.folder, code), deleted.read_text().split()


def test_a_service_that_answers_as_documented_passes_and_nothing_is_deleted(
    machine: Machine, shop: Project
) -> None:
    said, deleted = integration(machine, shop, 0)
    assert "4 passed" in said and deleted == []
    for line in (
        "GET /sizes/{number}: answered as documented (200, 404)",
        "DELETE /sizes/{number}: not asked",
    ):
        assert f"\napi: {line}\n" in said
    # Nor where the document knows nothing of it: a tester may try methods that aren't there.
    document = json.loads(shop.read("docs/openapi.json"))
    del document["paths"]["/sizes/{number}"]["delete"]
    shop.write("docs/openapi.json", json.dumps(document))
    assert integration(machine, shop, 0)[1] == []
    shop.replace("tests/integration/schemathesis.toml", "unexpected-methods = []", "enabled = true")
    assert integration(machine, shop, 0)[1] == []


def test_what_was_not_really_asked_is_told_with_the_reason(machine: Machine, shop: Project) -> None:
    old = 'return {"size": number}'
    for code, why in (("401", "it needs a login"), ("404", "it needs data that is there")):
        shop.replace(APP, old, old := f'return {{"error": "no"}}, {code}')
        machine.run("make api-docs", shop.folder)
        said, _ = integration(machine, shop, 0)
        assert f"\napi: GET /sizes/{{number}}: not really asked, because {why}: tests/integration/" in said


def test_an_unsafe_method_is_called_where_the_person_says_so(machine: Machine, shop: Project) -> None:
    said, deleted = integration(machine, shop, 0, CONTRACT_METHODS="GET DELETE")
    assert "4 passed" in said and len(deleted) > 3


def test_a_500_for_some_values_only_is_caught(machine: Machine, shop: Project) -> None:
    shop.replace(APP, 'return {"size": number}', 'return {"size": 100 // number}')
    said, _ = integration(machine, shop, 2)
    assert "GET /sizes/{number}" in said and "/sizes/0" in said and "Server error" in said


def test_an_answer_otherwise_than_documented_is_caught(machine: Machine, shop: Project) -> None:
    shop.replace(APP, 'return {"size": number}', 'return [number, "sizes"]')
    said, _ = integration(machine, shop, 2)
    assert "GET /sizes/{number}" in said and "Response violates schema" in said


def test_without_a_document_it_is_skipped_with_the_reason(machine: Machine, shop: Project) -> None:
    (shop.folder / "docs/openapi.json").unlink()
    said, _ = integration(machine, shop, 0)
    assert "3 passed, 1 skipped" in said
    assert "docs/openapi.json says nothing of api: the target `api-docs` writes it" in said
