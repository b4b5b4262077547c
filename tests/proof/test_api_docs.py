"""`make api-docs` as a person runs it: in a new project and in an adopted one, with the checks that follow."""

from __future__ import annotations

import json
from pathlib import Path

import copier
import pytest

from tests.proof.test_foreign import FOREIGN, unpacked
from tests.support.projects import TWO_SERVICES, Project
from tests.support.proofs import Machine, fresh_machine

pytestmark = pytest.mark.proof

ORDER = '''    @app.post("/orders")
    def order() -> ResponseReturnValue:
        """Take an order."""
        return {}, 201

'''


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


def test_the_docs_of_a_new_project_are_compared_with_its_app(machine: Machine, template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    project = Project(folder, template).copy(level=1, services=[dict(one) for one in TWO_SERVICES])
    said = machine.run("make install api-docs", folder)
    assert "market-data: 3 routes, 0 not resolved: docs/openapi.json" in said
    assert "compared with the app by tests/unit/market-data/test_market_data_api_docs.py" in said
    machine.commit(folder)
    machine.run("make check", folder)
    machine.run("make api-docs CHECK=1", folder)
    # A route that the documents lack is told by the tests, and by the check.
    app = "services/market-data/app.py"
    project.replace(app, "    return app\n", f"{ORDER}    return app\n")
    said = machine.run("make test", folder, code=2)
    assert "test_every_route_is_documented" in said and "run `make api-docs`" in said
    assert "docs/openapi.json: out of date" in machine.run("make api-docs CHECK=1", folder, code=2)
    machine.run("make api-docs check", folder)
    assert "Take an order." in project.read("docs/api.md")


def test_the_docs_of_an_adopted_project_are_compared_with_its_app(machine: Machine, template: Path, tmp_path: Path) -> None:
    folder = unpacked(FOREIGN["tutorial"], machine, tmp_path, "tutorial")
    copier.run_copy(str(template), folder, data={"level": 1}, defaults=True, unsafe=True, quiet=True)
    project = Project(folder, template).commit("level 1")
    said = machine.run("make -f levels.mk install api-docs", folder)
    assert "compared with the app by tests/unit/flaskr/test_flaskr_api_docs.py" in said
    document = json.loads(project.read("docs/openapi.json"))
    assert document["paths"]["/create"]["post"]["x-auth"] == ["login_required"]
    assert document["paths"]["/{id}/update"]["get"]["summary"] == "Update a post if the current user is the author."
    machine.run(".venv/bin/python -m pytest -q", folder)
    # What the reader can't see is not passed over: the run names it, and leaves no test that would be red.
    hidden = '    vars(app)["url_map"]._rules_by_endpoint.clear()\n'
    project.replace("flaskr/__init__.py", "    return app\n", f"{hidden}    return app\n")
    said = machine.run("make -f levels.mk api-docs", folder, code=2)
    assert "no test: the document and the app differ" in said
    assert not (folder / "tests/unit/flaskr/test_flaskr_api_docs.py").exists()
    # An app that can't be made without its servers has documents and no test.
    project.replace("flaskr/__init__.py", hidden, '    raise ConnectionError("no database")\n')
    said = machine.run("make -f levels.mk api-docs", folder)
    assert "no test: the app can't be made here: ConnectionError: no database" in said
