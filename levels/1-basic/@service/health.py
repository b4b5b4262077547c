"""The service's health, and the seam that later levels plug into.

A web service calls `init_service(app, "name")` once, a worker `serve_health("name")`:

    /health     the process answers; nothing else is looked at, so it is always cheap
    /readiness  may traffic be sent here? 200 is yes, 503 is no

What is checked for /readiness stands in readiness.json (from the project's answers) and in checks.py, which is yours:

    READINESS = [stock_is_fresh]             # functions without parameters; one that raises, or returns False, fails
    READINESS_OPTIONAL = [mail_is_up]        # these only warn

All run at once and have one deadline. A result is kept for some seconds, and nobody asks twice at a time. SIGTERM
turns /readiness to 503 at once; a web service serves on for DRAIN_SECONDS, so that a balancer can see it, and then
stops as ever. Names and states are public; the rest is for who sends HEALTH_TOKEN as `Authorization: Bearer`.
"""

import contextlib
import hmac
import importlib.util
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

DEADLINE = 2.0  # seconds for the checks of one answer, all together
FRESH = 3.0  # seconds that a result is kept
DRAIN = "1"  # seconds between SIGTERM and the stop, where DRAIN_SECONDS isn't set
HEALTH_JSON = "application/health+json"

log = logging.getLogger(__name__)


class NotSet(LookupError):
    """The setting that should hold an address is empty."""


class NotLoaded(LookupError):
    """Nothing has imported the module that makes the client, and there is no address to ask without it."""


class Check:
    """One thing that the service needs, and the last that was heard of it."""

    def __init__(self, name: str, ask: Callable[[], object], required: bool, about: str) -> None:
        self.name, self.ask, self.required, self.about = name, ask, required, about
        self.error: str | None = None  # the name of an exception's class: its message may hold a password
        self.started = self.ended = float("-inf")
        self.under_way = False
        self.done = threading.Event()
        self.lock = threading.Lock()

    def begin(self) -> None:
        """Ask in a thread of its own, unless that is under way or the last answer is fresh."""
        with self.lock:
            if self.under_way or time.monotonic() - self.ended < FRESH:
                return
            self.started, self.done = time.monotonic(), threading.Event()
            # A daemon: one that hangs keeps no process from its end, and no second one is started beside it.
            threading.Thread(target=self._run, name=f"check {self.name}", daemon=True).start()
            self.under_way = True

    def _run(self) -> None:
        error = None
        try:
            if self.ask() is False:
                error = "False"
        except BaseException as raised:  # whatever it is, the thread must come to its last lines
            error = type(raised).__name__
        if error is None and time.monotonic() - self.started > DEADLINE:
            error = "TimeoutError"
        if error != self.error:
            log.warning("readiness: %s: %s", self.name, error or "passes again")
        with self.lock:
            self.error, self.ended, self.under_way = error, time.monotonic(), False
        self.done.set()

    def report(self, deadline: float, details: bool) -> dict[str, Any]:
        """Return the state; one that is being asked for is waited for, until `deadline` (monotonic seconds)."""
        self.done.wait(max(0.0, min(deadline, self.started + DEADLINE) - time.monotonic()))
        with self.lock:
            error = "TimeoutError" if self.under_way else self.error
            seconds = (time.monotonic() if self.under_way else self.ended) - self.started
        status = "pass" if error is None else "fail" if self.required else "warn"
        public = {"status": status, "required": self.required}
        return {**public, "error": error, "seconds": round(seconds, 3), "about": self.about} if details else public


