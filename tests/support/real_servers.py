"""Fixtures: real servers, from Debian's packages and from PyPI. A test file takes them with
`pytest_plugins`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import PythonServer, Server, free_port, own_folder


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where servers keep their data. pytest's own folder is closed to other users, and too long for a
    socket's path.
    """
    path = Path(tempfile.mkdtemp(prefix="readiness."))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def postgresql(folder: Path) -> Iterator[Server]:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    server = Server(
        lambda data, port: [
            str(programs / "postgres"),
            "-D",
            str(data / "db"),
            "-p",
            str(port),
            "-k",
            str(data),
            "-h",
            "127.0.0.1",
        ],
        own_folder(folder, "postgresql"),
    )
    (server.folder / "password").write_text("hunter2")
    server.run(
        str(programs / "initdb"),
        "-D",
        str(server.folder / "db"),
        "-U",
        "shop",
        "-A",
        "scram-sha-256",
        "--pwfile=password",
        "-N",
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def mariadb(folder: Path) -> Iterator[Server]:
    def command(data: Path, port: int) -> list[str]:
        address = [
            "--bind-address=127.0.0.1",
            f"--port={port}",
            f"--socket={data}/socket",
            f"--pid-file={data}/pid",
        ]
        return ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={data}/db", *address]

    server = Server(command, own_folder(folder, "mariadb"))
    server.run(
        "mariadb-install-db",
        "--no-defaults",
        f"--datadir={server.folder}/db",
        "--skip-test-db",
        "--auth-root-authentication-method=normal",
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def redis(folder: Path) -> Iterator[Server]:
    server = Server(
        lambda data, port: [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--requirepass",
            "hunter2",
        ],
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
def memcached(folder: Path) -> Iterator[Server]:
    server = Server(
        lambda data, port: ["memcached", "-l", "127.0.0.1", "-p", str(port)], own_folder(folder, "memcached")
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def aws(folder: Path) -> Iterator[Server]:
    """moto, which forgets its buckets and queues when it is stopped."""
    server = PythonServer(
        lambda data, port: [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        own_folder(folder, "aws"),
    )
    server.start()
    yield server
    server.stop()
