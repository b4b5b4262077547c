"""Metrics: what the service does, for Prometheus, at http://HOST:9464/metrics (METRICS_PORT), never on its own port.

`init_service` calls `init`; it does something only while FEATURE_FLAGS holds `service_metrics`. Requests, processes
and readiness are measured without a change of your code. Users of a day are told by flask-login, or by a
`user_id()` of yours in checks.py, asked after each request: a text, or None for nobody. A worker tells of its work:

    metrics = serve_health("name").get_app().extensions["service_metrics"]
    with metrics.job():       # or job(since), the time.time() at which it was put into its queue
        ...
    metrics.heartbeat()       # each time that the loop comes round: from then on its absence is a fault
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
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import import_module
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FLAG = "service_metrics"
# OpenTelemetry's buckets of http.server.request.duration, and the methods that it knows.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
LOOK = 0.5  # seconds between two looks at whether somebody serves the metrics
REGISTERS = 256  # of the HyperLogLog: its standard error is 1.04 / sqrt(256), 6.5%
FAR = 2.0**40  # seconds after 1970; less the time at which a job began, it is the larger, the older the job
log = logging.getLogger("metrics")


class Group:
    """The processes that count together, gunicorn's or one alone: they share a folder, in which each has a place.

    A place is a number, and a byte of the file `places` that its process has locked until it ends, however that
    happens. The next process takes the place over with its files, and counts on where they end: no count is lost.
    """

    def __init__(self) -> None:
        worker = hasattr(getattr(signal.getsignal(signal.SIGABRT), "__self__", None), "ppid")  # one of gunicorn's
        self.preloaded = "gunicorn.arbiter" in sys.modules and not worker  # this is its master, and will fork
        reloaded = os.environ.get("WERKZEUG_RUN_MAIN") == "true"
        self.leader = os.getppid() if worker or reloaded else os.getpid()
        self.place, self.file, self.server = 0, -1, None
        ours = f"{tempfile.gettempdir()}/metrics-of-{socket.gethostname()}-"
        for path in glob.glob(f"{glob.escape(ours)}*"):
            old = re.fullmatch(r"(\d+)-(\d+)", path.removeprefix(ours))
            if old and started_at(int(old[1])) != int(old[2]):
                shutil.rmtree(path, ignore_errors=True)
        given = os.environ.get("PROMETHEUS_MULTIPROC_DIR", ours)  # one of ours is that of who started this process
        self.folder = f"{ours}{self.leader}-{started_at(self.leader)}" if given.startswith(ours) else given
        os.makedirs(self.folder, 0o700, exist_ok=True)
        if self.folder != given and os.lstat(self.folder).st_uid != os.geteuid():
            raise PermissionError(f"{self.folder} belongs to somebody else")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = self.folder
        self.name()

    def name(self) -> int:
        """Return this process's place, by which its files are called. The first one that is free is taken."""
        if not self.place and not self.preloaded:
            self.file = os.open(f"{self.folder}/places", os.O_RDWR | os.O_CREAT, 0o600)
            self.place = next(number for number in count(1) if self.lock(number))
            for path in glob.glob(f"{glob.escape(self.folder)}/gauge_live*_{self.place}.db"):
                os.unlink(path)  # what a process was doing that is gone
            os.pwrite(self.file, struct.pack("q", os.getpid()), 8 * self.place)
        return self.place

    def lock(self, number: int) -> bool:
        """Lock a place, or 0 to serve; return whether no other process has it."""
        with suppress(OSError):
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            return True
        return False

    def living(self) -> dict[int, int]:
        """Return which places are taken, and by which process."""
        found = {self.place: os.getpid()}
        pids = struct.iter_unpack("q", os.pread(self.file, os.fstat(self.file).st_size, 0))
        for number, (pid,) in enumerate(pids):
            if number not in (0, self.place):
                if self.lock(number):
                    fcntl.lockf(self.file, fcntl.LOCK_UN, 1, number)
                else:
                    found[number] = pid
        return found

    def forked(self) -> bool:
        """Forget what the process has of which this is a fork; return whether this is a worker of a master."""
        if self.server is not None:
            self.server.socket.close()
        if self.file >= 0:
            os.close(self.file)
        worker = self.preloaded and os.getppid() == self.leader
        self.place, self.file, self.server, self.preloaded = 0, -1, None, False
        return worker


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
        """Pass on what the application answers; keep its status, and the rule by which Flask came to it."""
        self.status = status[:3]
        if rule := getattr(self.environ.get("werkzeug.request"), "url_rule", None):  # gone once Flask is done
            self.route = rule.rule
        return self.start_response(status, headers, *([exc_info] if exc_info else []))

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self.body
        except Exception:
            self.status = "500"
            raise

    def close(self) -> None:
        """Count the request: a server calls this when it has sent the body, or can't."""
        try:
            if self.close_body:
                self.close_body()
        finally:
            if self in self.metrics.active:
                self.metrics.active.discard(self)
                method = self.environ["REQUEST_METHOD"]
                labels = (method if method in METHODS else "_OTHER", self.route, self.status)
                self.metrics.count(labels, time.perf_counter() - self.begun)