class Readiness:
    """The checks of a service, found when they are first asked for: by then its modules are all imported."""

    def __init__(self, app: Any, drain: float) -> None:
        self.app, self.drain = app, drain
        self.process = 0
        self.checks: list[Check] = []
        self.lock = threading.Lock()
        watch_sigterm(drain)

    def answer(self, details: bool) -> dict[str, Any]:
        """Return the answer of /readiness; `details` tells why."""
        if stop is not None and stop.told:
            states = {"shutdown": {"status": "fail", "required": True}}
        else:
            with self.lock:
                if self.process != os.getpid():  # a forked worker has none of its parent's threads and handlers
                    self.process, self.checks = os.getpid(), self._find()
                    watch_sigterm(self.drain)
            deadline = time.monotonic() + DEADLINE
            for check in self.checks:
                check.begin()
            states = {check.name: check.report(deadline, details) for check in self.checks}
        found = {state["status"] for state in states.values()}
        status = next((status for status in ("fail", "warn") if status in found), "pass")
        return {"ready": status != "fail", "status": status, "checks": states}

    def _find(self) -> list[Check]:
        here, package = Path(__file__).parent, f"{__package__}." if __package__ else ""
        listed, own = here / "readiness.json", here / "checks.py"
        checks = []
        for entry in json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else []:
            about = f"{entry['kind']} at {entry['target'] or entry['client']}"
            checks.append(Check(entry["name"], partial(self._probe, entry), entry["required"], about))
        # A checks.py that was here before, for something else, isn't even imported.
        if own.is_file() and "READINESS" in own.read_text(encoding="utf-8", errors="replace"):
            try:
                module = load(own, f"{package}checks of {here}")  # what it imports from its own package is found
                for key, required in (("READINESS", True), ("READINESS_OPTIONAL", False)):
                    for ask in getattr(module, key, ()):
                        checks.append(Check(ask.__name__, partial(self._inside, ask), required, ask.__doc__ or ""))
            except Exception as error:
                checks.append(Check("checks.py", partial(fail, error), True, "your own checks, which can't be loaded"))
        return checks

    def _probe(self, entry: Mapping[str, Any]) -> object:
        path, client = Path(__file__).parent / f"probes/{entry['probe']}_probe.py", made(entry.get("client", ""))
        if client is None and not entry["target"]:
            raise NotLoaded(entry["client"])

        def address() -> str:
            if value := getattr(self.app, "config", {}).get(entry["target"]) or os.getenv(entry["target"]):
                return str(value)
            raise NotSet(entry["target"])

        name = f"{entry['name']} of {path.parent}"  # each check has a probe of its own, which may keep what is costly
        probe = (sys.modules.get(name) or load(path, name)).probe
        return self._inside(partial(probe, self.app, client, address, DEADLINE))

    def _inside(self, ask: Callable[[], object]) -> object:
        """Ask inside the Flask app, where there is one."""
        with self.app.app_context() if self.app is not None else contextlib.nullcontext():
            return ask()


def made(client: str) -> Any:
    """Return the object of FILE.py:NAME below this folder, or None where no module of that file is loaded."""
    file, _, name = client.partition(":")
    path = os.path.realpath(Path(__file__).parent / file)
    for module in [one for one in list(sys.modules.values()) if isinstance(one, ModuleType)]:
        names = object.__getattribute__(module, "__dict__")  # a lazy module loads when it is asked any other way
        if name in names and os.path.realpath(str(names.get("__file__"))) == path:
            return names[name]
    return None


def fail(error: Exception) -> None:
    """Raise what was raised before."""
    raise error


