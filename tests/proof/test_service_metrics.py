"""The metrics of a service at level 3, with the real gunicorn, Flask's server, Celery and Prometheus."""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support import a_service
from tests.support.histories import running_prometheus
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
    used = service.value("process_cpu_seconds_total")
    os.kill(service.serves(), signal.SIGKILL)
    begun = time.monotonic()
    becomes_true(lambda: bool(service.metrics()))
    assert time.monotonic() - begun < 3, "another serves within half a second, on a machine that has the time"
    all_at_once()
    assert sum(seen.values()) == 400
    becomes_true(lambda: service.counts() == {("GET", "/orders/<int:number>", "200"): 400})
    becomes_true(lambda: service.value("service_workers") == number)
    assert service.value("process_cpu_seconds_total") >= used, "what the killed ones took is not taken back"
    becomes_true(lambda: service.value("http_server_active_requests") == 0)


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


PLAIN = """\
from .health import init_service


def raw(environ, start_response):
    if environ["PATH_INFO"] == "/raises":
        raise RuntimeError("on purpose")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    return [b"a page"]


app = init_service(raw, "shop")
"""


def test_an_application_without_flask_is_measured_without_routes(start: Start) -> None:
    service = start(PLAIN, "--workers=2")
    assert ask(f"{service.url}/any/path")[0] == 200
    assert ask(f"{service.url}/file")[1].startswith("from .health import")
    assert ask(f"{service.url}/raises")[0] == 500
    becomes_true(lambda: service.counts() == {("GET", "", "200"): 2, ("GET", "", "500"): 1})


SOCKET = """\
from .health import init_service


def chat(environ, start_response):
    connection = environ["gunicorn.socket"]
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n")
    connection.sendall(connection.recv(100))
    start_response("200 OK", [])
    return []


app = init_service(chat, "shop")
"""


def test_a_websocket_is_left_alone(start: Start) -> None:
    service = start(SOCKET, "--threads=4")
    port = int(service.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(
            b"GET /chat HTTP/1.1\r\nHost: shop\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 101 ")
        assert service.value("http_server_active_requests") == 0
        connection.sendall(b"hello")
        assert connection.recv(1000).startswith(b"hello")
    assert service.counts() == {}


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["", "with its reloader"])
def test_flasks_own_server_is_measured(start: Start, debug: list[str]) -> None:
    service = start(SHOP, command=" ".join(["flask --app services.shop.app run --port {port}", *debug]))
    for number in range(3):
        assert ask(f"{service.url}/orders/{number}")[0] == 200
    becomes_true(lambda: service.counts() == {("GET", "/orders/<int:number>", "200"): 3})
    assert "METRICS_PORT" not in service.log


