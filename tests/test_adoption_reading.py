"""What is found in a project that is about to be adopted, and what is proposed for its answers."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from extensions.rendering import adoption, preflight, proposals
from extensions.rendering.adoption import Found
from extensions.source import modules
from extensions.source.files import theirs
from tests.support.strangers import git, project, repository

FLASK = "from flask import Flask\n"
FACTORY = FLASK + "def create_app():\n    app = Flask(__name__)\n    return app\n"
NEEDY = FLASK + "def create_app(config):\n    app = Flask(__name__)\n    return app\n"
APP = FLASK + "app = Flask(__name__)\n"
SCRIPT = "import time\nif __name__ == '__main__':\n    time.sleep(1)\n"


def brief(root: Path) -> list[tuple[str, str, str, str]]:
    return [(one.name, one.path, one.kind, one.app) for one in adoption.find_services(root)]


# Which services there are

LAYOUTS = {
    "nothing": ({}, []),
    "no Python": ({"README.md": "Flask"}, []),
    "a package at the root": (
        {"shop/__init__.py": FACTORY, "shop/views.py": ""},
        [("shop", "shop", "web", "shop:create_app()")],
    ),
    "a package under src": (
        {"src/web_shop/__init__.py": "", "src/web_shop/factory.py": FACTORY},
        [("web-shop", "src/web_shop", "web", "web_shop.factory:create_app()")],
    ),
    "a service in a folder with a hyphen": (
        {"services/market-data/app.py": FACTORY},
        [("market-data", "services/market-data", "web", "app:create_app()")],
    ),
    "two hyphenated services with the same module names": (
        {
            f"services/{name}/{file}.py": text
            for name in ("market-data", "order-book")
            for file, text in [("app", FACTORY), ("models", "")]
        },
        [
            ("market-data", "services/market-data", "web", "app:create_app()"),
            ("order-book", "services/order-book", "web", "app:create_app()"),
        ],
    ),
    "a worker without HTTP": ({"worker.py": SCRIPT}, [("project", ".", "worker", "worker.py")]),
    "a worker beside a web service": (
        {"services/api/app.py": APP, "services/mailer/main.py": SCRIPT, "services/mailer/check.py": SCRIPT},
        [("api", "services/api", "web", "app:app"), ("mailer", "services/mailer", "worker", "main.py")],
    ),
    "a package with __main__": (
        {"bot/__init__.py": "", "bot/__main__.py": "print('on')\n"},
        [("bot", "bot", "worker", "__main__.py")],
    ),
    "a usual script before a chore": (
        {"release.py": SCRIPT, "bot.py": SCRIPT, "setup.py": SCRIPT},
        [("project", ".", "worker", "bot.py")],
    ),
    "__main__ before a script of another name": (
        {"release.py": SCRIPT, "src/bot/__main__.py": ""},
        [("bot", "src/bot", "worker", "__main__.py")],
    ),
    "only a chore": ({"setup.py": SCRIPT, "noxfile.py": SCRIPT}, []),
    "a worker whose script has no guard": (
        {"services/mailer/main.py": "while True: pass\n"},
        [("mailer", "services/mailer", "worker", "main.py")],
    ),
    "a folder of services with nothing that starts": (
        {"services/mailer/helpers.py": "x = 1\n"},
        [("mailer", "services/mailer", "worker", "")],
    ),
    "a folder of services without Python": (
        {"services/front/index.js": "", "services/api/app.py": APP},
        [("api", "services/api", "web", "app:app")],
    ),
    "private and hidden folders of services": (
        {"services/_shared/app.py": APP, "services/.old/app.py": APP, "services/api/app.py": APP},
        [("api", "services/api", "web", "app:app")],
    ),
    "a service that is a package": (
        {
            "services/billing/__init__.py": "",
            "services/billing/app.py": "from .models import x\n" + FACTORY,
            "services/billing/models.py": "x = 1",
        },
        [("billing", "services/billing", "web", "billing.app:create_app()")],
    ),
    "a service with a stray __init__.py": (
        {
            "services/billing/__init__.py": "",
            "services/billing/app.py": "from models import x\n" + FACTORY,
            "services/billing/models.py": "x = 1",
        },
        [("billing", "services/billing", "web", "app:create_app()")],
    ),
    "a hyphenated service with a stray __init__.py": (
        {"services/my-api/__init__.py": "", "services/my-api/app.py": FACTORY},
        [("my-api", "services/my-api", "web", "app:create_app()")],
    ),
    "a service with a package in it": (
        {"services/my-api/my_api/__init__.py": FACTORY},
        [("my-api", "services/my-api", "web", "my_api:create_app()")],
    ),
    "a service with a src layout": (
        {"services/my-api/src/my_api/__init__.py": FACTORY},
        [("my-api", "services/my-api/src/my_api", "web", "my_api:create_app()")],
    ),
    "services as a package of an app": (
        {
            "app.py": APP,
            "services/__init__.py": "",
            "services/users/__init__.py": "",
            "services/users/logic.py": "",
        },
        [("project", ".", "web", "app:app")],
    ),
    "a single module": ({"app.py": APP}, [("project", ".", "web", "app:app")]),
    "a module and a package of one name": (
        {"shop.py": "", "shop/__init__.py": APP},
        [("shop", "shop", "web", "shop:app")],
    ),
    "a package before a module at the root": (
        {"demo.py": APP, "shop/__init__.py": APP},
        [("shop", "shop", "web", "shop:app")],
    ),
    "a folder that is no package": ({"backend/app.py": APP}, [("backend", "backend", "web", "app:app")]),
    "several apps": (
        {"shop/__init__.py": APP, "admin/__init__.py": APP, "apps/deep/x/__init__.py": APP},
        [("admin", "admin", "web", "admin:app"), ("shop", "shop", "web", "shop:app")],
    ),
    "the same name twice": (
        {"backend/api/__init__.py": APP, "other/api/__init__.py": APP},
        [("backend-api", "backend/api", "web", "api:app"), ("other-api", "other/api", "web", "api:app")],
    ),
    "tests, docs and examples beside the app": (
        {
            "shop/__init__.py": APP,
            "tests/app.py": APP,
            "test_app.py": APP,
            "conftest.py": APP,
            "docs/conf.py": APP,
            "examples/a/app.py": APP,
        },
        [("shop", "shop", "web", "shop:app")],
    ),
    "nothing but examples": (
        {"lib/__init__.py": "x = 1", "examples/hello/app.py": APP},
        [("hello", "examples/hello", "web", "app:app")],
    ),
    "virtual environments and caches": (
        {
            f"{folder}/x/__init__.py": APP
            for folder in (".venv", "venv", "node_modules", "build", "dist", "__pycache__", "a/site-packages")
        }
        | {"myenv/pyvenv.cfg": "", "myenv/lib/x/__init__.py": APP},
        [],
    ),
    "Flask without an app": ({"shop/__init__.py": "import flask\n", "main.py": SCRIPT}, []),
    "flasky: a factory with a parameter, called beside its package": (
        {
            "app/__init__.py": NEEDY,
            "flasky.py": "from app import create_app, db\napp = create_app('default')\n",
        },
        [("app", "app", "web", "flasky:app")],
    ),
    "a factory with a parameter, called in wsgi.py": (
        {
            "src/shop/__init__.py": NEEDY,
            "src/shop/wsgi.py": "from . import create_app\napplication = create_app({})\n",
        },
        [("shop", "src/shop", "web", "shop.wsgi:application")],
    ),
    "a factory with a parameter that nobody calls": (
        {"shop/__init__.py": NEEDY},
        [("shop", "shop", "web", "")],
    ),
    "a call of another project's factory": (
        {"main.py": "from other import create_app\napp = create_app()\n"},
        [],
    ),
    "a factory before the app that it makes": (
        {
            "shop/__init__.py": "",
            "shop/app.py": FACTORY,
            "shop/wsgi.py": "from shop.app import create_app\napp = create_app()\n",
        },
        [("shop", "shop", "web", "shop.app:create_app()")],
    ),
    "httpbin: two apps, one of them with routes": (
        {
            "bin/__init__.py": "from .core import *\n",
            "bin/core.py": APP + "@app.route('/')\ndef index(): return ''\n",
            "bin/a_filter.py": APP,
        },
        [("bin", "bin", "web", "bin.core:app")],
    ),
    "alerta: a private factory for commands": (
        {"al/__init__.py": "", "al/app.py": FACTORY, "al/a.py": FACTORY.replace("create_app", "_create_app")},
        [("al", "al", "web", "al.app:create_app()")],
    ),
    "an app that gunicorn can't reach": (
        {
            "shop/__init__.py": "",
            "shop/cli.py": FLASK + "def main():\n    app = Flask(__name__)\n    app.run()\n",
        },
        [("shop", "shop", "web", "")],
    ),
    "names that YAML or Python keep": (
        {
            "services/no/app.py": APP,
            "services/class/app.py": APP,
            "services/9_Lives/app.py": APP,
            "services/con/app.py": APP,
        },
        [
            ("service-9-lives", "services/9_Lives", "web", "app:app"),
            ("class-service", "services/class", "web", "app:app"),
            ("con-service", "services/con", "web", "app:app"),
            ("no-service", "services/no", "web", "app:app"),
        ],
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_services_are_found(tmp_path: Path, layout: str) -> None:
    files, expected = LAYOUTS[layout]
    assert brief(project(tmp_path / "project", files)) == expected


SPELLINGS = {
    "an alias": ("from flask import Flask as F\napp = F(__name__)\n", "m:app"),
    "the module": ("import flask\napp = flask.Flask(__name__)\n", "m:app"),
    "the module, renamed": ("import flask as f\napplication = f.Flask('x')\n", "m:application"),
    "an annotation": (FLASK + "app: Flask = Flask(__name__)\n", "m:app"),
    "a subclass": (FLASK + "class Shop(Flask): pass\nshop = Shop(__name__)\n", "m:shop"),
    "APIFlask": ("from apiflask import APIFlask\napp = APIFlask(__name__)\n", "m:app"),
    "inside try": (FLASK + "try:\n    app = Flask(__name__)\nexcept Exception:\n    raise\n", "m:app"),
    "the import inside the factory": (
        "def make_app():\n    from flask import Flask\n    return Flask('x')\n",
        "m:make_app()",
    ),
    "a factory by another name": (FLASK + "def build():\n    a = Flask('x')\n    return a\n", "m:build()"),
    "a factory that returns something around it": (
        FLASK + "def create_app():\n    a = Flask('x')\n    return wrap(a)\n",
        "m:create_app()",
    ),
    "a factory of a factory": (NEEDY + "def serve():\n    return create_app(1)\n", "m:serve()"),
    "defaults for all": (
        FLASK + "def create_app(a=1, *b, c=2, **d):\n    return Flask('x')\n",
        "m:create_app()",
    ),
    "one keyword without a default": (FLASK + "def create_app(*, c):\n    return Flask('x')\n", ""),
    "both": (FACTORY + "app = create_app()\n", "m:create_app()"),
    "only as a script": (FLASK + "if __name__ == '__main__':\n    app = Flask(__name__)\n", None),
    "in a text": ("'''from flask import Flask\napp = Flask(__name__)'''\n", None),
    "a fixture": (
        FLASK + "import pytest\n@pytest.fixture\ndef app():\n    app = Flask('x')\n    return app\n",
        None,
    ),
    "an inner function": (FLASK + "def f():\n    def create_app():\n        return Flask('x')\n", None),
    "an async function": (FLASK + "async def create_app():\n    return Flask('x')\n", None),
    "a byte order mark": ("\ufeff" + APP, "m:app"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_each_way_to_build_an_app(tmp_path: Path, spelling: str) -> None:
    text, expected = SPELLINGS[spelling]
    (tmp_path / "m.py").write_text(text, encoding="utf-8")
    assert [one.app for one in adoption.find_services(tmp_path)] == ([] if expected is None else [expected])


def test_a_proposal_is_an_answer_with_its_evidence(tmp_path: Path) -> None:
    project(tmp_path, {"services/market-data/app.py": "\n" + FACTORY, "services/mailer/lib.py": ""})
    found = adoption.find_services(tmp_path)
    assert found == [
        Found(
            "mailer",
            "services/mailer",
            "worker",
            "",
            "services/mailer holds Python files, none starts it: say how it starts",
        ),
        Found(
            "market-data",
            "services/market-data",
            "web",
            "app:create_app()",
            "services/market-data/app.py:4 builds a Flask app in create_app()",
        ),
    ]
    assert [one.answer() for one in found] == [
        {"name": "mailer", "path": "services/mailer", "kind": "worker", "code": "theirs"},
        {
            "name": "market-data",
            "path": "services/market-data",
            "kind": "web",
            "code": "theirs",
            "app": "app:create_app()",
        },
    ]


def test_evidence_says_what_a_factory_needs(tmp_path: Path) -> None:
    project(tmp_path, {"shop/__init__.py": NEEDY})
    assert [one.evidence for one in adoption.find_services(tmp_path)] == [
        "shop/__init__.py:3 builds a Flask app in create_app, which needs config: say how it starts"
    ]


@pytest.mark.parametrize(
    "folder",
    ["größe", "market data", 'a"b', "a'b", "a\nb", "a$(b)", "[[ x ]]", "{{ x }}", "🚀", "-rf", "a b#c"],
)
def test_a_service_whose_path_no_answer_takes_is_left_out_and_named(tmp_path: Path, folder: str) -> None:
    project(tmp_path, {f"services/{folder}/app.py": APP, "services/api/app.py": APP})
    reading = adoption.read(tmp_path)
    assert [one.name for one in reading.services] == ["api"]
    assert len(reading.notes) == 1
    assert reading.notes[0].startswith(
        f"services/{adoption.shown(folder)}: left out, a service's path takes ASCII"
    )
    assert reading.notes[0].isprintable()


@pytest.mark.parametrize("folder", ["ci", "config", "docs", "tests", "Config"])
def test_the_templates_own_folders_are_no_services(tmp_path: Path, folder: str) -> None:
    assert adoption.find_services(project(tmp_path, {f"{folder}/__init__.py": APP})) == []


def test_apps_that_are_part_of_no_service_are_seen(tmp_path: Path) -> None:
    files = {
        "orders/__init__.py": FACTORY,
        "orders/views/admin.py": APP,
        "services/api/app.py": APP,
        "services/api/old/app.py": APP,
    }
    reading = adoption.read(
        project(
            tmp_path, files | {"examples/small/app.py": APP, "tests/app.py": APP, "needy/__init__.py": NEEDY}
        )
    )
    assert [one.name for one in reading.services] == ["api"]
    assert [one.answer() for one in reading.others] == [
        {"name": "orders", "path": "orders", "kind": "web", "code": "theirs", "app": "orders:create_app()"}
    ]


def test_file_names_of_any_kind_do_no_harm(tmp_path: Path) -> None:
    names = [
        "a b.py",
        "a'b.py",
        'a"b.py',
        "a\nb.py",
        "🚀.py",
        "$(touch x).py",
        "-.py",
        ".hidden.py",
        "[% x %].py",
    ]
    project(tmp_path, dict.fromkeys(names, APP) | {"app.py": APP})
    assert brief(tmp_path)[0][1:] == (".", "web", "app:app")


@pytest.mark.skipif(sys.platform != "linux", reason="file names of stray bytes")
def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")).write_text("Flask(")
    assert adoption.read(tmp_path).notes == [
        rf"\udcff.py: not readable as Python {modules.RUNNING}: '(' was never closed, line 1; an app in it"
        r" was not seen"
    ]


def test_a_module_whose_name_cannot_be_imported_has_no_target(tmp_path: Path) -> None:
    assert [one.app for one in adoption.find_services(project(tmp_path, {"my app.py": APP}))] == [""]


UNREADABLE = {
    "a syntax error": (b"from flask import Flask\napp = = Flask()\n", "invalid syntax, line 2"),
    "Python 2": (
        b"from flask import Flask\nprint 'x'\napp = Flask()\n",
        "Missing parentheses in call to 'print'. Did you mean print(...)?, line 2",
    ),
    "binary": (b"Flask(\x00\x01\xff", "source code string cannot contain null bytes"),
    "not UTF-8": (
        b"from flask import Flask\napp = Flask('\xff')\n",
        "(unicode error) 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    ),
    "an unknown encoding": (
        b"# coding: klingon\nfrom flask import Flask\napp = Flask()\n",
        "unknown encoding: klingon",
    ),
    "too deep": (
        b"from flask import Flask\nx = Flask" + b"(" * 300 + b")" * 300,
        "too many nested parentheses, line 2",
    ),
    "too large": (
        b"from flask import Flask\napp = Flask()\n" + b"#" * 1_000_000,
        "more than 1,000,000 bytes",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_is_not_readable_is_named_and_the_rest_is_read(tmp_path: Path, case: str) -> None:
    text, reason = UNREADABLE[case]
    project(tmp_path, {"shop/__init__.py": APP})
    (tmp_path / "shop" / "broken.py").write_bytes(text)
    reading = adoption.read(tmp_path)
    assert [one.app for one in reading.services] == ["shop:app"]
    assert len(reading.notes) == 1
    # The parser's words differ between versions of Python.
    assert reading.notes[0].startswith("shop/broken.py: ")
    assert sys.version_info[:2] != (3, 11) or reason in reading.notes[0]


def test_a_chain_too_long_for_the_parser_does_no_harm(tmp_path: Path) -> None:
    project(tmp_path, {"app.py": APP, "long.py": APP + "x = " + "+".join(["1"] * 50_000)})
    assert brief(tmp_path)[0][3] == "app:app"


def test_a_broken_flask_script_is_not_taken_for_a_worker(tmp_path: Path) -> None:
    project(tmp_path, {"main.py": "from flask import Flask\nprint 'x'\napp = Flask()\n" + SCRIPT})
    reading = adoption.read(tmp_path)
    assert reading.services == []
    assert len(reading.notes) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    project(tmp_path, {"app.py": APP, "secret.py": APP})
    (tmp_path / "secret.py").chmod(0)
    reading = adoption.read(tmp_path)
    assert [one.app for one in reading.services] == ["app:app"]
    assert reading.notes == ["secret.py: not readable (Permission denied)"]


def test_a_file_that_vanishes_or_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, {"app.py": APP})

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(adoption, "open", refuse, raising=False)
    assert adoption.read(tmp_path).notes == ["app.py: not readable (Permission denied)"]


def test_loops_of_links_are_not_followed(tmp_path: Path) -> None:
    project(tmp_path, {"shop/__init__.py": APP})
    (tmp_path / "shop" / "again").symlink_to("..")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "gone.py").symlink_to("nowhere.py")
    (tmp_path / "services").symlink_to("shop")
    assert brief(tmp_path) == [("shop", "shop", "web", "shop:app")]


def test_no_code_of_the_project_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mark = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    project(
        tmp_path,
        {"shop/__init__.py": mark + "print('\\d')\n" + APP, "setup.py": mark, "worker.py": mark + SCRIPT},
    )
    adoption.read(tmp_path)
    proposals.propose(tmp_path)
    assert not (tmp_path / "ran").exists()
    assert capfd.readouterr() == ("", "")


def test_a_missing_project_has_nothing(tmp_path: Path) -> None:
    assert adoption.find_services(tmp_path / "new") == []
    assert adoption.find_services(project(tmp_path, {"file": ""}) / "file") == []


def test_each_file_is_opened_once_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Growth in seconds is the benchmark's: `make bench`."""
    body = "import json\n\n\nclass Thing:\n    def method(self):\n        return json.dumps({})\n"
    files = {
        f"shop/part{n % 40}/m{n}.py": ("from flask import request\n" if n % 4 else FLASK) + body
        for n in range(200)
    }
    project(tmp_path, files | {"shop/__init__.py": APP})
    opened: list[str] = []
    real = io.open
    monkeypatch.setattr(
        "builtins.open", lambda file, *rest, **more: opened.append(str(file)) or real(file, *rest, **more)
    )
    assert brief(tmp_path) == [("shop", "shop", "web", "shop:app")]
    sources = [file for file in opened if file.endswith(".py")]
    assert len(sources) == len(set(sources)) == 201