class Metrics:
    """What this process measures while it is `on`; one for all services that stand in it."""

    def __init__(self) -> None:
        self.on, self.lock, self.service = False, threading.Lock(), ""
        self.client: Any
        self.app: Any = None
        self.user_id: Callable[[], Any] | None = None
        self.active: set[Request] = set()
        self.children: dict[tuple[str, str, str], Any] = {}
        self.registers: tuple[str, Any] = ("", None)  # those of a day
        self.jobs: dict[object, float] = {}  # when those began that are under way
        self.told: set[str] = set()

    def begin(self) -> None:
        """Join the group, and serve. Raises ImportError without prometheus_client, OSError, ValueError."""
        self.client, self.port = import_module("prometheus_client"), port()
        self.group, values = Group(), self.client.values
        # Metrics of your own that have labels, or are made from now on, are those of all processes too.
        values.ValueClass = values.MultiProcessValue(self.group.name)
        labels = ["http_request_method", "http_route", "http_response_status_code"]
        self.durations = self.client.Histogram(
            "http_server_request_duration_seconds", "Until the body is sent", labels, buckets=BUCKETS, registry=None
        )
        self.requests = self.gauge("http_server_active_requests", "Requests under way", "livesum")
        self.up = self.gauge("readiness_check_up", "What a probe was told last", "mostrecent", "check")
        self.required = self.gauge("readiness_check_required", "Else it only warns", "mostrecent", "check")
        os.register_at_fork(after_in_child=self.forked)
        self.on = True
        if not self.group.preloaded:
            self.start()

    def start(self) -> None:
        """Serve from a thread."""
        threading.Thread(target=self.serve, name="metrics", daemon=True).start()

    def forked(self) -> None:
        """Begin anew in a fork, and serve in a master's worker: by gevent's loop, as that is yet to replace threads."""
        self.lock, self.registers = threading.Lock(), ("", None)
        self.jobs.clear()
        self.active.clear()
        if self.group.forked():
            self.group.name()
            if "gunicorn.workers.ggevent" in sys.modules:
                import_module("gevent").spawn(self.start)
            else:
                self.start()

    def gauge(self, name: str, about: str, mode: str, *labels: str) -> Any:
        """Return a gauge; `mode` is how those of several processes become one."""
        return self.client.Gauge(name, about, labels, multiprocess_mode=mode, registry=None)

    def tell(self, text: str, *values: object) -> None:
        """Log a warning, once."""
        if text not in self.told:
            self.told.add(text)
            log.warning(text, *values)

    def attach(self, app: Any, service_name: str) -> None:
        """Measure a service; `app` is as init_service has it."""
        health = app.extensions["levels_health"]
        self.app, self.service, ask = health.app, service_name, health.readiness
        if health.inner is not None:
            health.inner = self.measured(health.inner)

        def readiness(environ: dict[str, Any]) -> dict[str, Any]:
            answer: dict[str, Any] = ask(environ)  # when a probe asks: nothing is asked for metrics alone
            with suppress(OSError):
                for name, state in answer["checks"].items():
                    if name not in health.refusals:
                        self.up.labels(name).set(state["status"] == "pass")
                        self.required.labels(name).set(state["required"])
            return answer

        health.readiness = readiness
        code = type(health).__call__.__globals__  # of health.py, in whatever way that was imported
        own = code["HERE"].with_name("checks.py")
        if own.is_file() and b"def user_id(" in own.read_bytes():
            self.user_id = lambda: code["load"](own, code["__package__"]).user_id()
        if hasattr(self.app, "teardown_request") and (self.user_id or "flask_login" in sys.modules):
            self.app.teardown_request(self.visited)
        if "celery" in sys.modules:
            tasks = import_module("celery.signals")
            once: Any = {"weak": False, "dispatch_uid": FLAG}
            tasks.heartbeat_sent.connect(lambda **_: self.heartbeat(), **once)
            tasks.task_prerun.connect(lambda task_id, **_: self.track(task_id, began=time.time()), **once)
            tasks.task_postrun.connect(lambda task_id, state, **_: self.track(task_id, str(state).lower()), **once)

    def measured(self, application: Any) -> Any:
        """Return the WSGI application, measured."""

        def measure(environ: dict[str, Any], start_response: Any) -> Any:
            if "HTTP_UPGRADE" in environ and environ["HTTP_UPGRADE"].lower() == "websocket":
                return application(environ, start_response)  # which lasts as long as somebody has a page open
            request = Request(self, environ, start_response)
            body: Any
            try:
                body = request.body = application(environ, request.start)
            except BaseException:
                request.status = "500"
                request.close()
                raise
            request.close_body, file = getattr(body, "close", None), environ.get("wsgi.file_wrapper")
            if not isinstance(file, type) or not isinstance(request.body, file):
                return request
            body.close = request.close  # a server knows a file, which it can send faster, by its class
            return body

        return measure

    def count(self, labels: tuple[str, str, str], seconds: float) -> None:
        """Count a request that is over."""
        try:
            if labels not in self.children:
                self.children[labels] = self.durations.labels(*labels)
            self.children[labels].observe(seconds)
        except OSError as error:
            self.tell("requests aren't counted: %s", error)

    def secret(self) -> bytes | None:
        """Return what the processes of all hosts share; None where that, or who a user is, isn't known."""
        if self.user_id is None and not hasattr(self.app, "login_manager"):
            return None
        secret = os.environ.get("METRICS_KEY") or getattr(self.app, "config", {}).get("SECRET_KEY")
        if not secret:
            self.tell("users aren't counted: expected METRICS_KEY or the app's SECRET_KEY, the same on every host")
            return None
        return secret if isinstance(secret, bytes) else str(secret).encode()

    def visited(self, _: BaseException | None) -> None:
        """Count the user of a request when Flask is done with it, so that this changes no header of the response."""
        if secret := self.secret():
            try:
                if user := self.user_id() if self.user_id else logged_in():
                    self.add_user(secret, str(user))
            except Exception as error:
                self.tell("users aren't counted: %s: %s", type(error).__name__, error)

    def add_user(self, secret: bytes, user: str) -> None:
        """Add a user to the day's HyperLogLog. Its key is of that day alone: nobody is followed over two days."""
        key = hmac.digest(secret, f"users of {(day := today())}".encode(), "sha256")
        digest = hmac.digest(key, user.encode(), "sha256")
        register, rank = digest[0], 57 - int.from_bytes(digest[1:8], "big").bit_length()
        with self.lock:
            if self.registers[0] != day:
                with open(f"{self.group.folder}/users-{day}-{self.group.name()}", "a+b") as file:
                    file.truncate(REGISTERS)
                    self.registers = (day, mmap.mmap(file.fileno(), REGISTERS))
            self.registers[1][register] = max(rank, self.registers[1][register])

    @cached_property
    def work(self) -> SimpleNamespace:
        """The metrics of jobs, there once there is one."""
        jobs = self.client.Counter("worker_jobs", "Jobs that have ended", ["outcome"], registry=None)
        return SimpleNamespace(
            ended={outcome: jobs.labels(outcome) for outcome in ("success", "failure")},
            oldest=self.gauge("worker_oldest_job_age_seconds", "Of the jobs under way", "livemax"),
        )

    @cached_property
    def beat(self) -> Any:
        """When the worker's loop last came round, there once it tells."""
        return self.gauge("worker_heartbeat_timestamp_seconds", "When the loop last came round", "livemax")

    def heartbeat(self) -> None:
        """Tell that the worker's loop goes on. A thread of ours couldn't: it lives on beside a loop that hangs."""
        if self.on:
            self.beat.set(time.time())

    @contextmanager
    def job(self, since: float | None = None) -> Iterator[None]:
        """Count what stands in the `with`, or a function that this decorates, as a job: a failure where it raises.

        Its age counts from `since`, the time.time() at which it was put into its queue, or from now.
        """
        outcome, me = "failure", object()
        self.track(me, began=since or time.time())
        try:
            yield
            outcome = "success"
        finally:
            self.track(me, outcome)

    def track(self, job: object, outcome: str = "", began: float = 0) -> None:
        """Keep when a job began, or count how it ended: `success`, `failure`, or what isn't counted, as a retry."""
        if self.on:
            with self.lock:
                self.jobs.pop(job, None)
                if began:
                    self.jobs[job] = began
                self.work.oldest.set(max((FAR - at for at in self.jobs.values()), default=0))
            if outcome in self.work.ended:
                self.work.ended[outcome].inc()

    def serve(self) -> None:
        """Serve for as long as this process lives, once no other of the group does."""
        registry = self.client.CollectorRegistry()
        registry.register(self)
        while True:
            try:
                self.requests.set(len(self.active))
                if self.group.lock(0):
                    self.group.server, thread = self.client.start_http_server(self.port, registry=registry)
                    thread.join()
            except OSError as error:
                self.tell("METRICS_PORT=%s: no metrics are served until that is free: %s", self.port, error)
            time.sleep(LOOK)

    def collect(self) -> Iterator[Any]:
        """Yield the metrics of all processes. prometheus_client calls this for each answer."""
        self.requests.set(len(self.active))
        core, now, living, files = import_module("prometheus_client.core"), time.time(), self.group.living(), []
        for path in glob.glob(f"{glob.escape(self.group.folder)}/*.db"):
            live = re.fullmatch(r".*/gauge_live[a-z]+_(\d+)\.db", path)
            if os.path.getsize(path) and (live is None or int(live[1]) in living):
                files.append(path)
        for metric in import_module("prometheus_client.multiprocess").MultiProcessCollector.merge(files):
            if metric.name == "worker_oldest_job_age_seconds":
                ages = [(one, now - (FAR - one.value) if one.value else 0) for one in metric.samples]
                metric.samples = [one._replace(value=max(0.0, age)) for one, age in ages]
            yield metric
        about = {"version": os.getenv("SERVICE_VERSION", "unknown"), "environment": os.getenv("ENVIRONMENT", "local")}
        build = core.GaugeMetricFamily("service_build_info", "What runs", labels=["service", *about])
        build.add_metric([self.service, *about.values()], 1)
        yield build
        yield core.GaugeMetricFamily("service_workers", "Processes that are alive", len(living))
        with suppress(OSError):  # no Linux, or a master of another user
            cpu, memory, opened, start = used(self.group.leader, set(living.values()))
            yield core.CounterMetricFamily("process_cpu_seconds", "Of all processes, ended ones too", cpu)
            yield core.GaugeMetricFamily("process_resident_memory_bytes", "Of all processes", memory)
            yield core.GaugeMetricFamily("process_open_fds", "Of all processes", opened)
            yield core.GaugeMetricFamily("process_start_time_seconds", "Of the oldest process", start)
        if self.secret():
            sketch = core.GaugeMetricFamily("users_daily_sketch", "HyperLogLog of today's users", labels=["register"])
            for register, rank in enumerate(users(self.group.folder)):
                sketch.add_metric([str(register)], rank)
            yield sketch


