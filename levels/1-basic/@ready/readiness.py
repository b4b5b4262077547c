"""What the readiness probe asks: readiness.json, from the project's answers, and checks.py, which is yours.

    READINESS = [stock_is_fresh]       # functions without parameters; one that raises or returns False fails
    READINESS_OPTIONAL = [mail_is_up]  # these only warn

All are asked at once and have one deadline. A result is kept for some seconds, and nothing is asked twice at
a time. Names and states are public; the rest is for who sends HEALTH_TOKEN as `Authorization: Bearer`.
"""

import contextlib
import hmac
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

DEADLINE = 2.0  # seconds for the checks of one answer, all together
FRESH = 3.0  # seconds that a result is kept
HERE = Path(__file__).resolve().parent

log = logging.getLogger(__name__)


class NotSet(LookupError):
    """The setting that should hold a server's URL is empty."""


class NotLoaded(LookupError):
    """Nothing has imported the module that makes the client, and there is no URL to ask without it."""


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
        """Return the state; what is being asked is waited for until `deadline`, in monotonic seconds."""
        self.done.wait(max(0.0, min(deadline, self.started + DEADLINE) - time.monotonic()))
        with self.lock:
            error = "TimeoutError" if self.under_way else self.error
            seconds = (time.monotonic() if self.under_way else self.ended) - self.started
        status = "pass" if error is None else "fail" if self.required else "warn"
        public = {"status": status, "required": self.required}
        about = {"error": error, "seconds": round(seconds, 3), "about": self.about}
        return {**public, **about} if details else public


class Readiness:
    """The checks of a service, found when they are first asked for: by then its modules are all imported.

    `app` is its application or None; `load` returns the module at a path, given the package that it is in.
    """

    def __init__(self, app: Any, load: Callable[[Path, str | None], Any]) -> None:
        self.app, self.load = app if hasattr(app, "app_context") else None, load
        self.process = 0
        self.checks: list[Check] = []
        self.lock = threading.Lock()

    def answer(self, authorization: str) -> dict[str, Any]:
        """Return the answer of the probe; with the token in `authorization`, a header, it tells why."""
        token = os.getenv("HEALTH_TOKEN", "")
        sent = authorization.encode("latin-1", "replace")  # WSGI has the bytes of a header in this form
        details = bool(token) and hmac.compare_digest(sent, f"Bearer {token}".encode())
        with self.lock:
            if self.process != os.getpid():  # a forked process has none of its parent's threads
                self.process, self.checks = os.getpid(), self._find()
        deadline = time.monotonic() + DEADLINE
        for check in self.checks:
            check.begin()
        states = {check.name: check.report(deadline, details) for check in self.checks}
        found = {state["status"] for state in states.values()}
        status = next((status for status in ("fail", "warn") if status in found), "pass")
        return {"ready": status != "fail", "status": status, "checks": states}

    def _find(self) -> list[Check]:
        listed, own = HERE / "readiness.json", HERE / "checks.py"
        checks = []
        for entry in json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else []:
            about = f"{entry['kind']} at {entry['target'] or entry['client']}"
            checks.append(Check(entry["name"], partial(self._probe, entry), entry["required"], about))
        # A checks.py that was here before, for something else, isn't even imported.
        if own.is_file() and b"READINESS" in own.read_bytes():
            try:
                module = self.load(own, __package__)  # what it imports from its own package is found
                for key, required in (("READINESS", True), ("READINESS_OPTIONAL", False)):
                    for ask in getattr(module, key, ()):
                        about = ask.__doc__ or ""
                        checks.append(Check(ask.__name__, partial(self._inside, ask), required, about))
            except Exception as error:
                about = "your own checks, which can't be loaded"
                checks.append(Check("checks.py", partial(fail, error), True, about))
        return checks

    def _probe(self, entry: Mapping[str, Any]) -> object:
        client = made(entry.get("client", ""))
        if client is None and not entry["target"]:
            raise NotLoaded(entry["client"])

        def url() -> str:
            settings = getattr(self.app, "config", {})
            if value := settings.get(entry["target"]) or os.getenv(entry["target"]):
                return str(value)
            raise NotSet(entry["target"])

        # Each check has a probe of its own, which may keep what is costly.
        probe = self.load(HERE / f"probes/{entry['probe']}_probe.py", entry["name"].replace(".", "_")).probe
        return self._inside(partial(probe, self.app, client, url, DEADLINE))

    def _inside(self, ask: Callable[[], object]) -> object:
        """Ask inside the Flask app, where there is one."""
        with self.app.app_context() if self.app is not None else contextlib.nullcontext():
            return ask()


def made(client: str) -> Any:
    """Return the object of FILE.py:NAME below this folder, or None where no module of that file is loaded."""
    file, _, name = client.partition(":")
    path = os.path.realpath(HERE / file)
    for module in [one for one in list(sys.modules.values()) if isinstance(one, ModuleType)]:
        names = object.__getattribute__(
            module, "__dict__"
        )  # a lazy module loads when it is asked any other way
        if name in names and os.path.realpath(str(names.get("__file__"))) == path:
            return names[name]
    return None


def fail(error: Exception) -> None:
    """Raise what was raised before."""
    raise error
