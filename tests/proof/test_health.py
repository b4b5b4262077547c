"""Health with the real gunicorn: behind guards of every sort, and with a request under way at the end."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import a_service
from tests.support.servers import becomes_true, free_port, get

pytestmark = pytest.mark.proof

ENDPOINTS = ("/-/health", "/-/readiness", "/health", "/readiness")

# What stands before an application of Flask's, as people write it: each keeps a caller from /orders.
GUARDS = {
    "a login": (
        """
@app.before_request
def signed_in():
    if request.headers.get("Authorization") != "Bearer let-me-in":
        abort(401)
"""
    ),
    "a blueprint's login": (
        """
accounts = Blueprint("accounts", __name__)

@accounts.before_app_request
def signed_in():
    return redirect("/login")

app.register_blueprint(accounts)
"""
    ),
    "trusted hosts": (
        """
app.config["TRUSTED_HOSTS"] = ["shop.example.org"]
"""
    ),
    "host matching": (
        """
app = Flask(__name__, host_matching=True, static_folder=None)
app.config["SERVER_NAME"] = "shop.example.org"
app.add_url_rule("/", "home", lambda: "home", host="shop.example.org")
"""
    ),
    "subdomains": (
        """
app = Flask(__name__, subdomain_matching=True)
app.config["SERVER_NAME"] = "shop.example.org"
"""
    ),
    "a limiter": (
        """
calls = []

@app.before_request
def limit():
    calls.append(1)
    if len(calls) > 0:
        abort(429)
"""
    ),
    "HTTPS only": (
        """
@app.before_request
def https():
    if not request.is_secure:
        return redirect(request.url.replace("http://", "https://", 1), 301)
"""
    ),
    "a catch-all": (
        """
@app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
@app.route("/<path:path>", methods=["GET", "POST"])
def page(path):
    return "a page", 418
"""
    ),
    "an error handler that swallows": (
        """
@app.errorhandler(Exception)
def swallow(error):
    return "sorry", 500
"""
    ),
    "a hook that raises": (
        """
@app.before_request
def broken():
    raise RuntimeError("the session store is gone")
"""
    ),
    "a response hook that raises": (
        """
@app.after_request
def broken(response):
    raise RuntimeError("the audit log is gone")
"""
    ),
    "a URL preprocessor": (
        """
@app.url_value_preprocessor
def language(endpoint, values):
    values.pop("language")
"""
    ),
    "maintenance": (
        """
class Maintenance:
    def __init__(self, inner):
        self.inner = inner

    def __call__(self, environ, start_response):
        start_response("503 Service Unavailable", [("Retry-After", "60")])
        return [b"back soon"]

app.wsgi_app = Maintenance(app.wsgi_app)
"""
    ),
    "a middleware that is broken": (
        """
class Broken:
    def __call__(self, environ, start_response):
        raise KeyError("X-Tenant")

app.wsgi_app = Broken()
"""
    ),
    "a login of a class's own": (
        """
class Shop(Flask):
    def dispatch_request(self):
        abort(403)

app = Shop(__name__)
"""
    ),
    "a prefix that is dispatched by": (
        """
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

app.wsgi_app = DispatcherMiddleware(NotFound(), {"/shop": app.wsgi_app})
"""
    ),
    "proxies": (
        """
from werkzeug.middleware.proxy_fix import ProxyFix

app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)

@app.before_request
def known():
    if request.remote_addr != "203.0.113.7":
        abort(403)
"""
    ),
}
FLASK = """\
from flask import Blueprint, Flask, abort, redirect, request

from .health import init_service

app = Flask(__name__)
{guard}
init_service(app, "shop")

if "page" not in app.view_functions and not app.url_map.host_matching:
    app.add_url_rule("/orders", "orders", lambda: [])
"""

# The same, where there is no Flask: applications and middleware of WSGI.
PLAIN = {
    "a login": 'start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])\n    return [b""]',
    "trusted hosts": 'start_response("400 Bad Request", [])\n    return [b"unknown host"]',
    "a limiter": 'start_response("429 Too Many Requests", [("Retry-After", "60")])\n    return [b""]',
    "HTTPS only": (
        'start_response("301 Moved Permanently", [("Location", "https://shop/")])\n    return [b""]'
    ),
    "a catch-all": 'start_response("418 I\'m a teapot", [])\n    return [b"a page"]',
    "maintenance": 'start_response("503 Service Unavailable", [("Retry-After", "60")])\n    return [b""]',
    "a file server": 'start_response("404 Not Found", [])\n    return [b"no such file"]',
    "a method filter": 'start_response("405 Method Not Allowed", [("Allow", "POST")])\n    return [b""]',
    "one that raises": 'raise RuntimeError("the session store is gone")',
    "one that never begins": 'return [b"without start_response"]',
    "a generator that raises": 'start_response("200 OK", [])\n    return (1 // 0 for _ in "x")',
}
WSGI = """\
from .health import init_service


