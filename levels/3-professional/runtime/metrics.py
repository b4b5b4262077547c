"""Metrics: what the service does, for Prometheus, at http://HOST:9464/metrics (METRICS_PORT), never on its own port.

`init_service` calls `init`; it does something only while FEATURE_FLAGS holds `service_metrics`. Requests, processes
and readiness are measured without a change of your code. Users of a day are told by flask-login, or by your
`user_id()` in checks.py: called once a request, it returns a text, or None for nobody. Work is told by the worker:

    metrics = serve_health("name").get_app().extensions["service_metrics"]
    with metrics.job():       # or `since=` the time.time() at which it was put into its queue
        ...
    metrics.heartbeat()       # by a loop that may have nothing to do; a job is a heartbeat too
"""

import fcntl
import glob
import hmac
import logging
import mmap
import os
import re
import shutil
import signal
import socket
import socketserver
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

FLAG = "service_metrics"
# OpenTelemetry's http.server.request.duration has these buckets and methods.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
LOOK = 0.5  # seconds between two looks at whether who serves the metrics is still there
REGISTERS = 256  # of the HyperLogLog: a standard error of 1.04 / sqrt(256), 6.5%
log = logging.getLogger("metrics")


class Group:
    """The processes that count together: gunicorn's, or one alone; they share a folder, in which each has a place.

    A place is a number whose byte in the file `places` its process has locked; the kernel gives the lock back
    however that process ends. The next one takes the place with its files, and counts on where they end.
    """

    def __init__(self) -> None:
        worker = hasattr(getattr(signal.getsignal(signal.SIGABRT), "__self__", None), "ppid")  # of gunicorn's
        self.preloaded = "gunicorn.arbiter" in sys.modules and not worker  # this is the master, which will fork
        reloader = os.environ.get("WERKZEUG_RUN_MAIN") == "true"
        self.leader = os.getppid() if worker or reloader else os.getpid()
        self.place, self.file = 0, -1
        self.server: Any = None
        mine = f"{tempfile.gettempdir()}/metrics-of-{socket.gethostname()}-"
        given = os.environ.get("PROMETHEUS_MULTIPROC_DIR", mine)  # one of ours is that of who started this process
        for old in glob.glob(f"{glob.escape(mine)}*"):
            of = re.fullmatch(r"(\d+)-(\d+)", old.removeprefix(mine))
            if of and started_at(int(of[1])) != int(of[2]):
                shutil.rmtree(old, ignore_errors=True)
        self.folder = given if not given.startswith(mine) else f"{mine}{self.leader}-{started_at(self.leader)}"
        Path(self.folder).mkdir(mode=0o700, exist_ok=True)
        if os.lstat(self.folder).st_uid != os.geteuid():
            raise PermissionError(f"{self.folder} belongs to somebody else")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = self.folder
        if not self.preloaded:
            self.enter()

    def enter(self) -> None:
        """Take the first place that no living process has."""
        self.file = os.open(f"{self.folder}/places", os.O_RDWR | os.O_CREAT, 0o600)
        self.place = next(number for number in count(1) if self.lock(number))
        for file in glob.glob(f"{glob.escape(self.folder)}/gauge_live*_{self.place}.db"):
            os.unlink(file)  # what a process that is gone was doing
        os.pwrite(self.file, struct.pack("q", os.getpid()), 8 * self.place)

    def lock(self, number: int) -> bool:
        """Lock a place, or 0 to serve; return whether no other process has it."""
        with suppress(OSError):
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            return True
        return False

    def living(self) -> dict[int, int]:
        """Return the places that are taken, and by which process."""
        pids = [pid for (pid,) in struct.iter_unpack("q", os.pread(self.file, os.fstat(self.file).st_size, 0))]
        found = {self.place: os.getpid()}
        for number, pid in enumerate(pids):
            if number not in (0, self.place):
                if self.lock(number):
                    fcntl.lockf(self.file, fcntl.LOCK_UN, 1, number)
                else:
                    found[number] = pid
        return found

    def forked(self) -> bool:
        """Forget, in a process that was forked, what its parent has; return whether it is a worker of a master."""
        if self.server is not None:
            self.server.socket.close()
        if self.file >= 0:
            os.close(self.file)
        worker = self.preloaded and os.getppid() == self.leader
        self.server, self.file, self.place, self.preloaded = None, -1, 0, False
        return worker

    def name(self) -> int:
        """Return what the files of this process are called by."""
        if not self.place and not self.preloaded:
            self.enter()
        return self.place


