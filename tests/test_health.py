"""A service's health.py and the drain: the endpoints around an application, and what a worker serves."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.support import a_service
from tests.support.a_service import Answer
from tests.support.servers import becomes_true, get

NOTHING_ASKED = {"ready": True, "status": "pass", "checks": {}}
TOLD_TO_STOP = {
    "ready": False,
    "status": "fail",
    "checks": {"shutdown": {"status": "fail", "required": True}},
}


def refusing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """A WSGI application that lets nobody in, and answers every path."""
    start_response("401 Unauthorized", [("Content-Type", "text/plain")])
    return [b"who are you?"]


def failing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """A WSGI application that is broken."""
    raise RuntimeError("broken")


@pytest.fixture
def health(tmp_path: Path) -> Iterator[ModuleType]:
    """health.py of a service without dependencies."""
    with a_service.loaded(a_service.make(tmp_path) / "health.py") as module:
        yield module


@pytest.mark.parametrize("app", [refusing, failing])
@pytest.mark.parametrize("path", ["/-/health", "/health", "/-/readiness", "/readiness"])
def test_nothing_in_the_application_keeps_an_endpoint_from_answering(
    health: ModuleType, app: Any, path: str
) -> None:
    answer = Answer(health.init_service(app, "shop"), path)
    assert answer.code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    assert int(answer.headers["Content-Length"]) == len(answer.text)


def test_the_keys_of_the_answers(health: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    app = health.create_health_endpoint(refusing, "shop")
    body = Answer(app, "/-/health").json
    assert body.keys() == {"service", "status", "timestamp", "version", "environment"}
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert (body["service"], body["status"], body["version"], body["environment"]) == (
        "shop",
        "healthy",
        "unknown",
        "local",
    )
    monkeypatch.setenv("SERVICE_VERSION", "1.2.3")
    monkeypatch.setenv("ENVIRONMENT", "staging")
    body = Answer(app, "/health").json
    assert (body["version"], body["environment"]) == ("1.2.3", "staging")
    assert Answer(app, "/-/readiness").json == NOTHING_ASKED


@pytest.mark.parametrize("path", ["/", "/-/healthy", "/-/health/", "/health/x", "/-/-/health", "/-", ""])
def test_every_other_path_is_the_applications(health: ModuleType, path: str) -> None:
    assert Answer(health.init_service(refusing, "shop"), path).text == "who are you?"


@pytest.mark.parametrize("path", ["/-/health", "/readiness"])
def test_head_is_get_without_a_body(health: ModuleType, path: str) -> None:
    app = health.init_service(refusing, "shop")
    got, head = Answer(app, path), Answer(app, path, "HEAD")
    assert (head.code, head.text) == (200, "")
    assert head.headers.keys() == got.headers.keys()
    assert abs(int(head.headers["Content-Length"]) - len(got.text)) < 8  # microseconds of 0 aren't written


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_not_allowed(health: ModuleType, method: str) -> None:
    answer = Answer(health.init_service(refusing, "shop"), "/-/health", method)
    assert (answer.code, answer.headers["Allow"]) == (405, "GET, HEAD")


def with_routes(*rules: str) -> Any:
    """An application with a url_map, as Flask and werkzeug have it, which can be added to."""
    found = [SimpleNamespace(rule=rule) for rule in rules]

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("418 I'm a teapot", [])
        return [b"mine"]

    app.url_map = SimpleNamespace(
        iter_rules=lambda: iter(found), add=lambda rule: found.append(SimpleNamespace(rule=rule))
    )  # type: ignore[attr-defined]
    return app


@pytest.mark.parametrize(
    ("rules", "health_code", "readiness_code"),
    [
        (["/health"], 418, 200),
        (["/health/"], 418, 200),  # Flask sends /health there
        (["/readiness", "/health"], 418, 418),
        (
            ["/<path:anything>", "/health/<name>", "/<name>"],
            200,
            200,
        ),  # that it would answer too makes it no route of that name
        ([], 200, 200),
    ],
)
def test_a_route_of_the_applications_own_comes_first(
    health: ModuleType, rules: list[str], health_code: int, readiness_code: int
) -> None:
    app = health.init_service(with_routes(*rules), "shop")
    assert (Answer(app, "/health").code, Answer(app, "/readiness").code) == (health_code, readiness_code)
    assert (Answer(app, "/-/health").code, Answer(app, "/-/readiness").code) == (200, 200)
    assert Answer(app, "/health", "POST").code == (418 if health_code == 418 else 405)


def test_a_route_that_is_added_later_counts(health: ModuleType) -> None:
    inner = with_routes()
    app = health.init_service(inner, "shop")
    assert Answer(app, "/health").code == 200
    inner.url_map.add("/health")
    assert Answer(app, "/health").code == 418


def test_under_a_prefix_the_endpoints_are_under_it_too(health: ModuleType) -> None:
    """A server or a dispatcher takes the prefix off PATH_INFO."""
    assert Answer(health.init_service(refusing, "shop"), "/-/health", SCRIPT_NAME="/shop").code == 200


def test_asking_twice_wraps_once_and_starts_once(tmp_path: Path) -> None:
    code = "def init(app, service_name):\n    app.extensions.setdefault('begun', []).append(service_name)\n"
    with a_service.loaded(a_service.make(tmp_path, first=code) / "health.py") as health:
        app = health.create_health_endpoint(refusing, "shop")
        assert health.create_health_endpoint(app, "shop") is app
        assert health.init_service(app, "shop") is app
        assert health.init_service(app, "shop") is app
        assert app.extensions["begun"] == ["shop"]


# runtime/


def test_each_module_of_runtime_is_started_in_order(tmp_path: Path) -> None:
    code = """