def shop(environ, start_response):
    {guard}


app = init_service(shop, "shop")
"""


@contextlib.contextmanager
def serving(folder: Path, *options: str, **environ: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """services.shop.app:app of the project at `folder`, by gunicorn: its URL and process."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--no-control-socket",
        "--bind",
        f"127.0.0.1:{port}",
        *options,
    ]
    log = folder / "gunicorn.txt"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "services.shop.app:app"],
            cwd=folder,
            env={**os.environ, **environ},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        becomes_true(lambda: server.poll() is not None or get(f"{url}/-/health")[0] == 200, 30)
        assert server.poll() is None, log.read_text()
        yield url, server
    finally:
        server.kill()
        server.wait(20)


def ask(url: str, path: str, method: str = "GET") -> int:
    """The code of an answer; no redirect is followed."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request(method, path)
    return connection.getresponse().status


@pytest.mark.parametrize(
    "code",
    [FLASK.format(guard=guard) for guard in GUARDS.values()]
    + [WSGI.format(guard=guard) for guard in PLAIN.values()],
    ids=[*(f"Flask, {name}" for name in GUARDS), *(f"WSGI, {name}" for name in PLAIN)],
)
def test_no_guard_keeps_health_from_answering(tmp_path: Path, code: str) -> None:
    service = a_service.make(tmp_path)
    (service / "app.py").write_text(code)
    with serving(tmp_path) as (url, _):
        asked = {(path, method): ask(url, path, method) for path in ENDPOINTS for method in ("GET", "HEAD")}
        assert set(asked.values()) == {200}, asked
        assert ask(url, "/-/health", "POST") == 405
        with contextlib.suppress(http.client.HTTPException):  # a broken application sends no answer
            assert ask(url, "/orders") != 200 or "swallow" in code  # the guard does stand there


def test_routes_of_flask_that_are_added_after_the_call_come_first(tmp_path: Path) -> None:
    service = a_service.make(tmp_path)
    (service / "app.py").write_text(
        "from flask import Blueprint, Flask\n\n"
        "from .health import init_service\n\n"
        'app = init_service(Flask(__name__), "shop")\n'
        'probes = Blueprint("probes", __name__, url_prefix="/health")\n'
        'probes.add_url_rule("", "own", lambda: {"status": "ok"})\n'
        "app.register_blueprint(probes)\n"
        'app.add_url_rule("/<path:page>", "page", lambda page: ("a page", 418))\n'
    )
    with serving(tmp_path) as (url, _):
        assert get(f"{url}/health") == (200, {"status": "ok"})
        assert get(f"{url}/-/health")[1]["status"] == "healthy"
        assert get(f"{url}/readiness")[1]["ready"] is True
        assert ask(url, "/orders") == 418


def test_under_a_prefix_of_gunicorns_the_endpoints_are_under_it(tmp_path: Path) -> None:
    service = a_service.make(tmp_path)
    (service / "app.py").write_text(WSGI.format(guard=PLAIN["a login"]))
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--bind", f"127.0.0.1:{port}"]
    environ = {**os.environ, "SCRIPT_NAME": "/shop"}
    server = subprocess.Popen(
        [*command, "services.shop.app:app"], cwd=tmp_path, env=environ, stderr=subprocess.DEVNULL
    )
    try:
        becomes_true(lambda: get(f"http://127.0.0.1:{port}/shop/-/health")[0] == 200, 30)
    finally:
        server.kill()
        server.wait(20)


# The end of a process

SLOW = """\
import os
import time
from pathlib import Path

from flask import Flask

from .health import init_service

app = init_service(Flask(__name__), "shop")
# Leaves a file for each process whose readiness was asked; None refuses nothing.
app.extensions["readiness_refusals"]["asked"] = lambda: Path(f"asked-{os.getpid()}").touch()


@app.get("/slow")
def slow():
    time.sleep(2.5)
    return "done"
