"""The service's health, and the seam that later levels plug into.

A web service calls `init_service(app, "name")` once, a worker `serve_health("name")`:

    /health     the process answers; nothing else is looked at, so it is always cheap
    /readiness  may traffic be sent here? It reports the checks that it makes, and makes none yet
"""

import importlib.util
import json
import os
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# Health is about now: nothing on the way may keep an answer.
HEADERS = {"Cache-Control": "no-store"}


def health(service_name: str) -> dict[str, Any]:
    """Return the answer of /health."""
    return {
        "service": service_name,
        "status": "healthy",
        "timestamp": datetime.now(UTC).isoformat(),
        "version": os.getenv("SERVICE_VERSION", "unknown"),
        "environment": os.getenv("ENVIRONMENT", "local"),
    }


def readiness() -> dict[str, Any]:
    """Return the answer of /readiness."""
    return {"ready": True, "checks": {}}


def create_health_endpoint(app: Any, service_name: str) -> Any:
    """Add both addresses to a Flask app and return it. An app that has them already is left as it is."""
    if "levels_health" not in app.view_functions:
        app.add_url_rule("/health", "levels_health", lambda: (health(service_name), HEADERS))
        app.add_url_rule("/readiness", "levels_readiness", lambda: (readiness(), HEADERS))
    return app


def init_service(app: Any, service_name: str) -> Any:
    """Give a Flask app its health addresses, start what is in capabilities/ beside this file, and return the app."""
    create_health_endpoint(app, service_name)
    for path in sorted(Path(__file__).parent.glob("capabilities/[!_]*.py")):
        # Loaded by its place: two services may each have a module of that name.
        spec = importlib.util.spec_from_file_location(f"capabilities.{service_name}.{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.init(app, service_name)
    return app


def serve_health(service_name: str, port: int | None = None) -> ThreadingHTTPServer:
    """Serve both addresses from a thread of their own and return the server; for processes without an HTTP server.

    The port is the environment's PORT, or 8000, unless it is given. Raises OSError where it is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers = {"/health": lambda: health(service_name), "/readiness": readiness}
            answer = answers.get(self.path.partition("?")[0])
            body = json.dumps(answer() if answer else {"error": "not found"}).encode()
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **HEADERS}
            self.send_response(200 if answer else 404)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: a probe every few seconds is no news."""

    server = ThreadingHTTPServer(("", int(os.getenv("PORT", "8000")) if port is None else port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
