"""Readiness against real servers: PostgreSQL, MariaDB, Redis and RabbitMQ, started here from Debian's packages, as no root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.projects import Project

pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed: .ci/run installs the servers"),
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
DEADLINE = 2.0  # health.py's


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Server:
    """A server process of this test's own, in a folder of its own; it can be stopped and started again on its port."""

    def __init__(self, command: Callable[[Path, int], list[str]], folder: Path, **environment: str) -> None:
        self.port, self.folder = free_port(), folder
        self.command = command(folder, self.port)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *command: str) -> None:
        done = subprocess.run(command, **self._options(), capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stdout!r} {done.stderr!r}"

    def start(self) -> None:
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, **self._options(), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, log.read_text(errors="replace")[-3000:]
                time.sleep(0.1)

    def stop(self) -> None:
        """As a machine that goes away does: at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
            self.process = None

    def _options(self) -> dict[str, Any]:
        """PostgreSQL and RabbitMQ refuse to run as root."""
        nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        return {"cwd": self.folder, "env": self.environment, **nobody}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where servers keep their data. pytest's own folder is closed to other users, and too long for a socket's path."""
    path = Path(tempfile.mkdtemp(prefix="readiness."))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def own_folder(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    if os.geteuid() == 0:
        shutil.chown(path, "nobody", "nogroup")
    return path


@pytest.fixture(scope="module")
def postgresql(folder: Path) -> Iterator[Server]:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    server = Server(
        lambda data, port: [str(programs / "postgres"), "-D", str(data / "db"), "-p", str(port), "-k", str(data), "-h", "127.0.0.1"],
        own_folder(folder, "postgresql"),
    )
    (server.folder / "password").write_text("hunter2")
    server.run(str(programs / "initdb"), "-D", str(server.folder / "db"), "-U", "shop", "-A", "scram-sha-256", "--pwfile=password", "-N")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def mariadb(folder: Path) -> Iterator[Server]:
    def command(data: Path, port: int) -> list[str]:
        address = ["--bind-address=127.0.0.1", f"--port={port}", f"--socket={data}/socket", f"--pid-file={data}/pid"]
        return ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={data}/db", *address]

    server = Server(command, own_folder(folder, "mariadb"))
    server.run(
        "mariadb-install-db", "--no-defaults", f"--datadir={server.folder}/db", "--skip-test-db", "--auth-root-authentication-method=normal"
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def redis(folder: Path) -> Iterator[Server]:
    server = Server(
        lambda data, port: ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "hunter2"],
        own_folder(folder, "redis"),
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def rabbitmq(folder: Path) -> Iterator[Server]:
    names = free_port()
    data = own_folder(folder, "rabbitmq")
    # Its node is found by Erlang's names daemon, which would stay behind if RabbitMQ started it itself.
    daemon = Server(lambda data, port: ["epmd", "-port", str(names)], own_folder(folder, "epmd"))
    daemon.port = names
    daemon.start()
    server = Server(
        lambda data, port: ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
        data,
        ERL_EPMD_PORT=str(names),
        RABBITMQ_NODENAME="readiness@localhost",
        RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
        RABBITMQ_DIST_PORT=str(free_port()),
        RABBITMQ_MNESIA_BASE=str(data),
        RABBITMQ_LOG_BASE=str(data),
        RABBITMQ_LOGS="-",
        RABBITMQ_PID_FILE=str(data / "pid"),
        RABBITMQ_ENABLED_PLUGINS_FILE=str(data / "plugins"),
        RABBITMQ_CONFIG_FILE=str(data / "none"),
        RABBITMQ_CONF_ENV_FILE=str(data / "none"),
    )
    server.environment["RABBITMQ_NODE_PORT"] = str(server.port)
    server.start()
    yield server
    server.stop()
    daemon.stop()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Project:
    """An adopted project: what it checks is what was found in its source."""
    project = Project(tmp_path_factory.mktemp("adopted") / "shop", template)
    project.write("shop/__init__.py", PACKAGE)
    project.write("requirements.txt", "flask\nflask-sqlalchemy\npsycopg\nredis\npika\n")
    project.copy()
    required = {(one["kind"], one["target"]): one["required"] for one in project.answers()["readiness"]}
    assert required == {("postgresql", "DATABASE_URL"): True, ("redis", "REDIS_URL"): False, ("rabbitmq", "BROKER_URL"): True}
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


@contextmanager
def serving(project: Project, *options: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The project's service under gunicorn: its address and its process."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--bind", f"127.0.0.1:{port}", *options, "shop:create_app()"]
    log = project.folder.parent / f"gunicorn-{port}.txt"
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=project.folder, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 30
        while get(address + "/health")[0] != 200:
            assert server.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield address, server
        assert "hunter2" not in log.read_text()
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait(20)


def get(url: str, **headers: str) -> tuple[int, Any]:
    """Status and body of a GET; 0 where nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as response:
            body, code = response.read(), response.status
    except urllib.error.HTTPError as error:
        body, code = error.read(), error.code
    except OSError:
        return 0, None
    assert b"hunter2" not in body
    return code, json.loads(body) if body[:1] == b"{" else body


def becomes(address: str, code: int, **states: str) -> None:
    """Wait until readiness is this, while old answers are kept and servers come up. No answer takes longer than the deadline."""
    end = time.monotonic() + 20
    while True:
        begun = time.monotonic()
        found, body = get(address + "/readiness")
        assert time.monotonic() - begun < DEADLINE + 1
        now = {name: state["status"] for name, state in body["checks"].items()} if body else {}
        if found == code and all(now.get(name) == state for name, state in states.items()):
            return
        assert time.monotonic() < end, (found, body)
        time.sleep(0.2)


@pytest.mark.parametrize("options", [["--workers=2", "--preload"], ["--threads=4"]], ids=["preload", "threads"])
def test_readiness_follows_each_server_without_a_restart(
    shop: Project, addresses: dict[str, str], postgresql: Server, redis: Server, rabbitmq: Server, options: list[str]
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


def test_a_server_that_hangs_fails_within_the_deadline(shop: Project, addresses: dict[str, str], rabbitmq: Server) -> None:
    """It still takes connections, and answers none: the system does that for a process that is stopped."""
    assert rabbitmq.process is not None
    with serving(shop, "--threads=4", **addresses) as (address, server):
        becomes(address, 200, rabbitmq="pass")
        os.killpg(rabbitmq.process.pid, signal.SIGSTOP)
        try:
            becomes(address, 503, rabbitmq="fail")
            begun = time.monotonic()
            server.terminate()
            assert server.wait(20) == 0
            assert time.monotonic() - begun < 8  # a probe that hangs holds no process
        finally:
            os.killpg(rabbitmq.process.pid, signal.SIGCONT)


def test_the_token_shows_why_and_no_password(shop: Project, addresses: dict[str, str], redis: Server) -> None:
    wrong = addresses["REDIS_URL"].replace("hunter2", "hunter2-wrong")
    with serving(shop, **{**addresses, "REDIS_URL": wrong, "HEALTH_TOKEN": "let-me-in"}) as (address, _):
        assert get(address + "/readiness")[1]["checks"]["redis"] == {"status": "warn", "required": False}
        detailed = get(address + "/readiness", Authorization="Bearer let-me-in")[1]["checks"]["redis"]
        assert (detailed["error"], detailed["about"]) == ("AuthenticationError", "redis at REDIS_URL")


@pytest.mark.parametrize("options", [["--workers=2"], ["--workers=2", "--preload"], ["--threads=8"]], ids=["sync", "preload", "threads"])
def test_sigterm_under_load_fails_no_request(shop: Project, addresses: dict[str, str], options: list[str]) -> None:
    """Callers ask readiness as a balancer does, and stop sending once it says no. Until then nothing they send may fail."""
    refused = threading.Event()
    failed: list[Any] = []
    done: list[int] = []

    def caller(address: str) -> None:
        while not refused.is_set():
            code, body = get(address + "/slow")
            (done if (code, body) == (200, b"done") else failed).append(code)

    with serving(shop, *options, **addresses, DRAIN_SECONDS="3") as (address, server), ThreadPoolExecutor(8) as pool:
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


@pytest.mark.parametrize("driver", ["psycopg", "pymysql", "redis", "pika"])
def test_a_worker_is_asked_by_the_driver_that_it_has(
    project: Project, addresses: dict[str, str], mariadb: Server, postgresql: Server, redis: Server, rabbitmq: Server, driver: str
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
    code = f"{hide}import health\nr = health.Readiness(None, 0)\nprint(r.answer(True)['checks'][{kind!r}]['error'])\n"

    def error() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=project.folder / "services/bot",
            env={**os.environ, "TARGET": address},
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
