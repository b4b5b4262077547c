"""What /health costs beside an empty route, one that returns {}, in the same Flask app and the same run.

Both are called as gunicorn calls them, by WSGI, in alternating rounds, so that a slow moment of the machine
meets both; the medians are compared. The ratio is requests per second of /health by those of the empty route;
at least 0.9 is asked for when both come through gunicorn, whose own share of a request is then part of both:
`--gunicorn` measures that.

    .venv/bin/python -m benchmarks.health [--gunicorn] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib.util
import io
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.projects import ROOT

SOURCE = ROOT / "levels/1-basic/@service/health.py"
APP = """\
import flask, health
app = health.init_service(flask.Flask("shop"), "shop")
app.add_url_rule("/empty", "empty", lambda: {})
"""


def main() -> None:
    """Measure and print one line, or JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--gunicorn", action="store_true")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--requests", type=int, default=40)
    options = parser.parse_args()
    with served() if options.gunicorn else called() as ask:
        rates: dict[str, list[float]] = {"/health": [], "/empty": []}
        for path in rates:
            ask(path, options.requests)  # warm
        for _ in range(options.rounds):
            for path, found in rates.items():
                begun = time.perf_counter()
                ask(path, options.requests)
                found.append(options.requests / (time.perf_counter() - begun))
    health, empty = (round(statistics.median(found)) for found in rates.values())
    result = {
        "by": "gunicorn" if options.gunicorn else "wsgi",
        "health_per_second": health,
        "empty_per_second": empty,
    }
    result["ratio"] = round(health / empty, 3)  # type: ignore[assignment]
    print(
        json.dumps(result) if options.json else "  ".join(f"{key} {value}" for key, value in result.items())
    )


@contextlib.contextmanager
def called() -> Iterator[Callable[[str, int], None]]:
    """Requests as WSGI calls in this process."""
    import flask

    spec = importlib.util.spec_from_file_location("health", SOURCE)
    assert spec is not None and spec.loader is not None
    health = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(health)
    app = health.init_service(flask.Flask("shop"), "shop")
    app.add_url_rule("/empty", "empty", lambda: {})

    def environ(path: str) -> dict[str, Any]:
        address = {
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "HTTP_ACCEPT": "*/*",
        }
        return {
            **address,
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "SCRIPT_NAME": "",
        }

    def ask(path: str, times: int) -> None:
        for _ in range(times):
            b"".join(app(environ(path), lambda *_: None))

    yield ask


@contextlib.contextmanager
def served() -> Iterator[Callable[[str, int], None]]:
    """Requests over one connection that stays open, to gunicorn with one worker."""
    with tempfile.TemporaryDirectory(prefix="health-bench.") as folder, socket.socket() as free:
        Path(folder, "health.py").write_bytes(SOURCE.read_bytes())
        Path(folder, "app.py").write_text(APP)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--no-control-socket",
            "--threads=1",
            "--worker-class=gthread",
            "--keep-alive=75",
        ]
        server = subprocess.Popen(
            [*command, f"--bind=127.0.0.1:{port}", "app:app"], cwd=folder, stderr=subprocess.DEVNULL
        )
        connection = http.client.HTTPConnection("127.0.0.1", port)

        def ask(path: str, times: int) -> None:
            for _ in range(times):
                connection.request("GET", path)
                response = connection.getresponse()
                assert response.status == 200
                response.read()

        try:
            end = time.monotonic() + 30
            while True:
                try:
                    ask("/health", 1)
                    break
                except OSError:
                    assert time.monotonic() < end
                    connection.close()
                    time.sleep(0.2)
            yield ask
        finally:
            connection.close()
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
