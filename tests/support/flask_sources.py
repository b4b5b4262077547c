"""Small Flask services of all shapes, and the routes that they have: test_source_routes.py reads them,
proof/test_routes.py asks Flask.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

STATIC = "/static/<path:filename> GET"


@dataclass(frozen=True)
class Source:
    """Files of a service, its `app`, and the pairs "RULE METHOD…" it serves, HEAD and OPTIONS left out where
    they go without saying.
    """

    files: dict[str, str]
    routes: list[str]
    app: str = "app:app"
    # A part of each line that must be there, as "file:line why".
    unresolved: list[str] = field(default_factory=list)
    wanting: list[str] = field(default_factory=list)  # what only Flask knows: the unresolved ones

    def write(self, folder: Path) -> None:
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(dedent(text).lstrip("\n"), encoding="utf-8")


SOURCES = {
    "decorators": Source(
        {
            "app.py": (
                """
                from flask import Flask
                app = Flask(__name__)

                @app.route("/")
                def index(): return ""

                @app.get("/one/<int:number>")
                @app.post("/two/<path:rest>")
                def both(number=0, rest=""): return ""

                @app.route("/three", methods=("PUT", "delete"))
                async def three(): return ""

                @app.route("/four", methods=["OPTIONS", "GET"], endpoint="vier")
                def four(): return ""

                @app.route("/five", provide_automatic_options=False)
                def five(): return ""

                @app.route("/none", methods=[])
                def none(): return ""
            """
            )
        },
        [
            STATIC,
            "/ GET",
            "/one/<int:number> GET",
            "/two/<path:rest> POST",
            "/three DELETE PUT",
            "/four GET",
            "/five GET !OPTIONS",
            "/none",
        ],
    ),
    "nested blueprints": Source(
        {
            "app.py": (
                """
                from flask import Blueprint, Flask
                app = Flask(__name__, static_folder=None)
                outer = Blueprint("outer", __name__, url_prefix="/outer/")
                inner = Blueprint("inner", __name__, url_prefix="inner", static_folder="files")
                bare = Blueprint("bare", __name__)

                @outer.route("/a")
                def a(): return ""

                @inner.get("")
                def b(): return ""

                @inner.get("/c/")
                def c(): return ""

                @bare.get("/d", subdomain="api")
                def d(): return ""

                outer.register_blueprint(inner)
                outer.register_blueprint(bare, url_prefix="/again")
                app.register_blueprint(outer)
                app.register_blueprint(bare, name="twice")
                app.register_blueprint(inner, url_prefix="/elsewhere", name="thrice")
            """
            )
        },
        [
            "/outer/a GET",
            "/outer/inner GET",
            "/outer/inner/c/ GET",
            "/outer/inner/files/<path:filename> GET",
            "/outer/again/d GET",
            "/d GET",
            "/elsewhere GET",
            "/elsewhere/c/ GET",
            "/elsewhere/files/<path:filename> GET",
        ],
    ),
    "a package with a factory": Source(
        {
            "shop/__init__.py": (
                """
                import os
                from flask import Flask

                def create_app(config=None):
                    app = Flask(__name__, static_url_path="/assets")
                    if config is None:
                        app.config.from_mapping(SECRET_KEY=os.environ.get("SECRET", "dev"))
                    from . import auth
                    from .views import register
                    register(app)
                    app.register_blueprint(auth.bp, url_prefix=auth.PREFIX + "/v1")
                    app.add_url_rule("/", endpoint="index")
                    return app
            """
            ),
            "shop/auth.py": (
                """
                from flask import Blueprint
                from shop.constants import PREFIX
                bp = Blueprint("auth", __name__)

                @bp.route(f"/{'login'}", methods=["GET", "POST"])
                def login():
                    \"\"\"Sign in.\"\"\"
                    return ""
            """
            ),
            "shop/constants.py": 'PREFIX = "/auth"\nPATHS = [("/x", "x"), ("/y", "y")]\n',
            "shop/views/__init__.py": (
                """
                from ..constants import PATHS
                from .items import items as the_items

                def register(app):
                    for blueprint in (the_items,):
                        app.register_blueprint(blueprint)
                    for path, name in PATHS:
                        app.add_url_rule(path, name, lambda: "")
            """
            ),
            "shop/views/items.py": (
                """
                from flask import Blueprint
                from flask.views import MethodView, View
                items = Blueprint("items", __name__, url_prefix="/items")

                class Base(MethodView):
                    def delete(self, number): return ""

                class Item(Base):
                    def get(self, number): return ""

                class Plain(View):
                    methods = ["GET", "POST"]
                    def dispatch_request(self): return ""

                class Bare(View):
                    init_every_request = False
                    def dispatch_request(self): return ""

                items.add_url_rule("/<int:number>", view_func=Item.as_view("item"))
                items.add_url_rule("/plain", view_func=Plain.as_view("plain"))
                items.add_url_rule("/bare", view_func=Bare.as_view("bare"))
                items.add_url_rule("/put", view_func=Item.as_view("put"), methods=["PUT"])
            """
            ),
        },
        [
            "/assets/<path:filename> GET",
            "/auth/v1/login GET POST",
            "/ GET",
            "/x GET",
            "/y GET",
            "/items/<int:number> DELETE GET",
            "/items/plain GET POST",
            "/items/bare GET",
            "/items/put PUT",
        ],
        app="shop:create_app()",
    ),
    "classes and helpers": Source(
        {
            "app.py": (
                """
                import flask
                from functools import wraps

                class Shop(flask.Flask):
                    def __init__(self):
                        super().__init__(__name__, static_folder=None)
                        self.add_url_rule("/own", view_func=self.own)
                    def own(self): return ""

                class Server:
                    prefix = "/server"
                    def __init__(self, app):
                        self.app = app
                        self.routes()
                    def routes(self):
                        self.app.add_url_rule(self.prefix + "/a", "a", self.a, methods=["POST"])
                    def a(self): return ""

                def page(path, **options):
                    def decorator(view):
                        @app.route("/pages/" + path.lstrip("/"), **options)
                        @wraps(view)
                        def wrapper(*args, **kwargs):
                            return view(*args, **kwargs)
                        return wrapper
                    return decorator

                app = Shop()
                Server(app)

                @page("/one", methods=["PUT"])
                def one(): return ""

                if __name__ == "__main__":
                    @app.route("/only-as-a-script")
                    def script(): return ""
            """
            )
        },
        ["/own GET", "/server/a POST", "/pages/one PUT"],
    ),
    "only at run time": Source(
        {
            "app.py": (
                """
                import os
                from flask import Flask, Blueprint
                app = Flask(__name__, static_folder=None)
                plugin = Blueprint("plugin", __name__)

                @app.get("/sure")
                def sure(): return ""

                @app.get(os.environ.get("PATH_OF_IT", "/computed"))
                def computed(): return ""

                if os.environ.get("DEBUG_ROUTES", "1"):
                    @app.get("/debug")
                    def debug(): return ""

                for name in sorted(os.environ)[:1]:
                    app.add_url_rule("/of/" + name.lower().replace("_", "-")[:0] + "x", "x", sure)

                @plugin.get("/plugged")
                def plugged(): return ""

                def late(app):
                    if not os.environ.get("PLUGINS", "1"):
                        return
                    app.register_blueprint(plugin)

                late(app)
            """
            )
        },
        ["/sure GET"],
        unresolved=[
            "app.py:9 its path",
            "app.py:13 only where",
            "app.py:17 in a loop",
            "app.py:25 only where",
        ],
        wanting=["/computed GET", "/debug GET", "/of/x GET", "/plugged GET"],
    ),
    "circular imports": Source(
        {
            "shop/__init__.py": (
                """
                from flask import Flask
                app = Flask(__name__, static_folder=None)
                from shop import views
                from .admin import blueprint
                app.register_blueprint(blueprint, url_prefix="/admin")
            """
            ),
            "shop/views.py": (
                """
                from shop import app

                @app.route("/v")
                def v(): return ""
            """
            ),
            "shop/admin/__init__.py": (
                """
                from flask import Blueprint
                blueprint = Blueprint("admin", __name__)
                from . import pages
            """
            ),
            "shop/admin/pages.py": (
                """
                from . import blueprint

                @blueprint.route("/p", strict_slashes=False)
                def p(): return ""
            """
            ),
        },
        ["/v GET", "/admin/p GET"],
        app="shop:app",
    ),
    "things that are looked up": Source(
        {
            "app.py": (
                """
                import importlib
                from flask import Flask
                try:
                    from missing_altogether import Extra
                except ImportError:
                    Extra = None
                app = Flask(__name__, static_folder=None)
                BLUEPRINTS = {"one": "/1", "two": "/2"}
                for name, prefix in BLUEPRINTS.items():
                    module = importlib.import_module("parts." + name)
                    app.register_blueprint(module.bp, url_prefix=prefix)
                if "one" in BLUEPRINTS and Extra is not None:
                    Extra(app)
                if "levels_health" not in app.view_functions:
                    app.add_url_rule("/health", "levels_health", lambda: "")
                with app.app_context():
                    app.add_url_rule("/in", "inside", lambda: "")
                URL = "%s/{}" % "/base"
                app.add_url_rule(URL.format("end"), "end", lambda: "", defaults={"a": 1})
            """
            ),
            "parts/one.py": (
                """
                from flask import Blueprint
                bp = Blueprint("one", __name__)

                @bp.get("/<uuid:id>")
                def view(id): return ""
            """
            ),
            "parts/two.py": (
                """
                from flask import Blueprint
                bp = Blueprint("two", __name__)

                @bp.get("/<any(a, b):id>")
                def view(id): return ""
            """
            ),
        },
        ["/1/<uuid:id> GET", "/2/<any(a, b):id> GET", "/health GET", "/in GET", "/base/end GET"],
        unresolved=["app.py:13"],
    ),
    "lists and mappings that change": Source(
        {
            "flags.py": "FLAGS = {}\nMORE = {'a': 1}\n",
            "app.py": (
                """
                import os
                import flags
                from flags import FLAGS, MORE
                from flask import Blueprint, Flask
                app = Flask(__name__, static_folder=None)
                one = Blueprint("one", __name__)
                one.add_url_rule("/one", "one", lambda: "")
                two = Blueprint("two", __name__)
                two.add_url_rule("/two", "two", lambda: "")
                BLUEPRINTS = [one, two]
                BLUEPRINTS.remove(two)
                for blueprint in BLUEPRINTS:
                    app.register_blueprint(blueprint)
                if os.environ.get("NOWHERE_SET"):
                    FLAGS["a"] = 1
                if "a" not in flags.FLAGS:
                    app.add_url_rule("/off", "off", lambda: "")
                MORE.pop("a")
                if "a" in MORE:
                    app.add_url_rule("/on", "on", lambda: "")
                SET = {"x": "/x"}
                SET.update({"y": "/y"}, z="/z")
                for name, path in SET.items():
                    app.add_url_rule(path, name, lambda: "")
            """
            ),
        },
        ["/x GET", "/y GET", "/z GET"],
        unresolved=[
            "app.py:13 which blueprint",
            "app.py:17 only where",
            "app.py:20 only where",
            "app.py:6",
            "app.py:8",
        ],
        wanting=["/one GET", "/off GET"],
    ),
    "ways out of a function": Source(
        {
            "app.py": (
                """
                import os, sys
                from contextlib import nullcontext
                from typing import TYPE_CHECKING
                from flask import Flask
                app = Flask(__name__, static_folder=None)
                if not TYPE_CHECKING:
                    app.add_url_rule("/typed", "typed", lambda: "")

                def matched(kind):
                    match kind:
                        case "nothing":
                            return
                    app.add_url_rule("/matched", "matched", lambda: "")

                def twice():
                    with nullcontext():
                        if os.environ.get("NOWHERE_SET"):
                            return
                        if os.environ.get("NOR_THIS"):
                            return
                    app.add_url_rule("/twice", "twice", lambda: "")

                matched(os.environ.get("KIND"))
                twice()
            """
            )
        },
        ["/typed GET"],
        unresolved=["app.py:13 in a case of the match", "app.py:21 only where"],
        wanting=["/matched GET", "/twice GET"],
    ),
    "classes that are given the app": Source(
        {
            "app.py": (
                """
                from flask import Flask
                app = Flask(__name__, static_folder=None)

                class Health:
                    @classmethod
                    def install(cls, app):
                        app.add_url_rule(cls.path(), "health", lambda: "")

                    @staticmethod
                    def path():
                        return "/health"

                Health.install(app)
                Health().install(Flask("other"))
            """
            )
        },
        ["/health GET"],
    ),
}
