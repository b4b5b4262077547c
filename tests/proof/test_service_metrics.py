"""The metrics of a service at level 3, with the real gunicorn, Flask's server, Celery and Prometheus."""

from __future__ import annotations

import http.client
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import a_service
from tests.support.projects import ROOT
from tests.support.servers import becomes_true, free_port

pytestmark = pytest.mark.proof

METRICS = (ROOT / "levels/3-professional/runtime/metrics.py").read_text(encoding="utf-8")
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

SHOP = """\
import os
import time

from flask import Blueprint, Flask, Response, request, send_file

from .health import init_service

app = Flask(__name__, static_folder="files")
orders = Blueprint("orders", __name__, url_prefix="/orders")


@orders.get("/<int:number>")
def order(number):
    return str(os.getpid())


@app.get("/boom")
def boom():
    raise RuntimeError("on purpose")


@app.get("/file")
def file():
    return send_file(__file__)


@app.get("/slow/<float:seconds>")
def slow(seconds):
    time.sleep(seconds)
    return "done"


@app.get("/stream/<int:fails>")
def stream(fails):
    def parts():
        yield "a"
        time.sleep(0.3)
        if fails:
            raise RuntimeError("halfway")
        yield "b"

    return Response(parts())


app.register_blueprint(orders)
init_service(app, "shop")
"""


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and text of an answer; 0 where there is none."""
    try:
        with OPENER.open(urllib.request.Request(url, method=method, headers=headers), timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""


class Service:
    """A service that runs, with metrics."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], ports: tuple[int, int]) -> None:
        self.folder, self.process, self.metrics_port = folder, process, ports[1]
        self.url, self.metrics_url = (f"http://127.0.0.1:{port}" for port in ports)

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text()

    def metrics(self) -> dict[str, float]:
        """Each series, as its name with labels in the order of the alphabet, and its value."""
        code, text = ask(f"{self.metrics_url}/metrics")
        assert code in (0, 200), text
        lines = [line.rpartition(" ") for line in text.splitlines() if line[:1] != "#"]
        return {name: float(value) for name, _, value in lines}

    def value(self, name: str) -> float:
        return self.metrics().get(name, math.nan)

    def counts(self) -> dict[tuple[str, str, str], float]:
        """How many requests were counted, by method, route and status."""
        found = {}
        for name, value in self.metrics().items():
            labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
            if name.startswith("http_server_request_duration_seconds_count"):
                key = ("http_request_method", "http_route", "http_response_status_code")
                found[labels[key[0]], labels[key[1]], labels[key[2]]] = value
        return found

    def serves(self) -> int:
        """The process that has the port of the metrics."""
        said = subprocess.run(
            ["ss", "-ltnpH", f"sport = :{self.metrics_port}"], capture_output=True, text=True, check=True
        ).stdout
        [pid] = re.findall(r"pid=(\d+)", said)
        return int(pid)


Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts a service of this code, by gunicorn with these options or by a command."""
    services: list[Service] = []

    def begin(
        code: str, *options: str, command: str = "", ready: str = "/-/health", port: int = 0, **env: str
    ) -> Service:
        folder = tmp_path / f"host-{len(services)}"
        package = a_service.make(folder, drain=True, readiness=True, metrics=METRICS)
        (package / "app.py").write_text(code)
        if "CHECKS" in env:
            (package / "checks.py").write_text(env.pop("CHECKS"))
        ports = (free_port(), port or free_port())
        words = [
            "gunicorn",
            "--no-control-socket",
            f"--bind=127.0.0.1:{ports[0]}",
            *options,
            "services.shop.app:app",
        ]
        said = [word.format(port=ports[0]) for word in command.split()]
        settings = {
            "FEATURE_FLAGS": "mine,service_metrics",
            "METRICS_PORT": str(ports[1]),
            "DRAIN_SECONDS": "0",
        }
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *(said or words)],
                cwd=folder,
                env={**os.environ, **settings, "TMPDIR": str(folder), "PORT": str(ports[0]), **env},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        services.append(Service(folder, process, ports))
        becomes_true(lambda: ask(services[-1].url + ready)[0] == 200, 30)
        return services[-1]

    yield begin
    for service in services:
        service.process.terminate()
        try:
            service.process.wait(20)
        except subprocess.TimeoutExpired:
            service.process.kill()


SERVERS = {
    "sync": ("--workers=4",),
    "sync, preloaded": ("--workers=4", "--preload"),
    "threads": ("--workers=2", "--threads=4"),
    "threads, preloaded": ("--workers=2", "--threads=4", "--preload"),
    "gevent": ("--workers=2", "--worker-class=gevent"),
    "gevent, preloaded": ("--workers=2", "--worker-class=gevent", "--preload"),
}


@pytest.mark.parametrize("options", SERVERS.values(), ids=SERVERS)
def test_each_request_is_counted_once_though_the_worker_that_serves_is_killed(
    start: Start, options: tuple[str, ...]
) -> None:
    service, number = start(SHOP, *options), int(options[0][-1])
    becomes_true(lambda: service.value("service_workers") == number)
    seen: Counter[str] = Counter()

    def many() -> None:
        for one in range(50):
            code, process = ask(f"{service.url}/orders/{one}")
            assert code == 200
            seen[process] += 1

    def all_at_once() -> None:
        clients = [threading.Thread(target=many) for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    all_at_once()
    serves = service.serves()
    used = service.value("process_cpu_seconds_total")
    killed = {serves, int(seen.most_common(1)[0][0])}  # one that serves the metrics, and one that has counted
    for process in killed:
        os.kill(process, signal.SIGKILL)
    begun = time.monotonic()
    becomes_true(lambda: bool(service.metrics()))
    assert time.monotonic() - begun < 2, "another serves at once"
    all_at_once()
    assert sum(seen.values()) == 400
    becomes_true(lambda: service.counts() == {("GET", "/orders/<int:number>", "200"): 400})
    becomes_true(lambda: service.value("service_workers") == number)
    assert service.value("process_cpu_seconds_total") >= used, "what the killed ones took is not taken back"
    assert service.value("http_server_active_requests") == 0


def test_a_worker_that_dies_in_a_request_leaves_nothing_under_way(start: Start) -> None:
    service = start(SHOP, "--workers=2", "--threads=4")
    threading.Thread(target=ask, args=(f"{service.url}/slow/30.0",), daemon=True).start()
    becomes_true(lambda: service.value("http_server_active_requests") == 1)
    pids = {int(ask(f"{service.url}/orders/1")[1]) for _ in range(30)}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    becomes_true(lambda: service.value("http_server_active_requests") == 0)
    becomes_true(lambda: service.value("service_workers") == 2)
    assert service.counts() == {("GET", "/orders/<int:number>", "200"): 30}


def test_routes_methods_and_states_are_those_of_the_answer(start: Start) -> None:
    service = start(SHOP, "--threads=4")
    asked = {
        ("GET", "/orders/17"): (200, ("GET", "/orders/<int:number>", "200")),
        ("HEAD", "/orders/18"): (200, ("HEAD", "/orders/<int:number>", "200")),
        ("GET", "/orders/one"): (404, ("GET", "", "404")),
        ("POST", "/boom"): (405, ("POST", "", "405")),
        ("PURGE", "/boom"): (405, ("_OTHER", "", "405")),
        ("GET", "/boom"): (500, ("GET", "/boom", "500")),
        ("GET", "/file"): (200, ("GET", "/file", "200")),
        ("GET", "/files/none.css"): (404, ("GET", "/files/<path:filename>", "404")),
        ("GET", "/stream/0"): (200, ("GET", "/stream/<int:fails>", "200")),
        ("GET", "/-/health"): (200, None),
        ("GET", "/readiness"): (200, None),
    }
    for (method, path), (code, _) in asked.items():
        assert ask(f"{service.url}{path}", method)[0] == code, path
    expected = Counter(counted for _, counted in asked.values() if counted)
    becomes_true(lambda: service.counts() == expected)
    ask(f"{service.url}/stream/1")
    expected["GET", "/stream/<int:fails>", "500"] += 1
    becomes_true(lambda: service.counts() == expected)
    streamed = 'http_request_method="GET",http_response_status_code="200",http_route="/stream/<int:fails>"'
    assert 0.3 <= service.value(f"http_server_request_duration_seconds_sum{{{streamed}}}") < 5
    assert service.value('service_build_info{environment="local",service="shop",version="unknown"}') == 1
    assert service.value("process_resident_memory_bytes") > 1e7 and service.value("process_open_fds") > 5
    assert abs(service.value("process_start_time_seconds") - time.time()) < 60
    assert ask(f"{service.url}/metrics")[0] == 404, "they aren't public"
