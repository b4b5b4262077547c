"""The smoke tests of a project: they are left out by `make test`, ask where they are told, and change nothing unless
their owner says so.
"""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.projects import Project

AtLevel = Callable[..., Project]
WELL = {"/-/health": (200, '{"service": "api"}'), "/-/readiness": (200, "{}"), "/old": (302, "moved")}


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A service that is well: its address, and what it was asked."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            seen.append(f"{self.command} {self.path}")
            code, text = WELL.get(self.path, (404, ""))
            self.send_response(code)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text.encode())

        do_GET = do_HEAD = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


def smoke(project: Project, *arguments: str, code: int = 0, **environment: str) -> str:
    """Run pytest in a project with these variables; returns what it says."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    outside = {
        name: value for name, value in os.environ.items() if not name.startswith(("SMOKE_", "PYTEST_"))
    }
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        command,
        cwd=project.folder,
        env={**outside, **proxies, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_each_web_service_is_asked_where_it_was_deployed(
    fresh: AtLevel, asked: tuple[str, list[str]]
) -> None:
    address, seen = asked
    assert "2 passed" in smoke(fresh(2), "tests/smoke", SMOKE_URLS=json.dumps({"api": address}))
    assert seen == ["GET /-/health", "GET /-/readiness"]


def test_a_service_that_nobody_reaches_fails_with_its_address(fresh: AtLevel) -> None:
    said = smoke(fresh(2), "tests/smoke", code=1, SMOKE_URLS='{"api": "http://127.0.0.1:1"}')
    assert "GET /-/health of api: " in said and "Traceback" not in said


def test_where_no_service_is_for_the_web_nothing_is_asked(fresh: AtLevel) -> None:
    assert "2 skipped" in smoke(fresh(2), "tests/smoke", SMOKE_URLS="{}")


def test_without_a_deployment_smoke_tests_are_no_tests(at_level: AtLevel) -> None:
    """Also where a project's own settings have pytest look everywhere."""
    project = at_level(2)
    project.write("tests/smoke/checkout_test.py", "def test_mine():\n    assert False\n")
    for where in ("tests", "."):
        said = smoke(project, "--collect-only", "--ignore=tests/unit", where)
        assert "test_integration_services.py" in said and "smoke" not in said
    smoke(project, "tests/smoke", code=5)


MINE = """
def test_mine(ask):
    assert ask("api", "/old", {arguments})[0] == 302
"""


def test_a_method_that_changes_something_is_refused_unless_it_is_listed(
    at_level: AtLevel, asked: tuple[str, list[str]]
) -> None:
    address, seen = asked
    project, urls = at_level(2), json.dumps({"api": address})
    for method in ("GET", "HEAD", "POST"):
        project.write(f"tests/smoke/test_{method}.py", MINE.format(arguments=f"method={method!r}"))
    said = smoke(project, "tests/smoke", "-k", "mine", code=1, SMOKE_URLS=urls)
    assert "POST: gate.smoke_methods of config/deploy.toml allows GET HEAD\n" in said
    assert seen == ["GET /old", "HEAD /old"], "and a redirect is not followed"
    smoke(project, "tests/smoke/test_POST.py", SMOKE_URLS=urls, SMOKE_METHODS="GET POST")
    assert seen.pop() == "POST /old"


def test_a_request_has_a_deadline(at_level: AtLevel) -> None:
    """Nobody takes what waits in the queue of this socket."""
    project = at_level(2)
    project.write("tests/smoke/test_smoke.py", MINE.format(arguments="seconds=0.2"))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        said = smoke(project, "tests/smoke", code=1, SMOKE_URLS=json.dumps({"api": url}))
    assert "GET /old of api: timed out" in said