"""
WORKERS = {
    "sync": ["--workers=2"],
    "gthread": ["--threads=4"],
    "gevent": ["--worker-class=gevent"],
    "sync, preload": ["--workers=2", "--preload"],
    "gthread, preload": ["--threads=4", "--preload"],
    "gevent, preload": ["--worker-class=gevent", "--preload"],
}


def test_every_worker_class_of_gunicorns_that_serves_wsgi_is_tried() -> None:
    """eventlet, which older ones had, is gone from the one that new projects install."""
    from gunicorn.workers import SUPPORTED_WORKERS

    # tornado's has a loop of its own, and gevent_pywsgi and gevent_wsgi are gevent's with another parser.
    others = {"tornado", "gevent_pywsgi", "gevent_wsgi", "asgi"}
    assert set(SUPPORTED_WORKERS) - others == {"sync", "gthread", "gevent"}


def each_is_asked(folder: Path, url: str, workers: int) -> None:
    """Ask readiness until each worker has been asked, by which a preloaded one learns to drain.

    Which one takes a request is up to the kernel, so no fixed number of requests would do.
    """

    def asked() -> bool:
        assert get(f"{url}/-/readiness")[0] == 200
        return len(list(folder.glob("asked-*"))) == workers

    becomes_true(asked, 30)


@pytest.mark.parametrize("drain", [False, True], ids=["level 1", "level 2"])
@pytest.mark.parametrize("options", WORKERS.values(), ids=WORKERS)
def test_a_request_under_way_survives_sigterm(tmp_path: Path, options: list[str], drain: bool) -> None:
    service = a_service.make(tmp_path, drain=drain)
    (service / "app.py").write_text(SLOW)
    answers: list[Any] = []
    with serving(tmp_path, *options, DRAIN_SECONDS="1.5") as (url, server):
        each_is_asked(tmp_path, url, workers=2 if "--workers=2" in options else 1)
        caller = threading.Thread(target=lambda: answers.append(get(f"{url}/slow")))
        caller.start()
        time.sleep(0.5)
        begun = time.monotonic()
        server.send_signal(signal.SIGTERM)
        if drain:
            becomes_true(lambda: get(f"{url}/-/readiness")[0] == 503, 1)
            assert get(f"{url}/-/health")[0] == 200
        caller.join(20)
        assert server.wait(20) == 0
        assert 1.5 < time.monotonic() - begun < 10
    assert answers == [(200, b"done")]
    log = (tmp_path / "gunicorn.txt").read_text()
    assert "Error" not in log and "Traceback" not in log, log


def test_an_idle_service_stops_after_the_drain_and_not_before(tmp_path: Path) -> None:
    service = a_service.make(tmp_path, drain=True)
    (service / "app.py").write_text(SLOW)
    with serving(tmp_path, "--threads=4", DRAIN_SECONDS="2") as (url, server):
        begun = time.monotonic()
        server.send_signal(signal.SIGTERM)
        becomes_true(lambda: get(f"{url}/-/readiness")[0] == 503, 1)
        assert get(f"{url}/slow")[0] in (0, 200)
        assert server.wait(20) == 0 and time.monotonic() - begun > 2


def test_gevents_other_server_drains_too(tmp_path: Path) -> None:
    service = a_service.make(tmp_path, drain=True)
    (service / "app.py").write_text(SLOW)
    with serving(tmp_path, "--worker-class=gevent_pywsgi", DRAIN_SECONDS="1.5") as (url, server):
        server.send_signal(signal.SIGTERM)
        becomes_true(lambda: get(f"{url}/-/readiness")[0] == 503, 1)
        assert server.wait(20) == 0


def test_a_reload_loses_no_request(tmp_path: Path) -> None:
    """SIGHUP has gunicorn start new workers, and tell the old ones to stop."""
    service = a_service.make(tmp_path, drain=True)
    (service / "app.py").write_text(SLOW)
    answers: list[Any] = []
    with serving(tmp_path, "--workers=2", DRAIN_SECONDS="1") as (url, server):
        caller = threading.Thread(target=lambda: answers.append(get(f"{url}/slow")))
        caller.start()
        time.sleep(0.5)
        server.send_signal(signal.SIGHUP)
        caller.join(20)
        becomes_true(lambda: get(f"{url}/-/readiness")[0] == 200)
        server.terminate()
        assert server.wait(20) == 0
    assert answers == [(200, b"done")]