class Stop:
    """The handler of SIGTERM: readiness says no from then on, and what was to happen happens DRAIN_SECONDS later."""

    def __init__(self, before: Any, drain: float) -> None:
        self.before, self.drain, self.told = before, drain, False

    def __call__(self, number: int, frame: Any) -> None:
        """Handle the signal; the second one, at the end of the drain or from somebody who won't wait, as before."""
        if not self.told and self.drain > 0:
            again = threading.Timer(self.drain, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
        elif callable(self.before):
            self.before(number, frame)
        elif self.before == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.told = True


stop: Stop | None = None


def watch_sigterm(drain: float) -> None:
    """Have /readiness say no after SIGTERM. Only the main thread can; a handler outside Python is left alone."""
    global stop
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before is None:
        return
    if type(before).__name__ == "Stop":  # of this module, or of another service's in the same process
        stop = before  # type: ignore[assignment]
    else:
        stop = Stop(before, drain)
        signal.signal(signal.SIGTERM, stop)
        if "gunicorn" in str(getattr(before, "__module__", "")):
            signal.siginterrupt(signal.SIGTERM, False)  # as its workers have it: no request is disturbed


def health(service_name: str) -> dict[str, Any]:
    """Return the answer of /health."""
    version, environment = deployed()
    return {
        "service": service_name,
        "status": "healthy",
        "timestamp": datetime.now(UTC).isoformat(),
        "version": version,
        "environment": environment,
    }


@cache
def deployed() -> tuple[str, str]:
    """Return version and environment, which a process keeps until its end."""
    return os.getenv("SERVICE_VERSION", "unknown"), os.getenv("ENVIRONMENT", "local")


def reply(
    service_name: str, readiness: Readiness | None, asked: Callable[[str], str | None]
) -> tuple[int, dict[str, str], str]:
    """Return status code, headers and JSON: /readiness with its checks, /health without. `asked` gets a header."""
    if readiness is None:
        answer = health(service_name)
    else:
        token, sent = os.getenv("HEALTH_TOKEN", ""), asked("Authorization") or ""
        answer = readiness.answer(bool(token) and hmac.compare_digest(sent.encode(), f"Bearer {token}".encode()))
    code = 503 if answer.get("status") == "fail" else 200
    # Health is about now: nothing on the way may keep an answer.
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    if HEALTH_JSON in (asked("Accept") or ""):  # draft-inadarei-api-health-check has words of its own
        headers["Content-Type"] = HEALTH_JSON
        if readiness is None:
            answer |= {"status": "pass", "serviceId": service_name}
        else:
            answer["checks"] = {name: [check] for name, check in answer["checks"].items()}
    return code, headers, json.dumps(answer)


def create_health_endpoint(app: Any, service_name: str) -> Any:
    """Add both addresses to a Flask app and return it. An app that has them already is left as it is."""
    if "levels_health" in app.view_functions:
        return app
    from flask import request  # a worker may have no Flask

    def view(readiness: Readiness | None) -> Any:
        code, headers, body = reply(service_name, readiness, request.headers.get)
        return app.response_class(body, code, headers)

    checks = Readiness(app, float(os.getenv("DRAIN_SECONDS", DRAIN)))
    app.add_url_rule("/health", "levels_health", lambda: view(None))
    app.add_url_rule("/readiness", "levels_readiness", lambda: view(checks))
    return app


def init_service(app: Any, service_name: str) -> Any:
    """Give a Flask app its health addresses, start what is in capabilities/ beside this file, and return the app."""
    create_health_endpoint(app, service_name)
    for path in sorted(Path(__file__).parent.glob("capabilities/[!_]*.py")):
        load(path, f"capabilities.{service_name}.{path.stem}").init(app, service_name)
    return app


def load(path: Path, name: str) -> ModuleType:
    """Return the module at `path`. Loaded by its place: two services may each have a module of that name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def serve_health(service_name: str, port: int | None = None) -> ThreadingHTTPServer:
    """Serve both addresses from a thread of their own and return the server; for processes without an HTTP server.

    The port is the environment's PORT, or 8000, unless it is given. Raises OSError where it is taken. Call it after
    your own handler of SIGTERM is set.
    """
    addresses = {"/health": None, "/readiness": Readiness(None, drain=0)}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            code, headers, text = 404, {"Content-Type": "application/json"}, '{"error": "not found"}'
            if path in addresses:
                code, headers, text = reply(service_name, addresses[path], self.headers.get)
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: a probe every few seconds is no news."""

    server = ThreadingHTTPServer(("", int(os.getenv("PORT", "8000")) if port is None else port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