def init(app, service_name):
    app.extensions.setdefault("begun", []).append((__name__.split()[0], service_name))
"""
    with a_service.loaded(a_service.make(tmp_path, second=code, first=code) / "health.py") as health:
        begun = health.init_service(refusing, "shop").extensions["begun"]
        assert begun == [("first", "shop"), ("second", "shop")]


def test_two_services_of_a_process_share_a_module_of_runtime(tmp_path: Path) -> None:
    code = """
asked = []

def init(app, service_name):
    asked.append(service_name)
    app.extensions["asked"] = asked
"""
    service = a_service.make(tmp_path, shared=code)
    with (
        a_service.loaded(service / "health.py") as one,
        a_service.loaded(service / "health.py", "health_of_another") as other,
    ):
        one.init_service(refusing, "shop")
        assert other.init_service(failing, "orders").extensions["asked"] == ["shop", "orders"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("def init(app, name): app.nothing", "AttributeError"),
    ],
)
def test_a_module_of_runtime_that_fails_ends_the_start(tmp_path: Path, code: str, error: str) -> None:
    with (
        a_service.loaded(a_service.make(tmp_path, broken=code) / "health.py") as health,
        pytest.raises(Exception) as raised,
    ):
        health.init_service(refusing, "shop")
    assert raised.type.__name__ == error


def test_a_module_of_runtime_that_is_missing_ends_the_start(tmp_path: Path) -> None:
    service = a_service.make(tmp_path, gone="def init(app, service_name): ...\n")
    (tmp_path / "runtime/gone.py").unlink()
    with a_service.loaded(service / "health.py") as health, pytest.raises(FileNotFoundError):
        health.init_service(refusing, "shop")


def test_a_runtime_folder_of_the_persons_own_is_left_alone(tmp_path: Path) -> None:
    service = a_service.make(tmp_path)
    (tmp_path / "runtime/theirs.py").write_text("raise AssertionError\n")
    with a_service.loaded(service / "health.py") as health:
        assert Answer(health.init_service(refusing, "shop"), "/-/health").code == 200


def test_without_the_project_around_it_a_service_says_so_and_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As where an image has only the service's folder."""
    service = a_service.make(tmp_path, drain=True)
    (tmp_path / "config/levels.json").unlink()
    with a_service.loaded(service / "health.py") as health:
        assert Answer(health.init_service(refusing, "shop"), "/-/health").code == 200
    assert f"no config/levels.json above {service / 'health.py'}: runtime/ isn't started" in caplog.text


def test_a_refusal_of_a_runtime_module_takes_the_service_out(tmp_path: Path) -> None:
    code = """
full = []

def init(app, service_name):
    app.extensions["readiness_refusals"]["disk"] = lambda: bool(full)
    app.full = full
"""
    with a_service.loaded(a_service.make(tmp_path, disk=code) / "health.py") as health:
        app = health.init_service(refusing, "shop")
        assert Answer(app, "/-/readiness").json == NOTHING_ASKED
        app.full.append(1)
        answer = Answer(app, "/-/readiness")
        assert (answer.code, answer.json["checks"]) == (503, {"disk": {"status": "fail", "required": True}})
        assert Answer(app, "/-/readiness", "HEAD").code == 503
        assert Answer(app, "/-/health").code == 200


# A worker's own server


@pytest.fixture
def worker(health: ModuleType) -> Iterator[int]:
    """The port of a worker's health server."""
    server = health.serve_health("bot", port=0)
    yield server.server_port
    server.shutdown()
    server.server_close()


