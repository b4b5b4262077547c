"""`levels api-docs`: what it writes from a project's routes, and what it leaves alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from extensions import cli
from extensions.apidocs import openapi, page, responses, write
from extensions.errors import Refused
from extensions.source import routes
from tests.support.flask_sources import SOURCES, Source
from tests.support.projects import Project

HOSTILE = """
    # A heading | <script>alert(1)</script> `code` [link](javascript:x) **bold**

    ```
    </details> <!-- -->
    ~~~
    \\x1b[31m red
"""


def service(name: str = "api", kind: str = "web", app: str = "app:app", path: str = "") -> dict[str, str]:
    return {"name": name, "path": path or f"services/{name}", "kind": kind, "code": "theirs", "app": app}


def recorded(*services: dict[str, str]) -> dict[str, Any]:
    return {"project_name": "shop", "level": 1, "keep": [], "services": list(services)}


def small(folder: Path, name: str = "api", text: str = "") -> None:
    more = "\n@app.get('/items/<int(min=1):number>')\ndef item(number):\n    '''Show an item.'''\n"
    source = "from flask import Flask\napp = Flask(__name__)\n" + (text or more)
    Source({f"services/{name}/app.py": source}, []).write(folder)


def documents(folder: Path, *services: dict[str, str]) -> dict[str, Any]:
    assert write.run(folder, recorded(*services), check=False, as_json=False) == 0
    return {path.name: json.loads(path.read_text()) for path in sorted((folder / "docs").glob("*.json"))}


LITERAL: list[tuple[str, dict[str, Any]]] = [
    # What a view's body says, and the statuses that are documented: each with its JSON's properties, or None
    # where that is left open.
    ("return {'ok': True, 'id': 3}", {"200": {"ok": {"type": "boolean"}, "id": {"type": "integer"}}}),
    ("return {'id': number}, 201", {"201": {"id": {}}}),
    (
        "return jsonify(name='x', price=price()), HTTPStatus.CREATED",
        {"201": {"name": {"type": "string"}, "price": {}}},
    ),
    ("return jsonify({'at': f'{number}'})", {"200": {"at": {"type": "string"}}}),
    ("return {'count': len(found), **more}, 202", {"202": {"count": {}}}),
    ("return '', 204", {"204": None}),
    ("return 'text'", {"200": None}),
    ("return {'a': 1}, 200, {'X-Total': '3'}", {"200": {"a": {"type": "integer"}}}),
    ("return {'a': 1}, 200, {'Content-Type': 'text/csv'}", {"200": None}),
    ("return {'a': 1}, {'X-Total': '3'}", {"200": {"a": {"type": "integer"}}}),
    ("return redirect('/')", {"302": None}),
    ("return redirect('/', code=303)", {"303": None}),
    (
        "if not found:\n        abort(404)\n    return {'a': 1}",
        {"200": {"a": {"type": "integer"}}, "404": None},
    ),
    (
        "if not found:\n        return {'error': 'x'}, 404\n    return render_template('x.html')",
        {"200": None, "404": {"error": {"type": "string"}}},
    ),
    (
        "return {'a': 1} if number else ({'b': 1}, 201)",
        {"200": {"a": {"type": "integer"}}, "201": {"b": {"type": "integer"}}},
    ),
    # What isn't sure.
    ("return found", {}),
    ("if found:\n        return found\n    return {'a': 1}", {"200": None}),
    ("return {'a': 1}, status()", {}),
    ("return found, {'a': 1}", {}),
    ("jsonify = odd\n    return jsonify(a=1)", {}),
    ("len = odd\n    return {'n': len(found)}", {"200": {"n": {}}}),
    ("def inner():\n        return {'a': 1}, 418\n    return inner()", {}),
    ("yield 'x'", {}),
    ("return make_response({'a': 1}, 201)", {}),
]
HEADING = (
    "from http import HTTPStatus\nfrom flask import Flask, abort, jsonify, make_response, redirect,"
    " render_template\n"
)


def literal(folder: Path, code: str) -> dict[str, Any]:
    """The statuses of the one route in `code`, each with the properties of its JSON."""
    Source({"services/api/app.py": HEADING + "app = Flask(__name__)\n" + code}, []).write(folder)
    document = documents(folder, service())["openapi.json"]
    validate(document)
    (operation,) = (one for path in document["paths"].values() for one in path.values())
    assert "default" in operation["responses"], "there may always be another answer"
    found = {}
    for status, said in operation["responses"].items():
        schema = said.get("content", {}).get("application/json", {}).get("schema")
        found[status] = None if schema is None else schema.get("properties")
    del found["default"]
    return found


@pytest.mark.parametrize(("body", "answers"), LITERAL, ids=[body.replace("\n", " ") for body, _ in LITERAL])
def test_answers_that_stand_in_the_source_are_documented_and_no_others(
    tmp_path: Path, body: str, answers: dict[str, Any]
) -> None:
    assert literal(tmp_path, f"@app.get('/<int:number>')\ndef view(number):\n    {body}\n") == answers
    if answers:
        page = (tmp_path / "docs/api.md").read_text()
        assert f"| `/<int:number>` | GET |  | {', '.join(answers)} |" in page


@pytest.mark.parametrize(
    "code",
    [
        "from odd import templated\n@app.get('/')\n@templated('x.html')\ndef view():\n    return {'a': 1}\n",
        (
            "class Base:\n    pass\nfrom flask.views import MethodView\nclass V(Base, MethodView):\n    def"
            " get(self):\n        return {'a': 1}\napp.add_url_rule('/', view_func=V.as_view('v'))\n"
        ),
        (
            "from flask.views import MethodView\nclass V(MethodView):\n    decorators = [wrapped]\n    def"
            " get(self):\n        return {'a': 1}\napp.add_url_rule('/', view_func=V.as_view('v'))\n"
        ),
        (
            "@app.errorhandler(404)\ndef handled(error):\n    return 'x'\n@app.get('/')\ndef view():\n   "
            " abort(404)\n"
        ),
    ],
    ids=["decorated", "a base of its own", "decorators of the class", "an error handler"],
)
def test_an_answer_that_something_may_change_is_left_open(tmp_path: Path, code: str) -> None:
    assert literal(tmp_path, code) == {}


def test_a_comment_makes_no_document_out_of_date(tmp_path: Path) -> None:
    code = "@app.get('/items')\ndef item():\n    'Show an item.'\n@app.get('/<path:x>')\ndef a(x): ...\n"
    code += "import odd\nodd.init(app)\n"
    small(tmp_path, text=code)
    documents(tmp_path, service())
    assert "Not resolved in api" in (tmp_path / "docs/api.md").read_text()
    small(tmp_path, text="# One comment,\n# and another.\n" + code)
    assert write.run(tmp_path, recorded(service()), check=True, as_json=False) == 0


WIRED = "from health import init_service\napp = init_service(app, 'api')\n"


@pytest.mark.parametrize(
    "own", ["", "@app.get('/health')\ndef health(): ...\n", "@app.get('/<path:x>')\ndef health(x): ...\n"]
)
def test_the_endpoints_of_health_are_documented_with_their_answers(tmp_path: Path, own: str) -> None:
    small(tmp_path, text=own + WIRED)
    (tmp_path / "services/api/health.py").write_text("def init_service(app, name):\n    return app\n")
    document = documents(tmp_path, service())["openapi.json"]
    validate(document)
    ours = {
        path
        for path, item in document["paths"].items()
        if item["get"].get("x-answered-by") == "services/api/health.py"
    }
    assert ours == {"/-/health", "/-/readiness", "/readiness"} | (
        set() if "'/health'" in own else {"/health"}
    )
    (said,) = document["paths"]["/-/health"]["get"]["responses"].values()
    properties = said["content"]["application/json"]["schema"]["properties"]
    assert set(properties) == {"service", "status", "timestamp", "version", "environment"}
    readiness = document["paths"]["/-/readiness"]["get"]["responses"]
    assert set(readiness) == {"200", "503"}
    properties = readiness["503"]["content"]["application/json"]["schema"]["properties"]
    assert set(properties) == {"ready", "status", "checks"}
    page = (tmp_path / "docs/api.md").read_text()
    assert "| `/-/readiness` | GET |  | 200, 503 | Readiness probe |" in page


def test_without_a_call_of_it_health_py_answers_nothing(tmp_path: Path) -> None:
    small(tmp_path, text="@app.get('/')\ndef view(): ...\n")
    (tmp_path / "services/api/health.py").write_text("def init_service(app, name):\n    return app\n")
    assert list(documents(tmp_path, service())["openapi.json"]["paths"]) == ["/"]


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({}, "unversioned"),
        ({"pyproject.toml": "[project]\nname = 'x'\nversion = '1.2.3'\n"}, "1.2.3"),
        (
            {
                "pyproject.toml": "[project]\nversion = '1.2.3'\n",
                "services/api/pyproject.toml": "[project]\nversion = '2.0'\n",
            },
            "2.0",
        ),
        ({"pyproject.toml": "[tool.poetry]\nversion = '0.9'\n"}, "0.9"),
        ({"pyproject.toml": "[project]\ndynamic = ['version']\n"}, "unversioned"),
        ({"pyproject.toml": "[project\n"}, "unversioned"),
        ({"pyproject.toml": "project = 3\ntool = 4\n"}, "unversioned"),
    ],
)
def test_the_version_is_that_of_pyproject_toml(tmp_path: Path, files: dict[str, str], version: str) -> None:
    small(tmp_path)
    for path, text in files.items():
        (tmp_path / path).write_text(text)
    document = documents(tmp_path, service())["openapi.json"]
    validate(document)
    assert document["info"]["version"] == version


@pytest.mark.parametrize("name", SOURCES)
def test_each_document_is_valid_openapi(tmp_path: Path, name: str) -> None:
    SOURCES[name].write(tmp_path)
    found = routes.find(tmp_path, service(path=".", app=SOURCES[name].app))
    reader = responses.Reader(tmp_path, ".")
    document = openapi.document("shop", "api", found, answers=reader.of)
    validate(document)
    shown = {
        (it["x-rule"], method.upper()) for path in document["paths"].values() for method, it in path.items()
    }
    assert shown <= {(one.rule, method) for one in found.routes for method in one.methods}
    assert len(shown) + len(document.get("x-rules-without-place", [])) >= len(
        {one.rule for one in found.routes if not one.static}
    )


def test_a_service_has_its_page_and_its_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small(tmp_path)
    document = documents(tmp_path, service())["openapi.json"]
    operation = document["paths"]["/items/{number}"]["get"]
    assert operation["summary"] == "Show an item."
    assert operation["parameters"] == [
        {"name": "number", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}},
    ]
    assert operation["x-source"] == "services/api/app.py: item"
    assert (
        "| `/items/<int(min=1):number>` | GET |  |  | Show an item. |"
        in (tmp_path / "docs/api.md").read_text()
    )
    said = capsys.readouterr().out
    assert "api: 1 route, 0 not resolved: docs/openapi.json" in said
    assert "no test: there is no .venv" in said  # and so none was written
    assert not (tmp_path / "tests/unit/api/test_api_api_docs.py").exists()


def test_writing_twice_changes_no_byte_and_leaves_nothing_else(tmp_path: Path) -> None:
    small(tmp_path)
    documents(tmp_path, service())
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(tmp_path.rglob("*"))
        if path.is_file()
    }
    documents(tmp_path, service())
    assert {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(tmp_path.rglob("*"))
        if path.is_file()
    } == before
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {"api.md", "openapi.json"}


def test_two_services_with_one_path_have_a_document_each_and_both_are_on_the_page(tmp_path: Path) -> None:
    for name in ("market-data", "order-book"):
        small(tmp_path, name, f"@app.get('/same')\ndef same():\n    '''Of {name}.'''\n")
    found = documents(
        tmp_path,
        service("market-data"),
        service("order-book"),
        service("telegram-bot", "worker", "worker.py"),
    )
    assert list(found) == ["openapi-market-data.json", "openapi-order-book.json"]
    assert found["openapi-order-book.json"]["paths"]["/same"]["get"]["summary"] == "Of order-book."
    text = (tmp_path / "docs/api.md").read_text()
    assert "Of market-data." in text and "Of order-book." in text and "A worker" in text


def test_the_document_of_one_service_goes_when_there_are_two(tmp_path: Path) -> None:
    small(tmp_path, "one")
    small(tmp_path, "two")
    assert list(documents(tmp_path, service("one"))) == ["openapi.json"]
    assert list(documents(tmp_path, service("one"), service("two"))) == [
        "openapi-one.json",
        "openapi-two.json",
    ]


def test_check_says_whether_the_files_are_up_to_date_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small(tmp_path)
    assert write.run(tmp_path, recorded(service()), check=True, as_json=False) == 1
    assert not (tmp_path / "docs").exists()
    documents(tmp_path, service())
    assert write.run(tmp_path, recorded(service()), check=True, as_json=False) == 0
    small(tmp_path, text="@app.post('/new')\ndef new(): ...\n")
    capsys.readouterr()
    assert write.run(tmp_path, recorded(service()), check=True, as_json=False) == 1
    assert capsys.readouterr().out.splitlines() == [
        "docs/api.md: out of date",
        "docs/openapi.json: out of date",
        "run `make api-docs` and commit what it writes",
    ]


@pytest.mark.parametrize("path", ["docs/api.md", "docs/openapi.json", "tests/unit/api/test_api_api_docs.py"])
@pytest.mark.parametrize("text", ["mine\n", "{}", "[", "\udcff"])
def test_a_file_of_the_person_is_never_overwritten(tmp_path: Path, path: str, text: str) -> None:
    small(tmp_path)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(Refused, match=re.escape(path)):
        write.run(tmp_path, recorded(service()), check=False, as_json=False)
    assert (tmp_path / path).read_bytes() == text.encode("utf-8", "surrogateescape")
    assert not (tmp_path / "docs/api.md").exists() or path == "docs/api.md"


def test_nothing_is_written_through_a_link_that_leaves_the_project(tmp_path: Path) -> None:
    small(tmp_path / "project")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "project/docs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="docs to be a folder of the project"):
        write.run(tmp_path / "project", recorded(service()), check=False, as_json=False)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_no_docstring_breaks_out_of_the_page(tmp_path: Path) -> None:
    small(tmp_path, text=f"@app.get('/a`b|c')\ndef view():\n    '''{HOSTILE}'''\n")
    documents(tmp_path, service())
    text = (tmp_path / "docs/api.md").read_text()
    assert "<script>" not in text and "\x1b" not in text
    assert (
        "\\# A heading \\| &lt;script&gt;alert(1)&lt;/script&gt; \\`code\\` \\[link\\](javascript:x)"
        " \\*\\*bold\\*\\*" in text
    )
    assert "| `` /a`b\\|c `` | GET |" in text
    assert "\n````text\n" in text and text.rstrip().endswith("````")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


@pytest.mark.parametrize(
    "value",
    [
        "1. one",
        "12) x",
        "- a",
        "+ a",
        "# a",
        "> a",
        "===",
        "a\n# b",
        "http://x",
        "www.x",
        "\\",
        "&lt;",
        "~~x~~",
    ],
)
def test_text_in_a_line_is_shown_as_it_is(value: str) -> None:
    shown = page.text(value)
    assert "\n" not in shown
    assert not re.match(r"\d+[.)]|[-+#>=]", shown)
    assert re.sub(r"\\(.)", r"\1", shown).replace("&lt;", "<").replace("&gt;", ">").replace(
        "&amp;", "&"
    ) == value.replace("\n", " ")


def test_what_openapi_has_no_place_for_is_kept_beside_it(tmp_path: Path) -> None:
    source = """
        from flask import Flask
        app = Flask(__name__)

        @app.get("/x/<int:a>")
        def number(a): ...

        @app.get("/x/<name>")
        def named(name): ...

        @app.route("/y", methods=["PROPFIND"])
        def dav(): ...
    """
    Source({"app.py": source}, []).write(tmp_path)
    document = openapi.document("shop", "api", routes.find(tmp_path, service(path=".")))
    validate(document)
    assert [(one["x-rule"], one["method"]) for one in document["x-rules-without-place"]] == [
        ("/x/<name>", "GET"),
        ("/y", "PROPFIND"),
    ]


def test_guards_are_shown_and_those_of_a_known_kind_are_security(tmp_path: Path) -> None:
    source = """
        from flask import Flask
        from flask_jwt_extended import jwt_required
        from checks import admin_required
        app = Flask(__name__)

        @app.get("/a")
        @jwt_required()
        @admin_required
        def a(): ...
    """
    Source({"app.py": source}, []).write(tmp_path)
    document = openapi.document("shop", "api", routes.find(tmp_path, service(path=".")))
    validate(document)
    operation = document["paths"]["/a"]["get"]
    assert operation["security"] == [{"bearer": []}] and operation["x-auth"] == [
        "jwt_required",
        "admin_required",
    ]
    assert document["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}


@pytest.mark.parametrize(
    ("rule", "schema"),
    [
        ("<a>", {"type": "string", "minLength": 1}),
        ("<string(length=2):a>", {"type": "string", "minLength": 2, "maxLength": 2}),
        ("<string(minlength=3, maxlength=9):a>", {"type": "string", "minLength": 3, "maxLength": 9}),
        ("<int:a>", {"type": "integer", "minimum": 0}),
        ("<int(signed=True):a>", {"type": "integer"}),
        ("<int(min=2, max=5):a>", {"type": "integer", "minimum": 2, "maximum": 5}),
        ("<float:a>", {"type": "number", "minimum": 0}),
        ("<path:a>", {"type": "string"}),
        ("<uuid:a>", {"type": "string", "format": "uuid"}),
        ("<any(x, 'y z', \"w\"):a>", {"type": "string", "enum": ["x", "y z", "w"]}),
        ("<own:a>", {"type": "string"}),
    ],
)
def test_a_converter_becomes_a_schema(rule: str, schema: dict[str, Any]) -> None:
    assert openapi.schema(routes.variables(rule)[0]) == schema


def test_the_command_in_a_project_and_who_owns_its_files(
    at_level: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project: Project = at_level(1, two=True)
    monkeypatch.chdir(project.folder)
    assert cli.main(["api-docs", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["written"] == ["docs/api.md", "docs/openapi.json"]
    assert [(one["name"], one["routes"], one["unresolved"]) for one in report["services"]] == [
        ("market-data", 1, []),
        ("telegram-bot", 0, []),
    ]
    assert cli.main(["api-docs", "--check"]) == 0
    capsys.readouterr()
    assert cli.main(["owner", "docs/api.md"]) == 0
    assert capsys.readouterr().out.startswith("docs/api.md: ours: written by `levels api-docs`")
    project.write("docs/api.md", "mine\n")
    assert cli.main(["owner", "docs/api.md"]) == 0
    assert "yours" in capsys.readouterr().out
    assert cli.main(["api-docs"]) == 2
    assert "docs/api.md: stands here" in capsys.readouterr().err
