"""Readiness against real servers: PostgreSQL, MariaDB, Redis and RabbitMQ, started here from Debian's
packages, as no root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.projects import Project
from tests.support.servers import Server, becomes, get, serving

pytest_plugins = ["tests.support.real_servers"]
pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(
        shutil.which("redis-server") is None,
        reason="redis-server is not installed: .ci/run installs the servers",
    ),
]

PACKAGE = """\
import os

import redis
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from pika import BlockingConnection, URLParameters

db = SQLAlchemy()
cache = redis.Redis.from_url(os.environ["REDIS_URL"])
BlockingConnection(URLParameters(os.environ["BROKER_URL"])).close()


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    db.init_app(app)
    from shop.health import init_service

    init_service(app, "shop")

    @app.get("/slow")
    def slow():
        import time

        time.sleep(0.05)
        return "done"

    return app
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Project:
    """An adopted project: what it checks is what was found in its source."""
    project = Project(tmp_path_factory.mktemp("adopted") / "shop", template)
    project.write("shop/__init__.py", PACKAGE)
    project.write("requirements.txt", "flask\nflask-sqlalchemy\npsycopg\nredis\npika\n")
    project.copy(level=2)
    required = {(one["kind"], one["target"]): one["required"] for one in project.answers()["readiness"]}
    assert required == {
        ("postgresql", "DATABASE_URL"): True,
        ("redis", "REDIS_URL"): False,
        ("rabbitmq", "BROKER_URL"): True,
    }
    return project


@pytest.fixture
def addresses(postgresql: Server, redis: Server, rabbitmq: Server) -> dict[str, str]:
    for server in (postgresql, redis, rabbitmq):
        if server.process is None:  # a test that failed has left it so
            server.start()
    return {
        "DATABASE_URL": f"postgresql+psycopg://shop:hunter2@127.0.0.1:{postgresql.port}/postgres",
        "REDIS_URL": f"redis://:hunter2@127.0.0.1:{redis.port}/0",
        "BROKER_URL": f"amqp://guest:guest@127.0.0.1:{rabbitmq.port}/%2F",
    }


@pytest.mark.parametrize(
    "options", [["--workers=2", "--preload"], ["--threads=4"]], ids=["preload", "threads"]
)
def test_readiness_follows_each_server_without_a_restart(
    shop: Project,
    addresses: dict[str, str],
    postgresql: Server,
    redis: Server,
    rabbitmq: Server,
    options: list[str],
) -> None:
    with serving(shop, *options, **addresses) as (address, _):
        becomes(address, 200, postgresql="pass", redis="pass", rabbitmq="pass")
        postgresql.stop()
        becomes(address, 503, postgresql="fail", redis="pass", rabbitmq="pass")
        postgresql.start()
        becomes(address, 200, postgresql="pass")
        redis.stop()
        becomes(address, 200, redis="warn", postgresql="pass")
        redis.start()
        becomes(address, 200, redis="pass")
        if "--preload" in options:  # RabbitMQ takes many seconds to start: once is enough
            rabbitmq.stop()
            becomes(address, 503, rabbitmq="fail", postgresql="pass")
            rabbitmq.start()
            becomes(address, 200, rabbitmq="pass")
        assert get(address + "/health")[0] == 200


def test_a_server_that_hangs_fails_within_the_deadline(
    shop: Project, addresses: dict[str, str], rabbitmq: Server
) -> None:
    with serving(shop, "--threads=4", **addresses) as (address, server):
        becomes(address, 200, rabbitmq="pass")
        with rabbitmq.hanging():
            becomes(address, 503, rabbitmq="fail")
            begun = time.monotonic()
            server.terminate()
            assert server.wait(20) == 0
            assert time.monotonic() - begun < 8  # a probe that hangs holds no process


def test_the_token_shows_why_and_no_password(shop: Project, addresses: dict[str, str], redis: Server) -> None:
    wrong = addresses["REDIS_URL"].replace("hunter2", "hunter2-wrong")
    with serving(shop, **{**addresses, "REDIS_URL": wrong, "HEALTH_TOKEN": "let-me-in"}) as (address, _):
        assert get(address + "/readiness")[1]["checks"]["redis"] == {"status": "warn", "required": False}
        detailed = get(address + "/readiness", Authorization="Bearer let-me-in")[1]["checks"]["redis"]
        assert (detailed["error"], detailed["about"]) == ("AuthenticationError", "redis at REDIS_URL")


@pytest.mark.parametrize(
    "options",
    [["--workers=2"], ["--workers=2", "--preload"], ["--threads=8"]],
    ids=["sync", "preload", "threads"],
)
def test_sigterm_under_load_fails_no_request(
    shop: Project, addresses: dict[str, str], options: list[str]
) -> None:
    """Callers ask readiness as a balancer does, and stop sending once it says no.

    Until then nothing they send may fail.
    """
    refused = threading.Event()
    failed: list[Any] = []
    done: list[int] = []

    def caller(address: str) -> None:
        while not refused.is_set():
            code, body = get(address + "/slow")
            (done if (code, body) == (200, b"done") else failed).append(code)

    with (
        serving(shop, *options, **addresses, DRAIN_SECONDS="3") as (address, server),
        ThreadPoolExecutor(8) as pool,
    ):
        for _ in range(10):  # each worker has been asked once
            assert get(address + "/readiness")[0] == 200
        for _ in range(6):
            pool.submit(caller, address)
        time.sleep(1)
        server.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        while not refused.is_set():
            code, body = get(address + "/readiness")
            if code == 503:
                assert body["checks"] == {"shutdown": {"status": "fail", "required": True}}
                assert get(address + "/health")[0] == 200
                refused.set()
            elif time.monotonic() - begun > 3:
                failed.append(("readiness", code, body))
                refused.set()
        assert server.wait(20) == 0
    assert failed == []
    assert len(done) > 20


TOKEN = {"HTTP_AUTHORIZATION": "Bearer let-me-in"}


@pytest.mark.parametrize("driver", ["psycopg", "pymysql", "redis", "pika"])
def test_a_worker_is_asked_by_the_driver_that_it_has(
    project: Project,
    addresses: dict[str, str],
    mariadb: Server,
    postgresql: Server,
    redis: Server,
    rabbitmq: Server,
    driver: str,
) -> None:
    """Without Flask-SQLAlchemy and kombu the probe opens a connection of its own."""
    kind, server, address = {
        "psycopg": ("postgresql", postgresql, addresses["DATABASE_URL"]),
        "pymysql": ("mysql", mariadb, f"mysql+pymysql://root:@127.0.0.1:{mariadb.port}/mysql"),
        "redis": ("redis", redis, addresses["REDIS_URL"]),
        "pika": ("rabbitmq", rabbitmq, addresses["BROKER_URL"]),
    }[driver]
    readiness = [{"service": "bot", "kind": kind, "target": "TARGET", "required": True}]
    project.copy(services=[{"name": "bot", "kind": "worker"}], readiness=readiness)
    hide = "import sys\nsys.modules['kombu'] = None\n" if driver == "pika" else ""
    code = (
        f"{hide}import health\nprint(health.Health(None, None,"
        f" 'bot').readiness({TOKEN})['checks'][{kind!r}]['error'])\n"
    )

    def error() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=project.folder / "services/bot",
            env={**os.environ, "TARGET": address, "HEALTH_TOKEN": "let-me-in"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "hunter2" not in done.stdout + done.stderr
        return done.stdout.strip() or done.stderr

    assert error() == "None"
    if driver != "pika":
        server.stop()
        assert "Error" in error()
        server.start()