def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.parametrize("path", ["/-/health", "/health", "/-/readiness", "/readiness"])
def test_a_worker_serves_the_endpoints(worker: int, path: str) -> None:
    code, body = ask(worker, path)
    assert code == 200 and json.loads(body)["status"] in ("healthy", "pass")
    assert ask(worker, path, "HEAD") == (200, b"")
    assert ask(worker, path, "POST")[0] == 405


def test_a_worker_serves_nothing_else(worker: int) -> None:
    assert ask(worker, "/secrets") == (404, b'{"error": "not found"}')
    assert ask(worker, "/secrets", "HEAD") == (404, b"")


def test_a_caller_that_says_nothing_holds_up_no_other(worker: int) -> None:
    with socket.create_connection(("127.0.0.1", worker)):
        assert ask(worker, "/-/health")[0] == 200


def test_a_port_that_is_taken_is_an_oserror(health: ModuleType, worker: int) -> None:
    with pytest.raises(OSError):
        health.serve_health("bot", port=worker)


# The drain


WORKER = """\
import signal, threading, time, health
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: (print("told", flush=True), stop.set()))
print(health.serve_health("bot", port=0).server_port, flush=True)
while not stop.wait(0.1): pass
time.sleep(0.5)
print("finished", flush=True)
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Starts a worker, with the drain or without; gives its process and URL."""
    processes: list[subprocess.Popen[str]] = []

    def start(drain: bool, **environ: str) -> tuple[subprocess.Popen[str], str]:
        service = a_service.make(tmp_path, drain=drain)
        (service / "worker.py").write_text(WORKER)
        env = {**os.environ, **environ}
        process = subprocess.Popen(
            [sys.executable, "worker.py"], cwd=service, env=env, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        return process, f"http://127.0.0.1:{int(process.stdout.readline())}"

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_worker_drains_before_its_own_handler_is_called_once(started: Any) -> None:
    process, url = started(True, DRAIN_SECONDS="1.5")
    assert get(f"{url}/-/readiness") == (200, NOTHING_ASKED)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    becomes_true(lambda: get(f"{url}/-/readiness") == (503, TOLD_TO_STOP))
    assert get(f"{url}/-/health")[0] == 200
    assert process.wait(10) == 0 and time.monotonic() - begun > 1.4
    assert process.stdout.read() == "told\nfinished\n"


def test_the_second_sigterm_does_not_wait_and_is_the_last(started: Any) -> None:
    process, url = started(True, DRAIN_SECONDS="30")
    process.send_signal(signal.SIGTERM)
    becomes_true(lambda: get(f"{url}/-/readiness")[0] == 503)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert process.stdout.read() == "told\nfinished\n"


@pytest.mark.parametrize("drain", [True, False])
def test_without_a_drain_sigterm_is_as_ever(started: Any, drain: bool) -> None:
    process, url = started(drain, DRAIN_SECONDS="0")
    assert get(f"{url}/-/readiness")[0] == 200
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0 and time.monotonic() - begun < 5
    assert process.stdout.read() == "told\nfinished\n"


def test_at_level_1_no_handler_is_installed(health: ModuleType) -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    Answer(health.init_service(refusing, "shop"), "/-/readiness")
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


def test_a_fork_of_a_process_that_drains_ends_at_once(tmp_path: Path) -> None:
    """A pool of processes ends its own by SIGTERM: none may wait for a thread that the fork doesn't have."""
    service = a_service.make(tmp_path, drain=True)
    (service / "worker.py").write_text(
        "import multiprocessing, signal, sys, time, health\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        "health.serve_health('bot', port=0)\n"
        "child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))\n"
        "child.start()\n"
        "time.sleep(0.5)\n"
        "child.terminate()\n"
        "child.join(20)\n"
        "print(child.exitcode)\n"
    )
    environ = {**os.environ, "DRAIN_SECONDS": "30"}
    done = subprocess.run(
        [sys.executable, "worker.py"],
        cwd=service,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "3\n", done.stderr


@pytest.mark.parametrize("text", ["soon", "-1", "1e3", "inf", "1,5"])
def test_a_drain_that_is_no_number_of_seconds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("DRAIN_SECONDS", text)
    with (
        a_service.loaded(a_service.make(tmp_path, drain=True) / "health.py") as health,
        pytest.raises(ValueError) as raised,
    ):
        health.init_service(refusing, "shop")
    assert str(raised.value) == f"DRAIN_SECONDS={text}: expected a number of seconds, as 1 or 2.5"


def test_off_the_main_thread_there_is_no_drain_and_a_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with a_service.loaded(a_service.make(tmp_path, drain=True) / "health.py") as health:
        thread = threading.Thread(target=health.init_service, args=(refusing, "shop"))
        thread.start()
        thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert "shop: made off the main thread, so there is no drain" in caplog.text