@pytest.mark.parametrize(
    ("files", "path", "expected"),
    [
        ({}, "services/api", False),
        ({"services/api/README.md": ""}, "services/api", False),
        ({"services/api/app.py": ""}, "services/api", True),
        ({"services/api/deep/er/x.py": ""}, "services/api", True),
        ({"services/api/tests/test_x.py": "", "services/api/conftest.py": ""}, "services/api", False),
        ({"services/api/.venv/x.py": ""}, "services/api", False),
        ({"main.py": ""}, ".", True),
        ({"tests/test_x.py": ""}, ".", False),
        ({"other.py": ""}, "services/../..", False),
        ({"services/api": ""}, "services/api", False),
    ],
)
def test_whether_a_service_given_by_name_is_theirs(
    tmp_path: Path, files: dict[str, str], path: str, expected: bool
) -> None:
    assert theirs(project(tmp_path, files), path) is expected


# What is proposed for the other answers


def test_proposals_without_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("git was called"))
    assert proposals.propose(tmp_path / "My_Shop 2.0") == {
        "project_name": "my-shop-2-0",
        "repository": "",
        "default_branch": "main",
        "python_version": "3.11",
    }


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("größe", "gre"),
        ("日本", "my-service"),
        ("--x--", "x"),
        ("2048", "service-2048"),
        ("yes", "yes-service"),
        ("A  b__c", "a-b-c"),
        ("x" * 200, "x" * 45),
    ],
)
def test_the_projects_name_comes_from_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert proposals.propose(tmp_path / folder)["project_name"] == name


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/acme/shop.git", "acme/shop"),
        ("https://github.com/acme/shop", "acme/shop"),
        ("https://github.com/acme/shop/", "acme/shop"),
        ("https://user:s3cret@github.com/acme/shop.js.git", "acme/shop.js"),
        ("https://s3cret@GitHub.com/acme/.github", "acme/.github"),
        ("git@github.com:acme/shop.git", "acme/shop"),
        ("ssh://git@github.com/acme/shop.git", "acme/shop"),
        ("ssh://git@github.com:22/acme/shop", "acme/shop"),
        ("https://gitlab.com/acme/shop.git", ""),
        ("https://github.com.evil.org/acme/shop", ""),
        ("https://evil.org/github.com/acme/shop", ""),
        ("https://github.com/acme/..", ""),
        ("https://github.com/acme", ""),
        ("https://github.com/acme/shop/tree/main", ""),
        ("https://github.com/a$(b)/shop", ""),
        ("/srv/git/shop.git", ""),
    ],
)
def test_the_repository_comes_from_origin_without_credentials(
    tmp_path: Path, url: str, expected: str
) -> None:
    repository(tmp_path, {})
    git(tmp_path, "remote", "add", "origin", url)
    assert proposals.propose(tmp_path)["repository"] == expected


