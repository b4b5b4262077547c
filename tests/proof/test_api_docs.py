"""`make api-docs` as a person runs it: in a new project and in an adopted one, with the checks that
follow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import copier
import pytest

from extensions.apidocs import write
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


def test_the_docs_of_a_new_project_are_compared_with_its_app(
    machine: Machine, template: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    project = Project(folder, template).copy(level=1, services=[dict(one) for one in TWO_SERVICES])
    said = machine.run("make install api-docs", folder)
    assert "market-data: 1 route, 0 not resolved: docs/openapi.json" in said
    assert "compared with the app by tests/unit/market_data/test_market_data_api_docs.py" in said
    machine.commit(folder)
    machine.run("make check", folder)
    machine.run("make api-docs CHECK=1", folder)
    # A route that the documents lack is told by the tests, and by the check.
    app = "services/market_data/app.py"
    project.replace(app, "    return init_service(", f"\n{ORDER}    return init_service(")
    said = machine.run("make test", folder, code=2)
    assert "test_every_route_is_documented" in said and "run `make api-docs`" in said
    assert "docs/openapi.json: out of date" in machine.run("make api-docs CHECK=1", folder, code=2)
    machine.run("make api-docs check", folder)
    assert "Take an order." in project.read("docs/api.md")


def test_the_docs_of_an_adopted_project_are_compared_with_its_app(
    machine: Machine, template: Path, tmp_path: Path
) -> None:
    folder = unpacked(FOREIGN["tutorial"], machine, tmp_path, "tutorial")
    copier.run_copy(str(template), folder, data={"level": 1}, defaults=True, unsafe=True, quiet=True)
    project = Project(folder, template).commit("level 1")
    said = machine.run("make -f levels.mk install api-docs", folder)
    assert "compared with the app by tests/unit/flaskr/test_flaskr_api_docs.py" in said
    document = json.loads(project.read("docs/openapi.json"))
    assert document["paths"]["/create"]["post"]["x-auth"] == ["login_required"]
    assert (
        document["paths"]["/{id}/update"]["get"]["summary"]
        == "Update a post if the current user is the author."
    )
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


HEAD = """
from flask import Flask, redirect
from flask.views import MethodView, View
from werkzeug.routing import EndpointPrefix, Rule, Subdomain, Submount

app = Flask(__name__)

@app.get("/orders")
def orders():
    return []

"""
RULES = {
    "a rule without methods": 'app.url_map.add(Rule("/late", endpoint="late"))',
    "a rule with no method at all": 'app.url_map.add(Rule("/none", endpoint="none", methods=[]))',
    "a websocket": 'app.url_map.add(Rule("/ws", endpoint="ws", websocket=True))',
    "a websocket by add_url_rule": 'app.add_url_rule("/ws", "ws", orders, websocket=True)',
    "a rule for building addresses": 'app.add_url_rule("/cdn/<name>", "cdn", build_only=True)',
    "a redirect": (
        'app.add_url_rule("/old", "old", redirect_to="orders")\napp.url_map.add(Rule("/older",'
        ' redirect_to="orders"))'
    ),
    "factories of rules": (
        'app.url_map.add(Submount("/shop", [Rule("/", endpoint="shop"), EndpointPrefix("x-", [Rule("/x",'
        ' endpoint="x")])]))\napp.url_map.add(Subdomain("api", [Rule("/sub", endpoint="sub")]))'
    ),
    "an endpoint that is no text": 'app.url_map.add(Rule("/odd", endpoint=orders))',
    "a view class without methods": (
        "class Plain(View):\n    def dispatch_request(self):\n        return ''\n\nclass"
        ' Empty(MethodView):\n    pass\n\napp.add_url_rule("/plain",'
        ' view_func=Plain.as_view("plain"))\napp.add_url_rule("/empty", view_func=Empty.as_view("empty"))'
    ),
    "a view with no methods": "@app.route('/closed', methods=[])\ndef closed():\n    return ''",
    "rules by host": (
        'app.url_map.host_matching = True\napp.url_map.add(Rule("/there", endpoint="there",'
        ' host="x.example.com"))'
    ),
}


def held_project(folder: Path, source: str) -> dict[str, object]:
    """A project whose .venv is the Python that runs these tests, and its answers."""
    python = folder / ".venv/bin/python"
    for file, text in {
        folder / "services/api/app.py": source,
        folder / "config/levels.json": (
            '{"services": [{"name": "api", "path": "services/api", "app": "app:app"}]}'
        ),
        python: f'#!/bin/sh\nexec {sys.executable} "$@"\n',
    }.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    python.chmod(0o755)
    service = {"name": "api", "path": "services/api", "kind": "web", "code": "theirs", "app": "app:app"}
    return {"project_name": "shop", "level": 1, "keep": [], "services": [service]}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_every_kind_of_rule_is_held(tmp_path: Path, capsys: pytest.CaptureFixture[str], rules: str) -> None:
    code = write.run(tmp_path, held_project(tmp_path, HEAD + rules + "\n"), check=False, as_json=False)
    said = capsys.readouterr().out
    assert code == 0 and "compared with the app by tests/unit/api/test_api_api_docs.py" in said, said


def test_what_differs_is_said_and_an_exception_is_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = "vars(app)['url_map'] = type(app.url_map)()\n"
    recorded = held_project(tmp_path, HEAD + gone)
    assert write.run(tmp_path, recorded, check=False, as_json=False) == 1
    assert (
        "the document and the app differ: not served by the app: GET /orders; run `make api-docs`"
        in capsys.readouterr().out
    )
    broken = "vars(app)['url_map'] = None\n"
    assert write.run(tmp_path, held_project(tmp_path, HEAD + broken), check=False, as_json=False) == 0
    said = capsys.readouterr().out
    assert "no test: the test stops by itself: AttributeError: 'NoneType'" in said and "differ" not in said