def logged_in() -> Any:
    """Return the id of flask-login's user: by the session, which asks no database, else as the request had it."""
    flask = import_module("flask")
    user = flask.g.get("_login_user")
    return flask.session.get("_user_id") or (user.get_id() if getattr(user, "is_authenticated", False) else None)


def today() -> str:
    """Return the day in UTC."""
    return time.strftime("%Y%m%d", time.gmtime())


def users(folder: str) -> list[int]:
    """Return the registers of today's users, merged; those of other days go."""
    found = [0] * REGISTERS
    for path in map(Path, glob.glob(f"{glob.escape(folder)}/users-*")):
        if path.name.startswith(f"users-{today()}-"):
            found = list(map(max, found, path.read_bytes() or found))
        else:
            path.unlink(missing_ok=True)
    return found


def stat(pid: int) -> list[str]:
    """Return Linux' figures of a process, from its state on. Raises OSError."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def started_at(pid: int) -> int:
    """Return when a process started, in ticks since the machine did; 0 where there is none, or no Linux."""
    with suppress(OSError):
        return int(stat(pid)[19])
    return 0


def used(leader: int, workers: set[int]) -> tuple[float, int, int, float]:
    """Return CPU seconds, bytes of memory and open files of all processes, and when the leader started. Raises OSError.

    The leader has the CPU time of workers that ended: where one does meanwhile, look again, or a counter goes back.
    """
    figures: list[str] = []
    while figures[13:15] != (figures := stat(leader))[13:15]:
        ticks = memory = files = 0
        for pid in {leader, *workers}:
            with suppress(FileNotFoundError, ProcessLookupError):
                of = stat(pid)
                ticks, memory = ticks + sum(map(int, of[11:15])), memory + int(of[21]) * mmap.PAGESIZE
                files += len(os.listdir(f"/proc/{pid}/fd"))
    second, since = os.sysconf("SC_CLK_TCK"), re.search(r"^btime (\d+)", Path("/proc/stat").read_text(), re.MULTILINE)
    return ticks / second, memory, files, int(since[1] if since else 0) + int(figures[19]) / second


def port() -> int:
    """Return METRICS_PORT. Raises ValueError where it is no port."""
    text = os.environ.get("METRICS_PORT") or "9464"
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise ValueError(f"METRICS_PORT={text}: expected a number from 1 to 65535")


metrics = Metrics()


def init(app: Any, service_name: str) -> Metrics:
    """Measure the service while the flag is on; put the metrics into app.extensions["service_metrics"]."""
    app.extensions[FLAG] = metrics
    if FLAG in map(str.strip, os.environ.get("FEATURE_FLAGS", "").split(",")):
        try:
            if not metrics.on:
                metrics.begin()
            metrics.attach(app, service_name)
        except (ImportError, OSError) as error:
            metrics.tell("%s: no metrics: %s", service_name, error)
    return metrics