def test_the_default_branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def branch(root: Path) -> str:
        return proposals.propose(root)["default_branch"]

    one = tmp_path / "one"
    one.mkdir()
    git(one, "init", "-b", "trunk")
    assert branch(one) == "trunk"  # without a commit
    git(one, "commit", "--allow-empty", "-m", "first")
    git(one, "checkout", "-b", "feature/x")
    assert branch(one) == "feature/x"
    git(one, "checkout", "trunk")
    git(one, "worktree", "add", "../tree", "feature/x")
    assert branch(tmp_path / "tree") == "feature/x"
    git(tmp_path, "clone", "one", "two")
    git(tmp_path / "two", "checkout", "-b", "feature/y")
    assert branch(tmp_path / "two") == "trunk"  # what origin says
    git(one, "checkout", "--detach")
    assert branch(one) == "main"
    git(one, "checkout", "-b", "größe")
    assert branch(one) == "main"
    monkeypatch.setenv("GIT_DIR", str(one / ".git"))  # as in a hook
    assert branch(tmp_path / "two") == "trunk"


def test_git_is_asked_twice_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path, {})
    calls = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: calls.append(a) or run(*a, **k))
    proposals.propose(tmp_path)
    assert len(calls) == 2


def test_no_git_on_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path, {"x": ""})
    monkeypatch.setenv("PATH", "")
    assert proposals.propose(tmp_path)["default_branch"] == "main"
    assert preflight.refusals(tmp_path, ["a"]) == []