class Request:
    """One request, between server and application: `start` is its start_response, and it is the response's body."""

    __slots__ = ("begun", "body", "close_body", "environ", "metrics", "route", "start_response", "status")

    def __init__(self, metrics: "Metrics", environ: dict[str, Any], start_response: Any) -> None:
        self.metrics, self.environ, self.start_response = metrics, environ, start_response
        self.status, self.route, self.begun = "500", "", time.perf_counter()
        self.body: Any = ()
        self.close_body: Any = None
        metrics.active.add(self)

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """Pass on what the application answers, and keep the status, and which of Flask's rules matched."""
        self.status = status[:3]
        if rule := getattr(self.environ.get("werkzeug.request"), "url_rule", None):  # gone when Flask is done
            self.route = rule.rule
        return self.start_response(status, headers, *([exc_info] if exc_info else []))

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self.body
        except Exception:
            self.status = "500"
            raise

    def close(self) -> None:
        """Count the request: the server calls this once the body is sent, or can't be."""
        try:
            if self.close_body:
                self.close_body()
        finally:
            self.end()

    def end(self) -> None:
        """Count the request, once."""
        if self in self.metrics.active:
            self.metrics.active.discard(self)
            method = self.environ["REQUEST_METHOD"]
            labels = (method if method in METHODS else "_OTHER", self.route, self.status)
            self.metrics.count(labels, time.perf_counter() - self.begun)


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """Serves the metrics, a thread for each request."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Bind the port, without asking DNS for the name of this machine, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "metrics", self.server_address[1]
        self.setup_environ()


class Metrics:
    """What this process measures, while it is `on`; one for the process, however many services stand in it."""

    def __init__(self) -> None:
        self.on, self.lock = False, threading.Lock()
        self.app: Any = None
        self.service = ""
        self.user_id: Callable[[], Any] | None = None
        self.jobs: dict[object, float] = {}  # those under way, by when they began
        self.active: set[Request] = set()
        self.children: dict[tuple[str, str, str], Any] = {}
        self.registers: tuple[str, Any] = ("", None)  # by day
        self.told: set[str] = set()

    def begin(self) -> None:
        """Join the group, and serve. Raises ImportError without prometheus_client, and OSError."""
        import prometheus_client
        from prometheus_client import values

        self.port, self.client, self.group = port(), prometheus_client, Group()
        # Metrics of your own that are made from now on, or have labels, count for all processes too.
        values.ValueClass = values.MultiProcessValue(self.group.name)  # type: ignore[assignment]
        names = ["http_request_method", "http_route", "http_response_status_code"]
        self.durations = prometheus_client.Histogram(
            "http_server_request_duration_seconds", "Until the body is sent", names, buckets=BUCKETS, registry=None
        )
        self.requests = self.gauge("http_server_active_requests", "Requests under way", "livesum")
        self.up = self.gauge("readiness_check_up", "Last answer that a probe got", "mostrecent", "check")
        self.required = self.gauge("readiness_check_required", "Else it only warns", "mostrecent", "check")
        os.register_at_fork(after_in_child=self.forked)
        self.on = True
        if not self.group.preloaded:
            self.start()

    def start(self) -> None:
        """Serve from a thread, as soon as nobody else does."""
        threading.Thread(target=self.serve, name="metrics", daemon=True).start()

    def forked(self) -> None:
        """Begin anew in a process that was forked."""
        self.lock, self.registers = threading.Lock(), ("", None)
        self.jobs.clear()
        self.active.clear()
        if self.group.forked():
            self.group.enter()
            self.start()

    def gauge(self, name: str, about: str, mode: Any, *labels: str) -> Any:
        """Return a gauge; `mode` is how those of several processes are merged."""
        return self.client.Gauge(name, about, labels, multiprocess_mode=mode, registry=None)

    def tell(self, text: str, *values: object) -> None:
        """Log a warning, once."""
        if text not in self.told:
            self.told.add(text)
            log.warning(text, *values)

    # What is measured

    def attach(self, app: Any, service_name: str) -> None:
        """Measure the service that `app`, as init_service returns it, is."""
        health = app.extensions["levels_health"]
        self.app, self.service = health.app, service_name
        if health.inner is not None:
            health.inner = self.measured(health.inner)
        health.readiness = self.remembered(health)
        code = type(health).__call__.__globals__  # of health.py, in whatever way it was imported
        own = code["HERE"].with_name("checks.py")
        if own.is_file() and b"def user_id(" in own.read_bytes():
            self.user_id = lambda: code["load"](own, code["__package__"]).user_id()
        if hasattr(self.app, "teardown_request") and (self.user_id or "flask_login" in sys.modules):
            self.app.teardown_request(self.visited)
        if "celery" in sys.modules:
            self.follow_celery()

    def measured(self, application: Any) -> Any:
        """Return the WSGI application, measured."""

        def measure(environ: dict[str, Any], start_response: Any) -> Any:
            if "HTTP_UPGRADE" in environ and environ["HTTP_UPGRADE"].lower() == "websocket":
                return application(environ, start_response)  # which lasts as long as somebody has a page open
            request = Request(self, environ, start_response)
            try:
                body = request.body = application(environ, request.start)
            except BaseException:
                request.status = "500"
                request.end()
                raise
            request.close_body, file = getattr(body, "close", None), environ.get("wsgi.file_wrapper")
            if not isinstance(file, type) or not isinstance(body, file):
                return request
            body.close = request.close  # a server sends a file faster, if it is still of that class
            return body

        return measure

    def count(self, labels: tuple[str, str, str], seconds: float) -> None:
        """Count a request that is over."""
        try:
            if labels not in self.children:
                self.children[labels] = self.durations.labels(*labels)
            self.children[labels].observe(seconds)
        except OSError as error:
            self.tell("not measured: %s", error)

    def remembered(self, health: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Return the readiness probe, whose answers are kept: nothing is asked for metrics alone."""
        ask = health.readiness

        def answer(environ: dict[str, Any]) -> dict[str, Any]:
            found: dict[str, Any] = ask(environ)
            for name, state in found["checks"].items():
                if name not in health.refusals:
                    self.up.labels(name).set(state["status"] == "pass")
                    self.required.labels(name).set(state["required"])
            return found

        return answer

    # Users of a day

    def secret(self) -> bytes | None:
        """Return what the processes of all hosts share, or None where it isn't known who a user is."""
        if self.user_id is None and not hasattr(self.app, "login_manager"):
            return None
        secret = os.environ.get("METRICS_KEY") or getattr(self.app, "config", {}).get("SECRET_KEY")
        if not secret:
            self.tell("users aren't counted: expected METRICS_KEY or the app's SECRET_KEY, the same on every host")
            return None
        return secret if isinstance(secret, bytes) else str(secret).encode()

    def visited(self, _: BaseException | None) -> None:
        """Count the user of a request of Flask's that is over: so no header changes and no query is made for it."""
        if secret := self.secret():
            try:
                if user := self.user_id() if self.user_id else logged_in():
                    self.add(secret, str(user))
            except Exception as error:
                self.tell("users aren't counted: %s: %s", type(error).__name__, error)

    def add(self, secret: bytes, user: str) -> None:
        """Add a user to the day's HyperLogLog. Its key is the day's own: nobody can be followed over two days."""
        day = today()
        digest = hmac.digest(secret, f"users of {day}: {user}".encode(), "sha256")
        register, rank = digest[0], 57 - (int.from_bytes(digest[1:8], "big")).bit_length()
        with self.lock:
            if self.registers[0] != day:
                with open(f"{self.group.folder}/users-{day}-{self.group.name()}", "a+b") as file:
                    file.truncate(REGISTERS)
                    self.registers = (day, mmap.mmap(file.fileno(), REGISTERS))
            self.registers[1][register] = max(rank, self.registers[1][register])

    # Workers

    @cached_property
    def oldest(self) -> Any:
        """When the oldest job under way began, infinity without one; there from the first job on."""
        return self.gauge("worker_oldest_job_age_seconds", "Of the jobs under way", "livemin")

    @cached_property
    def outcomes(self) -> dict[str, Any]:
        """The counters of jobs."""
        jobs = self.client.Counter("worker_jobs", "Jobs that have ended", ["outcome"], registry=None)
        return {outcome: jobs.labels(outcome) for outcome in ("success", "failure")}

    @cached_property
    def beat(self) -> Any:
        """When the worker last showed that it goes on."""
        return self.gauge("worker_heartbeat_timestamp_seconds", "When the worker last went on", "livemax")

    def heartbeat(self) -> None:
        """Tell that the worker's loop goes on. A thread of ours couldn't: it lives on beside a loop that hangs."""
        if self.on:
            self.beat.set(time.time())

    @contextmanager
    def job(self, since: float | None = None) -> Iterator[None]:
        """Count what stands in the `with`, or a function that this decorates, as one job: a failure where it raises.

        Its age is counted from `since`, the time.time() at which it was put into its queue, or from now.
        """
        me = object()
        self.job_begins(me, since)
        try:
            yield
        except BaseException:
            self.job_ends(me, "failure")
            raise
        self.job_ends(me, "success")

    def job_begins(self, job: object, since: float | None = None) -> None:
        """Tell that a job is under way."""
        if self.on:
            with self.lock:
                self.jobs[job] = since or time.time()
                self.oldest.set(min(self.jobs.values()))
            _ = self.outcomes  # there as 0, before one has ended
            self.heartbeat()

    def job_ends(self, job: object, outcome: str) -> None:
        """Tell that it is no more; an `outcome` beside success and failure, such as Celery's retry, isn't counted."""
        if self.on:
            with self.lock:
                self.jobs.pop(job, None)
                self.oldest.set(min(self.jobs.values(), default=float("inf")))
            if outcome in self.outcomes:
                self.outcomes[outcome].inc()
            self.heartbeat()

    def follow_celery(self) -> None:
        """Count tasks of Celery's as jobs."""
        from celery import signals

        signals.task_prerun.connect(lambda task_id, **_: self.job_begins(task_id), weak=False, dispatch_uid=FLAG)
        signals.task_postrun.connect(
            lambda task_id, state, **_: self.job_ends(task_id, str(state).lower()), weak=False, dispatch_uid=FLAG
        )

    # What is told

    def serve(self) -> None:
        """Serve, for as long as this process lives, once no other of the group does."""
        registry = self.client.CollectorRegistry()
        registry.register(self)
        quiet = type("Quiet", (WSGIRequestHandler,), {"log_message": lambda *_: None})
        while True:
            if self.group.lock(0):
                try:
                    self.group.server = Server(("", self.port), quiet)
                    self.group.server.set_app(self.client.make_wsgi_app(registry))
                    self.group.server.serve_forever()
                except OSError as error:
                    self.tell("METRICS_PORT=%s: no metrics are served until it is free: %s", self.port, error)
            self.requests.set(len(self.active))
            time.sleep(LOOK)

    def collect(self) -> Iterator[Any]:
        """Yield the metrics of all processes of the group. prometheus_client calls it for each request."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
        from prometheus_client.multiprocess import MultiProcessCollector

        self.requests.set(len(self.active))
        living, now, files = self.group.living(), time.time(), []
        for file in glob.glob(f"{glob.escape(self.group.folder)}/*.db"):
            live = re.fullmatch(r".*/gauge_live[a-z]+_(\d+)\.db", file)
            if os.path.getsize(file) and (live is None or int(live[1]) in living):
                files.append(file)
        for metric in MultiProcessCollector.merge(files):
            if metric.name == "worker_oldest_job_age_seconds":
                metric.samples = [one._replace(value=max(0.0, now - one.value)) for one in metric.samples]
            yield metric
        yield GaugeMetricFamily("service_workers", "Processes that are alive", value=len(living))
        about = {"version": os.getenv("SERVICE_VERSION", "unknown"), "environment": os.getenv("ENVIRONMENT", "local")}
        build = GaugeMetricFamily("service_build_info", "What runs", labels=["service", *about])
        build.add_metric([self.service, *about.values()], 1)
        yield build
        with suppress(OSError):
            cpu, *rest = used(self.group.leader, set(living.values()))
            yield CounterMetricFamily("process_cpu_seconds", "User and system CPU time, of all processes", value=cpu)
            for name, value in zip(("resident_memory_bytes", "open_fds", "start_time_seconds"), rest, strict=True):
                yield GaugeMetricFamily(f"process_{name}", "Sum of all processes; their start: the first's", value=value)
        if self.secret():
            sketch = GaugeMetricFamily("users_daily_sketch", "HyperLogLog of today's users", labels=["register"])
            for register, rank in enumerate(users(self.group.folder)):
                sketch.add_metric([str(register)], rank)
            yield sketch


def logged_in() -> Any:
    """Return the id of flask-login's user, if somebody is logged in: from the session, or from who was asked for."""
    from flask import g, session

    if user := session.get("_user_id"):
        return user
    user = g.get("_login_user")
    return user.get_id() if getattr(user, "is_authenticated", False) else None


