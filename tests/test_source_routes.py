"""The reader of routes: what a service's source says of its url_map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from extensions.source import routes
from tests.support.flask_sources import SOURCES, Source
from tests.support.projects import ROOT


def service(app: str = "app:app", path: str = ".", kind: str = "web") -> dict[str, str]:
    return {"name": "shop", "path": path, "kind": kind, "code": "theirs", "app": app}


def pairs(expected: Sequence[str]) -> list[tuple[str, str]]:
    """(rule, method), sorted, with HEAD and OPTIONS as Flask adds them."""
    found = []
    for line in expected:
        head, *methods = (
            line.split(" ") if "any(" not in line else [line.rpartition(" ")[0], line.rpartition(" ")[2]]
        )
        for method in {
            *methods,
            *(["HEAD"] if "GET" in methods else []),
            *(["OPTIONS"] if "!OPTIONS" not in methods else []),
        }:
            if method[0] != "!":
                found.append((head, method))
    return sorted(found)


def read(folder: Path, source: dict[str, str], app: str = "app:app") -> routes.Routes:
    Source(source, []).write(folder)
    return routes.find(folder, service(app))


@pytest.mark.parametrize("name", SOURCES)
def test_each_route_is_found_and_none_is_wrong(tmp_path: Path, name: str) -> None:
    source = SOURCES[name]
    source.write(tmp_path)
    found = routes.find(tmp_path, service(source.app))
    assert sorted((one.rule, method) for one in found.routes for method in one.methods) == pairs(
        source.routes
    )
    said = [f"{one.file}:{one.line} {one.why}" for one in found.unresolved]
    assert len(said) == len(source.unresolved), said
    for part in source.unresolved:
        assert any(line.startswith(part) for line in said), said


def test_the_extension_point_of_the_template_is_followed(tmp_path: Path) -> None:
    for name in ("@web/app.py", "services/serving.py", "@service/health.py"):
        text = (ROOT / "levels/1-basic" / name).read_text(encoding="utf-8")
        place = name if name.startswith("services/") else f"services/api/{name.split('/')[1]}"
        Source({place: text}, []).write(tmp_path)
    app = "services.api.app:create_app()"
    entry = {"name": "api", "path": "services/api", "kind": "web", "code": "ours", "app": app}
    found = routes.find(tmp_path, entry)
    assert [one.rule for one in found.routes] == ["/static/<path:filename>", "/changes/<symbol>"]
    assert found.unresolved == ()
    Source(
        {"runtime/more.py": "def init(app, name):\n    app.add_url_rule('/more', 'more', len)\n"}, []
    ).write(tmp_path)
    assert "/more" in [one.rule for one in routes.find(tmp_path, entry).routes]


@pytest.mark.parametrize(
    ("code", "own"),
    [
        ("@app.get('/health')\ndef health(): return ''", {"/health": "shop.py:4"}),
        ("@app.get('/health/')\ndef health(): return ''", {"/health/": "shop.py:4"}),
        (
            (
                "b = Blueprint('b', __name__, url_prefix='/readiness')\n@b.get('')\ndef r(): return"
                " ''\napp.register_blueprint(b)"
            ),
            {"/readiness": "shop.py:5"},
        ),
        ("@app.get('/<path:page>')\ndef page(page): return '/health'", {}),
        ("@app.get('/api/health')\ndef health(): return ''", {}),
        ("", {}),
    ],
)
def test_a_health_route_of_the_persons_own_is_known(tmp_path: Path, code: str, own: dict[str, str]) -> None:
    head = "from flask import Blueprint, Flask\nfrom health import init_service\napp = Flask(__name__)\n"
    text = f"{head}{code}\ninit_service(app, 'shop')\n"
    health = (ROOT / "levels/1-basic/@service/health.py").read_text(encoding="utf-8")
    Source({"shop.py": text, "health.py": health}, []).write(tmp_path)
    found = routes.own_probes(tmp_path, service("shop:app"))
    assert {one.rule: one.registered for one in found} == own


def test_a_worker_has_no_routes(tmp_path: Path) -> None:
    assert routes.find(tmp_path, service("worker.py", kind="worker")) == routes.Routes((), (), "")


def test_a_route_says_who_may_ask(tmp_path: Path) -> None:
    source = """
        from functools import wraps
        from flask import Blueprint, Flask, abort, redirect, request, url_for
        from flask_httpauth import HTTPBasicAuth, HTTPTokenAuth
        from flask_jwt_extended import jwt_required
        from flask_login import login_required
        from flask_security import roles_accepted
        app = Flask(__name__)
        basic, token = HTTPBasicAuth(), HTTPTokenAuth("Bearer")
        admin = Blueprint("admin", __name__)

        def ours(view):
            @wraps(view)
            def wrapper():
                if not request.headers.get("X"):
                    abort(401)
                return view()
            return wrapper

        def to_login(view):
            @wraps(view)
            def wrapper():
                return redirect(url_for("auth.login"))
            return wrapper

        def timed(view):
            @wraps(view)
            def wrapper():
                return view()
            return wrapper

        @app.get("/a")
        @basic.login_required
        def a(): ...

        @app.get("/b")
        @token.login_required(role="x")
        def b(): ...

        @app.get("/c")
        @jwt_required()
        def c(): ...

        @app.get("/d")
        @jwt_required(optional=True)
        def d(): ...

        @app.get("/e")
        @login_required
        @roles_accepted("x")
        def e(): ...

        @app.get("/f")
        @timed
        @ours
        def f(): ...

        @app.get("/g")
        @to_login
        def g(): ...

        @login_required
        @app.get("/above")
        def above(): ...

        @admin.before_request
        @login_required
        def guard(): ...

        @admin.get("/h")
        def h(): ...

        app.register_blueprint(admin)
    """
    found = {one.rule: one.auth for one in read(tmp_path, {"app.py": source}).routes if not one.static}
    assert {rule: [(auth.name, auth.scheme) for auth in auths] for rule, auths in found.items()} == {
        "/a": [("basic.login_required", "basic")],
        "/b": [("token.login_required", "bearer")],
        "/c": [("jwt_required", "bearer")],
        "/d": [],
        "/e": [("login_required", "cookie"), ("roles_accepted", "cookie")],
        "/f": [("ours", "")],
        "/g": [("to_login", "cookie")],
        "/above": [],  # registered before the guard was put on it
        "/h": [("login_required", "cookie")],
    }


def test_a_route_says_where_its_view_stands_and_what_it_says_of_itself(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "app.py": (
                """
                from flask import Flask
                from views import Item
                app = Flask(__name__, static_folder=None)
                app.url_map.strict_slashes = False

                @app.get("/")
                def index():
                    \"\"\"The front page.

                    More.
                    \"\"\"

                app.add_url_rule("/item", view_func=Item.as_view("item"), strict_slashes=True)
            """
            ),
            "views.py": (
                """
                from flask.views import MethodView

                class Item(MethodView):
                    \"\"\"A thing.\"\"\"

                    def get(self):
                        \"\"\"Show it.\"\"\"

                    def put(self): ...
            """
            ),
        },
    )
    index, item = found.routes
    assert (index.file, index.line, index.endpoint, index.doc, index.strict_slashes) == (
        "app.py",
        7,
        "index",
        "The front page.\n\nMore.",
        False,
    )
    assert (item.file, item.line, item.registered, item.endpoint, item.strict_slashes) == (
        "views.py",
        3,
        "app.py:13",
        "item",
        True,
    )
    assert item.by_method == {
        "GET": routes.View("Item.get", "views.py", 6, "Show it."),
        "PUT": routes.View("Item.put", "views.py", 9, ""),
    }


def test_the_variables_of_a_rule_come_with_their_converters() -> None:
    assert routes.variables("/<a>/<int:b>/<any(x, 'y'):c>/<float(min=1):d>/<own:e>") == (
        routes.Variable("a", "default", ""),
        routes.Variable("b", "int", ""),
        routes.Variable("c", "any", "x, 'y'"),
        routes.Variable("d", "float", "min=1"),
        routes.Variable("e", "own", ""),
    )


def test_extensions_that_register_routes_are_named_not_guessed(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "app.py": (
                """
                from flask import Flask
                from flask_restx import Api, Resource
                from flask_cors import CORS
                app = Flask(__name__, static_folder=None)
                CORS(app)
                api = Api(app)

                @api.route("/things")
                class Things(Resource):
                    def get(self): ...

                api.add_resource(Things, "/more")
                app.url_map.add(1)
            """
            )
        },
    )
    assert found.routes == ()
    assert [one.line for one in found.unresolved] == [6, 8, 12, 13]
    assert "flask_restx.Api" in found.unresolved[0].why


def test_blueprints_and_files_that_nothing_reaches_are_named(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "app.py": (
                "from flask import Flask, Blueprint\napp = Flask(__name__)\nbp = Blueprint('b',"
                " 'b')\n@bp.get('/')\ndef v(): ...\n"
            ),
            "plugins/late.py": "from flask import Blueprint\nbp = Blueprint('late', __name__)\n",
            "broken.py": "import flask\napp.route(\n",
        },
    )
    assert [(one.file, one.line) for one in found.unresolved] == [
        ("app.py", 3),
        ("broken.py", 2),
        ("plugins/late.py", 2),
    ]


def test_an_app_that_cannot_be_told_gives_no_routes_and_says_so(tmp_path: Path) -> None:
    two = "from flask import Flask\na = Flask(__name__)\nb = Flask(__name__)\n"
    found = read(tmp_path, {"app.py": two}, app="")
    assert found.routes == () and "can't be told" in found.unresolved[-1].why
    one = read(
        tmp_path / "one",
        {"made.py": "from flask import Flask\ndef create_app(x):\n    return Flask(__name__)\n"},
        app="",
    )
    assert [route.rule for route in one.routes] == ["/static/<path:filename>"]


@pytest.mark.parametrize(
    "text",
    [
        "def f(): return f()\nx = f()",
        "import app",
        "from . import app",
        "from .. import app",
        "from ....... import app",
        "x = [].append",
        "x = {**1, 'a': 2}[3]",
        "while True:\n    pass",
        "for a, *b in [[1], 2]: pass",
        "class A(A): pass\nA()",
        "class A:\n    def __init__(self): A()\nA()",
        "f = lambda *a, **k: f(*a, **k)\nf(1, x=2)",
        "global x\nx = 1",
        "x = '{0.__class__}'.format(1)",
        "x = 'a' * 10**12",
        "x = 'a'\n" + "x = x + x\n" * 60,
        "x = 'a' * 9\n" + "x = x.replace('a', x)\n" * 60,
        "x = 'a'\n" + "x = f'{x}{x}'\n" * 60,
        "x = 'a'\n" + "x = '%s%s' % (x, x)\n" * 60,
        "x = 'a'\n" + "x = '{}{}'.format(x, x)\n" * 60,
        "x = '%999999999d' % 1",
        "x = [1]\n" + "x = [*x, *x]\n" * 60,
        "x = [1]\n" + "x.extend(x)\n" * 60,
        "x = ['a' * 10]\n" + "x = ''.join([x, x])\n" * 60,
        "match 1:\n    case 1: pass",
        "try:\n    raise ValueError\nexcept* ValueError:\n    pass",
        "import a.b.c.d",
        (
            "import importlib\nimportlib.import_module('..x',"
            " 'y')\nimportlib.import_module('.x')\nimportlib.import_module('\\0')"
        ),
        "app.route('/')(1)\napp.route()\napp.add_url_rule()\napp.register_blueprint()\napp.get()",
        "app.register_blueprint(app)\napp.url_map = 1",
        "x = [[a for a in b] for b in [[1]] * 2]",
        "del app.x, app",
        "def g():\n    yield app\nfor one in g(): one.route('/x')",
        "\ufeffx = 1",
        "x = 1\x00",
        "(" * 5000,
        "x = " + "-" * 5000 + "1",
    ],
)
def test_no_source_makes_the_reader_fail(tmp_path: Path, text: str) -> None:
    found = read(
        tmp_path,
        {"app.py": "from flask import Flask\napp = Flask(__name__, static_folder=None)\n" + text + "\n"},
    )
    assert all(isinstance(one.why, str) for one in found.unresolved)


def test_a_source_without_end_is_given_up_with_a_line(tmp_path: Path) -> None:
    nested = "from flask import Flask\napp = Flask(__name__)\nn = [0] + [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
    nested += "".join(f"{' ' * depth}for i{depth} in n:\n" for depth in range(9)) + " " * 9 + "x = 1\n"
    assert any("more source" in one.why for one in read(tmp_path, {"app.py": nested}).unresolved)


def test_a_class_that_extends_an_extension_is_named_where_it_may_add_routes(tmp_path: Path) -> None:
    source = """
        from flask import Flask
        from flask_restx import Api, Resource
        class Ours(Api):
            pass
        class Later(Api):
            def init_app(self, app):
                super().init_app(app)
        app = Flask(__name__, static_folder=None)
        api = Ours(app)
        api.add_resource(Resource, "/one")
        later = Later()
        later.init_app(app)
    """
    found = read(tmp_path, {"app.py": source})
    assert found.routes == ()
    assert [(one.line, one.why) for one in found.unresolved] == [
        (7, "the app goes to flask_restx.Api that is not followed, which may add routes"),
        (9, "the app goes to flask_restx.Api that is not followed, which may add routes"),
        (10, "on an object that is known only at run time"),
    ]


def test_the_resources_of_flask_restful_are_routes(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "app.py": (
                """
                from flask import Blueprint, Flask
                from flask_restful import Api, Resource
                from views import Thing, Things
                app = Flask(__name__, static_folder=None)
                api = Api(app, "/api")
                api.add_resource(Things, "/things", "/all", resource_class_kwargs={"a": 1})

                @api.resource("/one", endpoint="first")
                class One(Resource):
                    def get(self): ...

                part = Blueprint("part", __name__, url_prefix="/part")
                later = Api()
                later.add_resource(Thing, "/thing/<int:id>")
                later.init_app(part)
                app.register_blueprint(part)
            """
            ),
            "views.py": (
                """
                from flask_login import login_required
                from flask_restful import Resource

                class Base(Resource):
                    method_decorators = [login_required]

                class Things(Base):
                    def get(self): ...
                    def post(self): ...

                class Thing(Base):
                    def delete(self, id): ...
            """
            ),
        },
    )
    told = [
        (one.rule, one.endpoint, [method for method in one.methods if method not in ("HEAD", "OPTIONS")])
        for one in found.routes
    ]
    assert told == [
        ("/api/things", "things", ["GET", "POST"]),
        ("/api/all", "things", ["GET", "POST"]),
        ("/api/one", "first", ["GET"]),
        ("/part/thing/<int:id>", "part.thing", ["DELETE"]),
    ]
    assert [[auth.name for auth in one.auth] for one in found.routes] == [["login_required"]] * 2 + [
        [],
        ["login_required"],
    ]
    assert found.unresolved == ()


def test_what_is_not_known_of_flask_restful_is_named(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "app.py": (
                """
                import os
                from flask import Flask
                from flask_restful import Api, Resource
                app = Flask(__name__, static_folder=None)
                class Thing(Resource):
                    def get(self): ...
                Api(app, prefix=os.environ["PREFIX"]).add_resource(Thing, "/one")
                Api(app, decorators=[print]).add_resource(Thing, "/two")
                api = Api(app)
                api.add_resource(Thing, os.environ["THREE"])
                if os.environ.get("FOUR"):
                    api.add_resource(Thing, "/four")
            """
            )
        },
    )
    assert found.routes == ()
    assert [one.line for one in found.unresolved] == [7, 8, 10, 12]