def test_a_broken_git_folder(tmp_path: Path) -> None:
    project(tmp_path, {".git": "gitdir: nowhere\n", "x": ""})
    assert proposals.propose(tmp_path)["default_branch"] == "main"


PYTHONS = {
    "nothing": ({}, "3.11"),
    "requires-python": ({"pyproject.toml": '[project]\nrequires-python = ">=3.12,<4"\n'}, "3.12"),
    "too low": ({"pyproject.toml": '[project]\nrequires-python = ">=3.8"\n'}, "3.11"),
    "too high": ({"pyproject.toml": '[project]\nrequires-python = ">=3.15"\n'}, "3.14"),
    "compatible": ({"pyproject.toml": '[project]\nrequires-python = "~=3.13.1"\n'}, "3.13"),
    "exact": ({"pyproject.toml": '[project]\nrequires-python = "==3.12.*"\n'}, "3.12"),
    "only an upper bound": ({"pyproject.toml": '[project]\nrequires-python = "<3.13, !=3.12.1"\n'}, "3.11"),
    "Poetry": ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.12"\n'}, "3.12"),
    "Poetry, either": ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "~3.12 || ^3.14"\n'}, "3.12"),
    "Poetry, plain": ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "3.13"\n'}, "3.13"),
    "setup.cfg": ({"setup.cfg": "[options]\npython_requires = >=3.12\n"}, "3.12"),
    "setup.py": ({"setup.py": "setup(\n    python_requires='>=3.13',\n)\n"}, "3.13"),
    ".python-version": ({".python-version": "3.12.4\n"}, "3.12"),
    "a range before .python-version": (
        {"setup.cfg": "[options]\npython_requires = >=3.12\n", ".python-version": "3.14\n"},
        "3.12",
    ),
    "an environment's name": ({".python-version": "pypy3.10-7.3\n"}, "3.11"),
    "broken TOML": ({"pyproject.toml": "[project\n", ".python-version": "3.13"}, "3.13"),
    "a strange type": ({"pyproject.toml": "[project]\nrequires-python = 3.12\n"}, "3.11"),
    "strange words": ({"pyproject.toml": '[project]\nrequires-python = ">=three"\n'}, "3.11"),
    "huge numbers": ({"pyproject.toml": f'[project]\nrequires-python = ">=3.{"9" * 9999}"\n'}, "3.14"),
    "Python 2": ({"setup.cfg": "[options]\npython_requires = >=2.7\n"}, "3.11"),
}


@pytest.mark.parametrize("case", PYTHONS)
def test_the_lowest_python(tmp_path: Path, case: str) -> None:
    files, expected = PYTHONS[case]
    assert proposals.propose(project(tmp_path, files))["python_version"] == expected


def test_strange_things_where_files_should_be(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "setup.cfg", ".python-version"):
        (tmp_path / name).mkdir()
    (tmp_path / "setup.py").symlink_to("setup.py")
    assert proposals.propose(tmp_path)["python_version"] == "3.11"
    (tmp_path / ".copier-answers.yml").write_bytes(b"\xff\x00")
    assert preflight.refusals(tmp_path, [".copier-answers.yml"]) == []


def test_a_python_file_that_leads_nowhere_is_noted(tmp_path: Path) -> None:
    project(tmp_path, {"shop/__init__.py": APP})
    (tmp_path / "shop" / "old.py").symlink_to("gone.py")
    assert adoption.read(tmp_path).notes == ["shop/old.py: not readable (a symlink that leads to no file)"]