def today() -> str:
    """Return the day in UTC."""
    return time.strftime("%Y%m%d", time.gmtime())


def users(folder: str) -> list[int]:
    """Return the registers of today's users, merged; those of other days go."""
    found = [0] * REGISTERS
    for file in map(Path, glob.glob(f"{glob.escape(folder)}/users-*")):
        if f"-{today()}-" in file.name:
            found = list(map(max, found, file.read_bytes() or found))
        else:
            file.unlink(missing_ok=True)
    return found


def stat(pid: int) -> list[str]:
    """Return Linux' figures of a process, from its state on. Raises OSError."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def started_at(pid: int) -> int:
    """Return when a process started, in ticks since boot; 0 where that isn't known or there is none."""
    with suppress(OSError):
        return int(stat(pid)[19])
    return 0


def used(leader: int, workers: set[int]) -> tuple[float, float, float, float]:
    """Return CPU seconds, bytes of memory and open files of all processes, and the leader's start. Raises OSError.

    The leader has the time of workers that have ended, so a counter never goes back: if one ends meanwhile, look again.
    """
    while True:
        first, seconds, memory, files = stat(leader), 0, 0, 0
        for pid in workers | {leader}:
            with suppress(FileNotFoundError, ProcessLookupError):
                figures = stat(pid)
                seconds += sum(map(int, figures[11:15]))
                memory += int(figures[21]) * os.sysconf("SC_PAGE_SIZE")
                files += len(os.listdir(f"/proc/{pid}/fd"))
        if stat(leader)[13:15] == first[13:15]:
            break
    ticks = os.sysconf("SC_CLK_TCK")
    booted = next(int(line[6:]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return seconds / ticks, memory, files, booted + int(first[19]) / ticks


def port() -> int:
    """Return METRICS_PORT. Raises ValueError where it is no port."""
    text = os.environ.get("METRICS_PORT") or "9464"
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise ValueError(f"METRICS_PORT={text}: expected a number from 1 to 65535")


metrics = Metrics()


def init(app: Any, service_name: str) -> Metrics:
    """Measure the service while the flag is on; put it into app.extensions["service_metrics"], and return it."""
    app.extensions[FLAG] = metrics
    if FLAG in map(str.strip, os.environ.get("FEATURE_FLAGS", "").split(",")):
        try:
            if not metrics.on:
                metrics.begin()
            metrics.attach(app, service_name)
        except (ImportError, OSError) as error:
            metrics.tell("%s: metrics are off: %s", service_name, error)
    return metrics
