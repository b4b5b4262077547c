"""Which application of a repository runs, by evidence, and what runs beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from extensions.rendering import adoption
from extensions.source import commands, launches
from tests.support.strangers import project

FLASK = "from flask import Flask\n"
APP = FLASK + "app = Flask(__name__)\n"
ROUTED = APP + "@app.route('/')\ndef index(): return ''\n"
BARE = FLASK + "def create_app():\n    app = Flask(__name__)\n    return app\n"
FACTORY = BARE.replace("    return", "    from .views import bp\n    app.register_blueprint(bp)\n    return")
SERVED = "from app import app\nif __name__ == '__main__':\n    app.run()\n"
CELERY = "from celery import Celery\ncelery = Celery('shop')\n@celery.task\ndef work(): pass\n"
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
SCRIPT = "import time\nif __name__ == '__main__':\n    time.sleep(1)\n"
BOT = "from telegram.ext import Application\ndef main():\n    Application.builder().build().run_polling()\n"
BOT += "if __name__ == '__main__':\n    main()\n"

# What stands there, and the path and start of the web service.
RIGHT: dict[str, tuple[dict[str, str], list[tuple[str, str]]]] = {
    "the app is handed to a module with an unused app of its own": (
        {
            "main.py": "import routes\n" + APP + "routes.init_app(app)\n",
            "routes.py": APP + "def init_app(app):\n    @app.route('/')\n    def index(): return ''\n",
        },
        [(".", "main:app")],
    ),
    "handed to a function by any name that adds routes": (
        {
            "core.py": "from urls import attach\n" + APP + "attach(app)\n",
            "urls.py": "def attach(app):\n    app.add_url_rule('/', view_func=print)\n",
            "apps.py": APP,
        },
        [(".", "core:app")],
    ),
    "handed to an extension of REST": (
        {"api.py": "from flask_restful import Api\n" + APP + "api = Api(app)\n", "admin.py": APP},
        [(".", "api:app")],
    ),
    "handed on inside the factory": (
        {"web.py": BARE.replace("    return", "    register_routes(app)\n    return"), "a.py": BARE},
        [(".", "web:create_app()")],
    ),
    "a Flask that is only Celery's context": (
        {
            "celery_app.py": FLASK + "flask_app = Flask(__name__)\ncelery = make_celery(flask_app)\n",
            "web.py": ROUTED,
        },
        [(".", "web:app")],
    ),
    "a context for a script, beside the app that a guard serves": (
        {
            "a_chore.py": APP + "db.init_app(app)\n",
            "web.py": APP + "if __name__ == '__main__':\n    app.run()\n",
        },
        [(".", "web:app")],
    ),
    "an app beside the factory that has the routes": (
        {"shop/__init__.py": FACTORY + "app = Flask(__name__)\n", "shop/views.py": "bp = 1\n"},
        [("shop", "shop:create_app()")],
    ),
    "the same in one module": ({"app.py": FACTORY + "app = Flask(__name__)\n"}, [(".", "app:create_app()")]),
    "a bare factory whose app another module decorates": (
        {
            "base.py": BARE,
            "ads.py": "from base import create_app\napp = create_app()\n@app.route('/')\ndef index(): return ''\n",
        },
        [(".", "ads:app")],
    ),
    "a subclass by any name, made in another file": (
        {
            "core.py": FLASK + "class ShopApp(Flask): pass\n",
            "web.py": "from core import ShopApp\nsite = ShopApp(__name__)\n@site.route('/')\ndef i(): return ''\n",
        },
        [(".", "web:site")],
    ),
    "a subclass of a subclass": (
        {
            "base.py": FLASK + "class Base(Flask): pass\n",
            "more.py": "from base import Base\nclass More(Base): pass\n",
            "serve.py": "import more\nfrom more import More\napp = More('x')\n",
        },
        [(".", "serve:app")],
    ),
    "a factory by an unusual name": (
        {
            "shop/__init__.py": "",
            "shop/factory.py": FLASK + "def build_site(name):\n    site = Flask(name)\n    return site\n",
            "start.py": "from shop.factory import build_site\nsite = build_site('x')\n",
        },
        [("shop", "start:site")],
    ),
    "application as the name": (
        {"app.py": ROUTED.replace("app =", "application =").replace("@app", "@application")},
        [(".", "app:application")],
    ),
    "application beside an idle app": (
        {"a.py": APP, "b.py": ROUTED.replace("app =", "application =").replace("@app", "@application")},
        [(".", "b:application")],
    ),
    "routes that other modules add to the app": (
        {
            "a.py": APP,
            "web/__init__.py": "",
            "core.py": APP,
            "pages.py": "from core import app\n@app.route('/')\ndef index(): return ''\n",
        },
        [(".", "core:app")],
    ),
    "a folder that is run from inside, with a package beside": (
        {
            "gate/__init__.py": "",
            "gate/app.py": "from routes import pages\n" + ROUTED,
            "gate/routes/__init__.py": "pages = 1\n",
        },
        [("gate", "app:app")],
    ),
    "the same with a package of no __init__": (
        {"gate/__init__.py": "", "gate/app.py": "import views.a\n" + ROUTED, "gate/views/a.py": ""},
        [("gate", "app:app")],
    ),
    "a package that imports itself by name": (
        {
            "gate/__init__.py": "",
            "gate/app.py": "from gate.db import x\n" + ROUTED,
            "gate/db/__init__.py": "x=1",
        },
        [("gate", "gate.app:app")],
    ),
    "a Procfile": (
        {"Procfile": "web: gunicorn two:app\n", "one.py": ROUTED, "two.py": APP},
        [(".", "two:app")],
    ),
    "a Dockerfile": (
        {
            "Dockerfile": 'FROM python\nCMD ["gunicorn", "-b", "0.0.0.0:80", "two:app"]\n',
            "one.py": ROUTED,
            "two.py": APP,
        },
        [(".", "two:app")],
    ),
    "a compose file with a folder of its own": (
        {
            "compose.yaml": "services:\n  web:\n    build: ./site\n    command: flask --app two run\n",
            "site/one.py": ROUTED,
            "site/two.py": APP,
        },
        [("site", "two:app")],
    ),
    "a systemd unit": (
        {
            "deploy/shop.service": "[Service]\nWorkingDirectory=/srv/shop\nExecStart=/srv/shop/.venv/bin/gunicorn two:app\n",
            "one.py": ROUTED,
            "two.py": APP,
        },
        [(".", "two:app")],
    ),
    "FLASK_APP in .flaskenv": (
        {".flaskenv": "FLASK_APP=two.py\n", "one.py": ROUTED, "two.py": APP},
        [(".", "two:app")],
    ),
    "gunicorn.conf.py": (
        {"gunicorn.conf.py": "bind = ':80'\nwsgi_app = 'two:app'\n", "one.py": ROUTED, "two.py": APP},
        [(".", "two:app")],
    ),
    "uwsgi.ini": (
        {"uwsgi.ini": "[uwsgi]\nwsgi-file = two.py\ncallable = app\n", "one.py": ROUTED, "two.py": APP},
        [(".", "two:app")],
    ),
    "a package's script": (
        {
            "pyproject.toml": "[project]\nname='x'\n[project.scripts]\nshop = 'shop.cli:main'\n",
            "shop/__init__.py": "",
            "shop/cli.py": "from shop.two import app\ndef main():\n    app.run()\n",
            "shop/one.py": ROUTED,
            "shop/two.py": APP,
        },
        [("shop", "shop.two:app")],
    ),
    "a script of Poetry": (
        {
            "pyproject.toml": "[tool.poetry.scripts]\nserve = 'two:main'\n",
            "one.py": ROUTED,
            "two.py": APP + "def main():\n    app.run()\n",
        },
        [(".", "two:app")],
    ),
    "a Makefile": (
        {"Makefile": "run:\n\tFLASK_APP=two flask run\n", "one.py": ROUTED, "two.py": APP},
        [(".", "two:app")],
    ),
    "CI": (
        {
            ".github/workflows/e2e.yml": "jobs:\n  x:\n    steps:\n      - run: gunicorn two:app &\n",
            "one.py": APP,
            "two.py": APP,
        },
        [(".", "two:app")],
    ),
    "an entry script of the image": (
        {
            "Dockerfile": 'ENTRYPOINT ["/entrypoint.sh"]\n',
            "docker/entrypoint.sh": '#!/bin/sh\nexec gunicorn \\\n  --workers "${N:-2}" \\\n  two:app\n',
            "one.py": ROUTED,
            "two.py": APP,
        },
        [(".", "two:app")],
    ),
    "a platform's file": (
        {"render.yaml": "services:\n  - startCommand: gunicorn two:app\n", "one.py": ROUTED, "two.py": APP},
        [(".", "two:app")],
    ),
    "supervisor": (
        {"supervisord.conf": "[program:web]\ncommand=gunicorn two:app\n", "one.py": ROUTED, "two.py": APP},
        [(".", "two:app")],
    ),
    "a script that serves what it imports": (
        {"Procfile": "web: python serve.py\n", "app.py": APP, "a.py": ROUTED, "serve.py": SERVED},
        [(".", "app:app")],
    ),
    "waitress in a script": (
        {
            "Procfile": "web: python serve.py\n",
            "app.py": APP,
            "a.py": ROUTED,
            "serve.py": "from waitress import serve\nfrom app import app\nserve(app, port=80)\n",
        },
        [(".", "app:app")],
    ),
    "an app that is made for servers only": (
        {
            "appserver.py": (
                "from shop import create_app\nif __name__ == '__main__':\n    app = create_app()\n    app.run()\n"
                "else:\n    served = create_app()\n"
            ),
            "shop/__init__.py": BARE,
            "Dockerfile": "CMD exec gunicorn --bind 0.0.0.0:$PORT appserver:served\n",
        },
        [("shop", "appserver:served")],
    ),
    "gunicorn's --chdir": (
        {
            "Procfile": "web: gunicorn wsgi --chdir ./src/\n",
            "src/wsgi.py": "from app import app as application\n",
            "src/app.py": ROUTED,
        },
        [("src", "wsgi:application")],
    ),
    "a module of the package's own name beside it": (
        {
            "Makefile": "serve:\n\tFLASK_APP=app flask run\n",
            "app.py": "from shop.app import create_app\napplication = create_app(config='x')\n",
            "shop/__init__.py": "",
            "shop/app.py": BARE.replace("()", "(config='y')"),
        },
        [(".", "app:application")],
    ),
    "a monorepo of folders that are called alike": (
        {"users/app/__init__.py": FACTORY, "users/app/views.py": "bp = 1", "orders/app/__init__.py": FACTORY},
        [("orders/app", "app:create_app()"), ("users/app", "app:create_app()")],
    ),
    "Django": (
        {
            "manage.py": "import django\n" + SCRIPT,
            "site_/wsgi.py": "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
        },
        [("site_", "wsgi:application")],
    ),
    "FastAPI": ({"main.py": FASTAPI}, [(".", "uvicorn main:app")]),
    "FastAPI behind gunicorn": (
        {
            "Procfile": "web: gunicorn -k uvicorn.workers.UvicornWorker api.main:app\n",
            "api/__init__.py": "",
            "api/main.py": FASTAPI,
        },
        [("api", "uvicorn api.main:app")],
    ),
    "Quart by a factory": (
        {"shop.py": "from quart import Quart\ndef create_app():\n    app = Quart('x')\n    return app\n"},
        [(".", "uvicorn shop:create_app()")],
    ),
    "Starlette, Django's ASGI beside its WSGI": (
        {
            "mysite/__init__.py": "",
            "mysite/asgi.py": "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n",
            "mysite/wsgi.py": "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
        },
        [("mysite", "mysite.wsgi:application")],
    ),
    "Bottle": ({"app.py": "import bottle\napp = bottle.Bottle()\n"}, [(".", "app:app")]),
    "Dash": (
        {"app.py": "from dash import Dash\ndash = Dash('x')\nserver = dash.server\n"},
        [(".", "app:server")],
    ),
}


def services(root: Path) -> list[tuple[str, str, str, str]]:
    return [(one.name, one.path, one.kind, one.app) for one in adoption.find_services(root)]


@pytest.mark.parametrize("shape", RIGHT)
def test_the_application_that_runs_is_found(tmp_path: Path, shape: str) -> None:
    files, expected = RIGHT[shape]
    found = services(project(tmp_path / "project", files))
    assert [(path, app) for _, path, kind, app in found if kind == "web"] == expected


BESIDE: dict[str, tuple[dict[str, str], list[tuple[str, str, str]]]] = {
    "Celery's worker and beat in a Procfile": (
        {
            "Procfile": "web: gunicorn shop:app\nworker: celery -A shop.tasks worker -l info\nbeat: celery -A shop.tasks beat\n",
            "shop/__init__.py": ROUTED,
            "shop/tasks.py": CELERY,
        },
        [
            ("worker", "shop", "celery -A shop.tasks worker -l info"),
            ("beat", "shop", "celery -A shop.tasks beat"),
        ],
    ),
    "workers of several queues in compose": (
        {
            "docker-compose.yml": (
                "x-app: &app\n  build: .\nservices:\n  mail-worker-dev: &w\n    <<: *app\n"
                "    command: celery --app tasks worker --loglevel=${LEVEL} --queues mail\n"
                "  mail-worker-prod:\n    <<: *w\n"
                "  slow:\n    <<: *app\n    command: ['celery', '-A', 'tasks', 'worker', '-Q', 'slow']\n"
            ),
            "app.py": ROUTED,
            "tasks.py": CELERY,
        },
        [
            ("mail-worker", ".", "celery --app tasks worker --queues mail"),
            ("slow", ".", "celery -A tasks worker -Q slow"),
        ],
    ),
    "a worker that a watcher starts again": (
        {
            "compose.yml": "services:\n  worker:\n    build: ./web\n    command: watchmedo auto-restart --pattern=*.py -- celery --app jobs.celery worker\n",
            "web/app.py": ROUTED,
            "web/jobs.py": CELERY,
        },
        [("worker", "web", "celery --app jobs.celery worker")],
    ),
    "Celery that nothing starts": (
        {"app.py": ROUTED, "tasks.py": CELERY + "celery.conf.beat_schedule = {}\n"},
        [("worker", ".", "celery -A tasks worker"), ("beat", ".", "celery -A tasks beat")],
    ),
    "RQ": (
        {"Procfile": "web: gunicorn app:app\nworker: rq worker high low\n", "app.py": ROUTED},
        [("worker", ".", "rq worker high low")],
    ),
    "RQ by a script": (
        {
            "app.py": ROUTED,
            "worker.py": "from rq import Worker\nif __name__ == '__main__':\n    Worker(['x']).work()\n",
        },
        [("worker", ".", "worker.py")],
    ),
    "a bot beside an API": ({"app.py": ROUTED, "bot/main.py": BOT}, [("bot", "bot", "main.py")]),
    "a bot of Discord": (
        {"app.py": ROUTED, "discord_bot.py": "import discord\nbot = discord.Client()\nbot.run('x')\n"},
        [("discord-bot", ".", "discord_bot.py")],
    ),
    "a bot that is a module, in compose": (
        {
            "compose.yml": "services:\n  bot:\n    build: .\n    command: poetry run python -m src.bot.main\n",
            "src/bot/main.py": BOT,
            "src/bot/__init__.py": "",
            "src/__init__.py": "",
            "app.py": ROUTED,
        },
        [("bot", "src", "src.bot.main")],
    ),
    "a script with words, in a Procfile": (
        {
            "Procfile": "web: gunicorn app:app\nfeed-1: python feed.py live\nfeed-2: python feed.py live\n",
            "app.py": ROUTED,
            "feed.py": SCRIPT,
        },
        [("feed", ".", "python feed.py live")],
    ),
    "a script of an image": (
        {
            "web/app.py": ROUTED,
            "consumer/Dockerfile": 'WORKDIR /app\nCOPY . .\nCMD ["python", "-u", "run.py"]\n',
            "consumer/run.py": SCRIPT,
        },
        [("consumer", "consumer", "run.py")],
    ),
    "a unit's script": (
        {
            "app.py": ROUTED,
            "deploy/poller.service": "[Service]\nExecStart=/srv/x/venv/bin/python poll.py\n",
            "poll.py": SCRIPT,
        },
        [("poller", ".", "poll.py")],
    ),
    "dramatiq": (
        {
            "Procfile": "jobs: dramatiq tasks\nweb: gunicorn app:app\n",
            "app.py": ROUTED,
            "tasks.py": "import dramatiq\n",
        },
        [("jobs", ".", "dramatiq tasks")],
    ),
    "a command of manage.py": (
        {
            "Procfile": "release: python manage.py migrate\nqueue: python manage.py qcluster\n",
            "manage.py": "import django\n" + SCRIPT,
            "app.py": ROUTED,
        },
        [("queue", ".", "python manage.py qcluster")],
    ),
    "what runs once is none": (
        {
            "compose.yml": "services:\n  migrate:\n    build: .\n    command: python migrate.py\n  web:\n    build: .\n    command: sh -c 'python seed.py && gunicorn app:app'\n",
            "app.py": ROUTED,
            "migrate.py": SCRIPT,
            "seed.py": SCRIPT,
        },
        [],
    ),
    "a script that is nowhere started is none": (
        {"app.py": ROUTED, "report.py": SCRIPT, "scripts/send.py": BOT},
        [],
    ),
    "the web application's own script is none": (
        {
            "Procfile": "web: python app.py\n",
            "app.py": ROUTED + "if __name__ == '__main__':\n    app.run()\n",
        },
        [],
    ),
}


@pytest.mark.parametrize("shape", BESIDE)
def test_what_runs_beside_the_application_is_found(tmp_path: Path, shape: str) -> None:
    files, expected = BESIDE[shape]
    found = services(project(tmp_path / "project", files))
    assert [(name, path, app) for name, path, kind, app in found if kind == "worker"] == expected


def test_services_are_called_by_the_folder_that_tells_something(tmp_path: Path) -> None:
    files = {f"{folder}/__init__.py": ROUTED for folder in ("users/app", "orders/app", "stock/src/app")}
    assert [name for name, *_ in services(project(tmp_path / "x", files))] == ["orders", "stock", "users"]
    alike = {"users/api/__init__.py": ROUTED, "orders/api/__init__.py": ROUTED}
    assert [name for name, *_ in services(project(tmp_path / "y", alike))] == ["orders-api", "users-api"]


def test_evidence_says_what_starts_the_application_and_which_other_there_was(tmp_path: Path) -> None:
    started = {"Procfile": "\nweb: gunicorn two:app\n", "one.py": ROUTED, "two.py": ROUTED}
    told = [one.evidence for one in adoption.find_services(project(tmp_path / "x", started))]
    assert told == ["two.py:2 builds the Flask app app, started by Procfile:2; not taken: one:app (one.py:2)"]
    told = [
        one.evidence
        for one in adoption.find_services(project(tmp_path / "y", {"one.py": ROUTED, "two.py": ROUTED}))
    ]
    assert told == ["one.py:2 builds the Flask app app; not taken: two:app (two.py:2)"]


def test_other_frameworks_are_named_as_what_they_are(tmp_path: Path) -> None:
    found = adoption.find_services(project(tmp_path, {"main.py": FASTAPI}))
    assert [(one.framework, one.evidence) for one in found] == [
        ("FastAPI", "main.py:2 builds the FastAPI app app")
    ]


COMMANDS = {
    "gunicorn -w 4 -b localhost:8000 shop.web:app": ("wsgi", "shop.web", "app"),
    "gunicorn -c python:conf.gunicorn 'shop:create_app()'": ("wsgi", "shop", "create_app()"),
    "exec gunicorn --reload wsgi": ("wsgi", "wsgi", ""),
    "poetry run uvicorn --factory shop.main:make --port 80": ("asgi", "shop.main", "make()"),
    "uv run --frozen --no-sync python -m uvicorn main:app": ("asgi", "main", "app"),
    "pipenv run flask --app shop:create_app run": ("flask", "shop", "create_app"),
    "FLASK_APP=src/shop.py flask run -p 80": ("flask", "src.shop", ""),
    "waitress-serve --call shop:create_app": ("wsgi", "shop", "create_app()"),
    "uwsgi --http :80 --module shop.wsgi:application": ("wsgi", "shop.wsgi", "application"),
    "fastapi run app/main.py": ("asgi", "app.main", ""),
    "newrelic-admin run-program gunicorn a:b": ("wsgi", "a", "b"),
    "./wait-for-it.sh db:5432 -- gunicorn a:b": ("wsgi", "a", "b"),
    "/app/.venv/bin/python -u -m gunicorn a:b": ("wsgi", "a", "b"),
    "python manage.py migrate": None,
    "flask db upgrade": None,
    "python -c 'print(1)'": None,
    "pip install -r requirements.txt": None,
    "celery -A x flower": None,
}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_says_what_it_starts(line: str) -> None:
    words = commands.split(line)[0]
    found = launches.launch(commands.Command("x", 1, tuple(words), 100))
    assert (found and (found.kind, found.module, found.call)) == COMMANDS[line]


def test_no_file_of_commands_breaks_the_reading(tmp_path: Path) -> None:
    broken = {
        "Procfile": "web: gunicorn 'unclosed\n: : :\n",
        "docker-compose.yml": "services: [a, {b: *c\n",
        "compose.yaml": "services:\n  - x\n",
        "Dockerfile": "CMD [\nENTRYPOINT [1, 2]\nCOPY\nWORKDIR\n",
        "package.json": '{"scripts": [1]}',
        "pyproject.toml": "[project\n",
        "Pipfile": "[scripts]\nx = 1\n",
        "uwsgi.ini": "no section\n",
        "supervisord.conf": "[program:x]\ncommand=\n",
        "app.service": "ExecStart=\n",
        "run.sh": "exec gunicorn \\\n",
        "render.yaml": "startCommand:\n",
    }
    assert services(project(tmp_path / "project", broken | {"app.py": ROUTED})) == [
        ("project", ".", "web", "app:app")
    ]
