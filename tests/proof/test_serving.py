"""What a new service is served with: the real gunicorn, JSON logs with request ids, settings that are named
when wrong.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.projects import Project

pytestmark = pytest.mark.proof

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ask(url: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of an answer, whatever its status."""
    request = urllib.request.Request(
        url, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    try:
        response = OPENER.open(request, timeout=10)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        return response.status, dict(response.headers), json.loads(response.read())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Project:
    """A project with a web service whose name has a hyphen, and a worker."""
    services = ["market-data", {"name": "telegram-bot", "kind": "worker"}]
    return Project(tmp_path_factory.mktemp("serving") / "shop", template).copy(services=services)


Served = Callable[..., tuple[str, Callable[..., list[dict[str, Any]]]]]


@pytest.fixture
def served(shop: Project, tmp_path: Path) -> Iterator[Served]:
    """Start gunicorn as ci/run.py does; gives the endpoint's address, and a function that stops it and
    returns its log lines.
    """
    running: list[subprocess.Popen[bytes]] = []

    def start(**env: str) -> tuple[str, Callable[..., list[dict[str, Any]]]]:
        port, log = free_port(), tmp_path / "log"
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--no-control-socket",
            "--bind",
            f"127.0.0.1:{port}",
            "--config",
            "python:services.serving",
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "services.market_data.app:create_app()"],
                cwd=shop.folder,
                env={**os.environ, "SERVICE_NAME": "market-data", "HOME": str(tmp_path), **env},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running.append(process)
        end = time.monotonic() + 30
        while time.monotonic() < end and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)

        def stop(told: bool = True) -> list[dict[str, Any]]:
            if told:
                process.send_signal(signal.SIGTERM)
            process.wait(30)
            return [
                json.loads(line) if line[:1] == "{" else {"plain": line}
                for line in log.read_text().splitlines()
            ]

        return f"http://127.0.0.1:{port}", stop

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_every_line_of_gunicorn_and_of_the_app_is_json(served: Served) -> None:
    address, stop = served(PRICES_URL="http://127.0.0.1:9")
    assert ask(f"{address}/changes/ABC?token=s3cret", X_Request_ID="order-17")[0] == 502
    lines = stop()
    assert not any("plain" in line for line in lines) and {line["service"] for line in lines} == {
        "market-data"
    }
    assert any(line["message"].startswith("Starting gunicorn") for line in lines)
    warning = next(line for line in lines if line["level"] == "WARNING")
    request = next(line for line in lines if line["logger"] == "access")
    assert warning["request_id"] == request["request_id"] == "order-17"
    assert (request["method"], request["path"], request["status"]) == ("GET", "/changes/ABC", 502)
    assert request["duration_ms"] > 0 and "s3cret" not in json.dumps(lines)


@pytest.mark.parametrize("sent", ["", "two words", "x" * 65, "a/b", "ü"])
def test_a_request_without_a_sane_id_gets_one(served: Served, sent: str) -> None:
    address, stop = served()
    status, headers, body = ask(f"{address}/nowhere", X_Request_ID=sent.encode().decode("latin-1"))
    assert status == 404 and body["error"]
    assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Request-ID"])
    assert [line["request_id"] for line in stop() if line["logger"] == "access"] == [headers["X-Request-ID"]]


def test_two_requests_have_two_ids(served: Served) -> None:
    address, stop = served()
    assert ask(f"{address}/nowhere")[1]["X-Request-ID"] != ask(f"{address}/nowhere")[1]["X-Request-ID"]
    stop()


@pytest.mark.parametrize("setting", ["LOG_LEVEL=LOUD", "TIMEOUT_SECONDS=soon", "TIMEOUT_SECONDS=nan"])
def test_a_wrong_setting_of_a_web_service_is_one_line(served: Served, setting: str) -> None:
    name, value = setting.split("=")
    _, stop = served(**{name: value})
    lines = stop(told=False)
    assert [line for line in lines if str(line.get("message")).startswith(f"{setting}: expected ")]
    assert "Traceback" not in json.dumps(lines)


@pytest.mark.parametrize("setting", ["LOG_LEVEL=LOUD", "PAUSE_SECONDS=soon", "PAUSE_SECONDS=-1"])
def test_a_wrong_setting_of_a_worker_is_one_line(shop: Project, setting: str) -> None:
    name, value = setting.split("=")
    done = subprocess.run(
        [sys.executable, "-m", "services.telegram_bot.worker"],
        cwd=shop.folder,
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith(f"worker: {setting}: expected ")


@pytest.mark.parametrize("service", ["market-data", "telegram-bot"])
@pytest.mark.parametrize("port", ["70000", "high", "-1", "0"])
def test_a_wrong_port_is_one_line(shop: Project, service: str, port: str) -> None:
    """Of whatever kind the service is: ci/run.py looks at it first, in the image too."""
    done = subprocess.run(
        [sys.executable, "ci/run.py", "--image"],
        cwd=shop.folder,
        env={**os.environ, "SERVICE": service, "PORT": port},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    expected = f"run: PORT={port}: expected a number from 1 to 65535\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


# What answers before the route, or in its place.
REFUSED = """
from flask import abort
from services.market_data.app import create_app

app = create_app()

@app.before_request
def guard():
    abort(401)
"""
PREPROCESSOR = """
@app.url_value_preprocessor
def broken(endpoint, values):
    raise KeyError("language")
"""
ASK = """
response = app.test_client().get("/changes/ABC", headers={"X-Request-ID": "order-17"})
print(response.status_code, response.headers["X-Request-ID"])
"""


@pytest.mark.parametrize(("more", "status", "identity"), [("", 401, "order-17"), (PREPROCESSOR, 500, "")])
def test_what_is_refused_is_logged_too(shop: Project, more: str, status: int, identity: str) -> None:
    code = [sys.executable, "-c", REFUSED + more + ASK]
    done = subprocess.run(code, cwd=shop.folder, capture_output=True, text=True, timeout=30, check=False)
    *lines, answer = done.stdout.splitlines() or [done.stderr]
    assert answer == f"{status} {identity}", done.stderr
    [request] = [line for line in map(json.loads, lines) if line["logger"] == "access"]
    assert (request["status"], request.get("request_id", "")) == (status, identity)
