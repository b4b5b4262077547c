"""The service's health, and the extension point that higher levels plug into.

    /-/health       liveness probe: the process answers; nothing else is looked at, so it is always cheap
    /-/readiness    readiness probe: may traffic be sent here? 200 is yes, 503 is no

Nothing in the application gets in their way. /health and /readiness are the same, unless it has these routes.
A web service calls `init_service(app, "name")` after its WSGI middleware, a worker `serve_health("name")`.
"""

import importlib.util
import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

HERE = Path(__file__).resolve()


class Health:
    """WSGI around `inner`, the application or None; `app` is the object that has its routes and settings.

    `extensions["readiness_refusals"]` holds functions by name: while one returns True, readiness says no.
    """

    def __init__(self, app: Any, inner: Any, service_name: str) -> None:
        self.app, self.inner, self.service_name = app, inner, service_name
        self.extensions: dict[str, Any] = app.extensions if hasattr(app, "wsgi_app") else {}
        self.extensions["levels_health"] = self
        self.refusals = self.extensions.setdefault("readiness_refusals", {})
        asks, own = HERE.with_name("readiness.py"), HERE.with_name("checks.py")
        self.checks = load(asks, __package__).Readiness(app, load) if asks.is_file() else None
        if self.checks is None and own.is_file() and b"READINESS" in own.read_bytes():
            self.refusals["checks.py, without a readiness.py that asks it"] = lambda: True

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request for an endpoint, and pass all others on."""
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        probe = {"/health": self.health, "/readiness": self.readiness}.get(path.removeprefix("/-"))
        if self.inner is not None and (probe is None or self._has_route(path)):
            return self.inner(environ, start_response)
        code, answer = 404, {"error": "not found"}
        if probe is not None and method not in ("GET", "HEAD"):
            code, answer = 405, {"error": "method not allowed"}
        elif probe is not None:
            answer = probe(environ)
            code = 200 if answer.get("ready", True) else 503
        body = json.dumps(answer).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Allow": "GET, HEAD"}
        # Health is about now: nothing on the way may keep an answer.
        start_response(f"{code} {HTTPStatus(code).phrase}", [*headers.items(), ("Cache-Control", "no-store")])
        return [] if method == "HEAD" else [body]

    def _has_route(self, path: str) -> bool:
        rules = getattr(getattr(self.app, "url_map", None), "iter_rules", tuple)  # one may be added later
        return not path.startswith("/-/") and any(rule.rule in (path, f"{path}/") for rule in rules())

    def health(self, _: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of the liveness probe."""
        now, version = datetime.now(UTC).isoformat(), os.getenv("SERVICE_VERSION", "unknown")
        answer = {"service": self.service_name, "status": "healthy", "timestamp": now, "version": version}
        return {**answer, "environment": os.getenv("ENVIRONMENT", "local")}

    def readiness(self, environ: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of the readiness probe."""
        refused = {name: {"status": "fail", "required": True} for name, no in self.refusals.items() if no()}
        if self.checks is not None and not refused:
            return dict(self.checks.answer(environ.get("HTTP_AUTHORIZATION", "")))
        return {"ready": not refused, "status": "fail" if refused else "pass", "checks": refused}


def create_health_endpoint(app: Any, service_name: str) -> Any:
    """Put the endpoints around `app`; return a Flask app itself, any other WSGI application wrapped."""
    if "levels_health" not in getattr(app, "extensions", ()):
        if not hasattr(app, "wsgi_app"):
            return Health(app, app, service_name)
        app.wsgi_app = Health(app, app.wsgi_app, service_name)
    return app


def init_service(app: Any, service_name: str) -> Any:
    """Create the endpoints, start the project's runtime/*.py, and return the app. Raises what these raise."""
    app = create_health_endpoint(app, service_name)
    at = next((one for up in HERE.parents if (one := up / "config/levels.json").is_file()), None)
    if at is None:
        logging.getLogger(__name__).warning("no config/levels.json above %s: runtime/ isn't started", HERE)
    elif "levels_runtime" not in app.extensions:
        ours = [path for path in json.loads(at.read_bytes())["ours"] if path.startswith("runtime/")]
        app.extensions["levels_runtime"] = [load(at.parents[1] / one).init(app, service_name) for one in ours]
    return app


def load(path: Path, package: str | None = "") -> Any:
    """Return the module at `path`. Loaded by its place: two services may each have a module of that name."""
    name = f"{package or ''}.{path.stem} of {str(path.parent).replace('.', '_')}".removeprefix(".")
    if name not in sys.modules:
        spec: Any = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def serve_health(service_name: str, port: int | None = None) -> WSGIServer:
    """Serve the endpoints from a thread and return the server; call it after your handler of SIGTERM is set.

    The port is the environment's PORT, or 8000, unless it is given. Raises OSError where it is taken.
    """
    health = init_service(Health(None, None, service_name), service_name)
    quiet = type("Quiet", (WSGIRequestHandler,), {"log_message": lambda *_: None})  # a probe is no news
    threads: Any = type("Server", (ThreadingMixIn, WSGIServer), {"daemon_threads": True})
    number = int(os.getenv("PORT", "8000") if port is None else port)
    server: WSGIServer = make_server("", number, health, threads, quiet)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