def test_a_port_that_is_taken_is_one_line_and_the_metrics_are_there_once_it_is_free(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        service = start(SHOP, "--workers=4", port=port)
        assert ask(f"{service.url}/orders/1")[0] == 200
        time.sleep(1.5)
        [line] = [line for line in service.log.splitlines() if "METRICS_PORT" in line]
        assert f"METRICS_PORT={port}: no metrics are served until that is free: " in line
        taken.close()
    becomes_true(lambda: service.counts() == {("GET", "/orders/<int:number>", "200"): 1})


def test_without_the_flag_nothing_listens_and_nothing_is_written(start: Start) -> None:
    service = start(SHOP, "--workers=2", FEATURE_FLAGS="mine")
    assert ask(f"{service.url}/orders/1")[0] == 200
    assert ask(f"{service.metrics_url}/metrics")[0] == 0
    assert list(service.folder.glob("metrics-of-*")) == []


def test_without_prometheus_client_the_service_starts_and_says_so(start: Start) -> None:
    blocked = 'import sys\n\nsys.modules["prometheus_client"] = None\n'
    service = start(blocked + SHOP)
    assert ask(f"{service.url}/orders/1")[0] == 200
    assert "shop: no metrics: import of prometheus_client halted" in service.log


def test_a_wrong_port_ends_the_start_with_a_line_that_names_it(tmp_path: Path, start: Start) -> None:
    with pytest.raises(AssertionError):
        start(SHOP, METRICS_PORT="many")
    assert "METRICS_PORT=many: expected a number from 1 to 65535" in (tmp_path / "host-0/log.txt").read_text()


CHECKS = """\
def stock_is_fresh():
    raise RuntimeError("no stock")


def mail_is_up():
    return True


READINESS = [mail_is_up]
READINESS_OPTIONAL = [stock_is_fresh]
"""


def test_readiness_is_what_a_probe_was_told_last(start: Start) -> None:
    service = start(SHOP, "--workers=2", CHECKS=CHECKS)
    becomes_true(lambda: service.value("service_workers") == 2)
    assert not [name for name in service.metrics() if name.startswith("readiness")], "nobody has asked"
    assert ask(f"{service.url}/-/readiness")[0] == 200
    found = {name: value for name, value in service.metrics().items() if name.startswith("readiness")}
    assert found == {
        'readiness_check_up{check="mail_is_up"}': 1,
        'readiness_check_up{check="stock_is_fresh"}': 0,
        'readiness_check_required{check="mail_is_up"}': 1,
        'readiness_check_required{check="stock_is_fresh"}': 0,
    }


# Users

LOGIN = """\
from flask import Flask
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from .health import init_service

app = Flask(__name__)
app.secret_key = "the same on each host"
manager = LoginManager(app)


class User(UserMixin):
    def __init__(self, id):
        self.id = id


manager.user_loader(User)


@manager.request_loader
def by_token(request):
    return User(request.headers["X-Token"]) if "X-Token" in request.headers else None


@app.get("/login/<name>")
def login(name):
    login_user(User(name))
    return "hello"


@app.get("/page")
def page():
    return "a page"


@app.get("/me")
def me():
    return current_user.get_id() or "nobody"


init_service(app, "shop")
"""


def estimate(*registers: dict[str, float]) -> float:
    """What 256 registers say, merged by max, as the recording rule says it."""
    merged = [
        max(one[f'users_daily_sketch{{register="{number}"}}'] for one in registers) for number in range(256)
    ]
    raw = 0.7213 / (1 + 1.079 / 256) * 256**2 / sum(2.0**-one for one in merged)
    empty = merged.count(0)
    return 256 * math.log(256 / empty) if raw <= 2.5 * 256 and empty else raw


def test_users_of_a_day_are_those_of_all_workers_and_hosts(start: Start) -> None:
    hosts = [start(LOGIN, "--workers=4"), start(LOGIN, "--workers=4")]
    assert estimate(hosts[0].metrics()) == 0, "nobody yet, which is known"
    for number in range(300):  # each of 200 at one host, 100 of these at the other too
        host = hosts[number >= 200]
        assert ask(f"{host.url}/login/user-{number % 200}")[0] == 200
    for number in range(100):  # whom a token tells, one of ten times the same
        assert ask(f"{hosts[number % 2].url}/me", **{"X-Token": f"robot-{number // 2}"})[0] == 200
        assert ask(f"{hosts[0].url}/page")[0] == 200  # nobody
    first, second = (host.metrics() for host in hosts)
    assert abs(estimate(first, second) - 250) < 250 * 0.13, "two standard errors"
    assert abs(estimate(first) - 250) < 250 * 0.13 and abs(estimate(second) - 150) < 150 * 0.13
    holders = [list(host.folder.glob("metrics-of-*/users-*")) for host in hosts]
    assert min(map(len, holders)) > 1, "more than one worker has seen somebody"
    assert "user-1" not in "".join(path.read_text("latin-1") for some in holders for path in some)


def test_a_page_that_asks_nobody_who_he_is_gets_no_other_headers(start: Start) -> None:
    code = SHOP.replace("orders = ", 'app.secret_key = "a key"\norders = ')
    service = start(
        code, CHECKS="from flask import session\n\n\ndef user_id():\n    return session.get('id', 'ada')\n"
    )
    with OPENER.open(f"{service.url}/orders/1") as response:
        assert "Vary" not in response.headers, "Flask sets it where a page has looked at the session"
    becomes_true(lambda: 0.5 < estimate(service.metrics()) < 1.5)


OWN = "from flask import request\n\n\ndef user_id():\n    return request.headers.get('X-User')\n"


def test_users_are_told_by_a_function_of_the_service(start: Start) -> None:
    service = start(SHOP, "--workers=2", CHECKS=OWN, METRICS_KEY="a key")
    for number in range(20):
        ask(f"{service.url}/orders/1", **{"X-User": f"ada-{number % 10}"})
        ask(f"{service.url}/orders/2")
    assert 8 < estimate(service.metrics()) < 12


@pytest.mark.parametrize("who", ["nobody says", "there is no key", "the function raises"])
def test_users_are_unknown_and_not_none_where_it_cannot_be_told(start: Start, who: str) -> None:
    checks = {
        "nobody says": CHECKS,
        "there is no key": OWN,
        "the function raises": "def user_id():\n    return 1 / 0\n",
    }
    service = start(
        SHOP, "--workers=2", CHECKS=checks[who], **({"METRICS_KEY": "a"} if "raises" in who else {})
    )
    for number in range(10):
        assert ask(f"{service.url}/orders/{number}", **{"X-User": "ada"})[0] == 200
    sketch = [name for name in service.metrics() if name.startswith("users")]
    lines = [line for line in service.log.splitlines() if "users aren't counted" in line]
    if who == "the function raises":
        assert estimate(service.metrics()) == 0 and "ZeroDivisionError" in lines[0] and len(lines) <= 2
    else:
        assert sketch == [] and len(lines) == (0 if who == "nobody says" else len(lines))
        assert len(lines) <= 2, "once a worker"


def test_the_registers_begin_anew_at_midnight_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics.py").write_text(METRICS)
    with a_service.loaded(tmp_path / "metrics.py", "metrics_of_a_test") as module:
        metrics = module.Metrics()
        metrics.group = module.SimpleNamespace(folder=str(tmp_path), name=lambda: 1)
        seen = []
        for day in ("20261201", "20261202"):
            monkeypatch.setattr(module, "today", lambda day=day: day)
            assert sum(module.users(str(tmp_path))) == 0, "yesterday's are gone"
            metrics.add_user(b"key", "ada")
            seen.append(module.users(str(tmp_path)))
        assert [len(list(filter(None, one))) for one in seen] == [1, 1]
        assert seen[0] != seen[1], "ada is another one each day"
        assert [path.name for path in tmp_path.glob("users-*")] == ["users-20261202-1"]


# Workers

WORKER = """\
import sys
import threading
import time
from pathlib import Path

from .health import serve_health

server = serve_health("shop")
metrics = server.get_app().extensions["service_metrics"]


@metrics.job()
def fails():
    raise ValueError("on purpose")


def work():
    with metrics.job():
        pass
    try:
        fails()
    except ValueError:
        pass
    with metrics.job(time.time() - 100):
        while not Path("go").exists():
            time.sleep(0.05)
    while True:
        metrics.heartbeat()
        time.sleep(0.05)


if Path("work").exists() or "work" in sys.argv:
    work()
threading.Event().wait()
"""


def test_a_worker_tells_of_its_jobs(start: Start) -> None:
    service = start(WORKER, command="services.shop.app work")
    assert service.value("service_workers") == 1
    becomes_true(lambda: service.value('worker_jobs_total{outcome="failure"}') == 1)
    assert service.value('worker_jobs_total{outcome="success"}') == 1
    assert 100 <= service.value("worker_oldest_job_age_seconds") < 130
    assert math.isnan(service.value("worker_heartbeat_timestamp_seconds")), "it hasn't told yet"
    (service.folder / "go").touch()
    becomes_true(lambda: service.value("worker_oldest_job_age_seconds") == 0)
    assert service.value('worker_jobs_total{outcome="success"}') == 2
    becomes_true(lambda: time.time() - service.value("worker_heartbeat_timestamp_seconds") < 1)


def test_of_a_worker_that_tells_nothing_nothing_is_told(start: Start) -> None:
    service = start(WORKER, command="services.shop.app")
    assert service.value("service_workers") == 1
    assert not [name for name in service.metrics() if name.startswith(("worker_", "http_server_request"))]
    quiet = start(WORKER, command="services.shop.app work", FEATURE_FLAGS="")
    assert quiet.process.poll() is None, "without the flag a job is just run"


CELERY = """\
import os
from pathlib import Path

from celery import Celery

from .health import serve_health

where = Path(os.environ["TMPDIR"]) / "queue"
where.mkdir(exist_ok=True)
app = Celery("shop", broker="filesystem://", broker_connection_retry_on_startup=True)
app.conf.broker_transport_options = {"data_folder_in": str(where), "data_folder_out": str(where)}
app.conf.worker_hijack_root_logger = False


@app.task(bind=True, max_retries=1)
def answer(self, how):
    if how == "fails":
        raise ValueError("on purpose")
    if how == "again":
        raise self.retry(countdown=0)
    return how


if "SEND" not in os.environ:
    serve_health("shop")
"""


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_tasks_of_celerys_are_jobs(start: Start, pool: str) -> None:
    service = start(
        CELERY, command=f"celery -A services.shop.app worker --pool {pool} -c 2 --loglevel WARNING"
    )
    send = "from services.shop.app import answer\nfor how in ['well', 'well', 'fails', 'again']: answer.delay(how)"
    env = {**os.environ, "SEND": "1", "TMPDIR": str(service.folder)}
    subprocess.run([sys.executable, "-c", send], cwd=service.folder, env=env, check=True, timeout=60)
    # The one that is tried again fails for good in the end, and counts then.
    expected = {'worker_jobs_total{outcome="success"}': 2, 'worker_jobs_total{outcome="failure"}': 2}
    becomes_true(lambda: expected.items() <= service.metrics().items(), 30)
    assert service.value("worker_oldest_job_age_seconds") == 0
    assert time.time() - service.value("worker_heartbeat_timestamp_seconds") < 5, "Celery's own"
    assert service.value("service_workers") <= 3


# Prometheus


def test_prometheus_counts_as_many_requests_as_were_sent(start: Start, tmp_path: Path) -> None:
    service = start(LOGIN, "--workers=4")
    target = f"127.0.0.1:{service.metrics_port}"
    with running_prometheus(tmp_path / "prometheus", target) as (address, _):

        def query(expression: str) -> float:
            code, text = ask(f"{address}/api/v1/query?query={quote(expression)}")
            found = json.loads(text)["data"]["result"] if code == 200 else []
            return float(found[0]["value"][1]) if found else math.nan

        for number in range(100):
            assert ask(f"{service.url}/login/user-{number}")[0] == 200
        becomes_true(lambda: query("sum(http_server_request_duration_seconds_count)") == 100, 30)
        os.kill(service.serves(), signal.SIGKILL)
        for _ in range(100):
            assert ask(f"{service.url}/page")[0] == 200
        becomes_true(lambda: query("sum(http_server_request_duration_seconds_count)") == 200, 30)
        assert query('http_server_request_duration_seconds_count{http_route="/login/<name>"}') == 100
        assert query("up") == 1 and query("service_workers") == 4
        assert query("histogram_quantile(0.5, sum by (le) (http_server_request_duration_seconds_bucket))") < 1
        # As the recording rule has it, for so few.
        empty = "count(max by (register) (users_daily_sketch) == 0)"
        assert abs(query(f"256 * ln(256 / {empty})") - 100) < 20
