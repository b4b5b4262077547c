"""A project that is deployed to a real host, by make, and what is seen there from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from tests.support.engine import BASE, Target
from tests.support.load import Counts, Requests, under_load
from tests.support.projects import Project, git
from tests.support.servers import free_port

# A service of the standard library alone, web or worker: it is up at once, and what it answers says that it
# is this build. It stops as one should, when what it has begun is done.
SMALL = """
import base64, hashlib, http.server, json, os, signal, threading, time
class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def do_GET(self):
        if key := self.headers.get("Sec-WebSocket-Key"):
            return self.websocket(key)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"service": os.environ["SERVICE_NAME"], "version": os.environ["SERVICE_VERSION"], "ready": True}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def websocket(self, key):
        # What comes is sent back, frame or not.
        accept = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        self.wfile.flush()
        while data := self.connection.recv(4096):
            self.connection.sendall(data)
        self.close_connection = True
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100
server = Server(("0.0.0.0", 8000), Answers)
def stop(*_):
    time.sleep(0.2)
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop).start())
server.serve_forever()
"""
DOCKERFILE = f'FROM {BASE}\nCOPY small.py /\nCMD ["python", "/small.py"]\n'

ORDERS = """
@prices.post("/orders")
def order() -> ResponseReturnValue:
    body = request.get_data()
    digest = hashlib.sha256(body).hexdigest()
    return {"version": os.environ["SERVICE_VERSION"], "length": len(body), "sha256": digest}
"""
LOOP = """
    def say(words: str) -> str:
        url = f"{os.environ['JOBS_URL']}/{words}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())

    if not os.environ.get("JOBS_URL"):
        stop.wait()
        return 0
    say("start")
    while not stop.wait(0.02):
        job = say("take")
        time.sleep(0.5)
        say(f"done/{job}/{'told' if stop.is_set() else 'not'}")
    say("stop")
"""

# The project's own Python is another one, and its tools would have to be fetched: for the smoke tests pytest is enough.
PYTHON = f"""#!{sys.executable}
import os, sys
words = [word for word in sys.argv[1:] if word != "--no-cov"]
os.execv({sys.executable!r}, [{sys.executable!r}, *words])
"""


class Shop:
    """A project at level 2, or a higher one, with a host of its own name for each environment."""

    def __init__(
        self,
        project: Project,
        target: Target,
        services: Sequence[Any],
        small: Sequence[str] = (),
        **answers: Any,
    ) -> None:
        """Make it from the template. The services in `small` are of the standard library."""
        self.project, self.target, self.folder = project, target, project.folder
        ours = {"python_version": "3.13", "repository": "me/shop", "image_registry": target.registry.name}
        project.copy(**{"level": 2, "services": list(services), **ours, **answers})
        for name in small:
            project.write(f"services/{name}/small.py", SMALL)
            project.write(f"services/{name}/Dockerfile", DOCKERFILE)
        project.write("config/deploy.toml", "[gate]\nseconds = 15\n")
        (self.folder / ".venv" / "bin").mkdir(parents=True)
        python = self.folder / ".venv" / "bin" / "python"
        python.write_text(PYTHON)
        python.chmod(0o755)
        self.web = [
            one if isinstance(one, str) else one["name"]
            for one in services
            if one
            if isinstance(one, str) or one.get("kind") != "worker"
        ]
        self.ports: dict[str, dict[str, int]] = {}
        self.settings: dict[str, dict[str, str]] = {}
        self.environment("staging")
        (self.folder / ".venv" / ".installed").touch()
        project.commit()

    # What a person does

    def environment(self, name: str, **values: str) -> None:
        """Write config/<name>.env: a free port for each web service, and more settings."""
        if name not in self.ports:
            self.ports[name] = {service: free_port() for service in self.web}
        lines = {f"{service.upper()}_PORT": str(port) for service, port in self.ports[name].items()}
        self.settings[name] = {**lines, **values}
        text = "".join(f"{key}={value}\n" for key, value in self.settings[name].items())
        self.project.write(f"config/{name}.env", text)

    def variables(self, **more: str) -> dict[str, str]:
        ours = {
            name: value
            for name, value in os.environ.items()
            if name != "CI" and not name.startswith(("DEPLOY_", "GITHUB_", "MAKE"))
        }
        there = self.target.environment
        return {
            **ours,
            **there,
            "PATH": f"{there['PATH']}:{ours['PATH']}",
            "DEPLOY_LEASE_SECONDS": "1",
            **more,
        }

    def command(self, *words: str) -> list[str]:
        return ["make", "--silent", "-f", "levels.mk", f"PYTHON={sys.executable}", *words]

    def make(self, *words: str, code: int = 0, **env: str) -> str:
        """Run a target of make; returns what it prints. `code` is that of the program that make starts.

        Raises AssertionError for another one, or for a traceback.
        """
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.variables(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=300,
            check=False,
        )
        # make itself ends with 2, and says what its program ended with.
        found = re.search(r"^make: \*\*\* .*Error (\d+)$", done.stdout, re.MULTILINE)
        ended = int(found[1]) if found else done.returncode
        assert ended == code, f"$ make {' '.join(words)}\n{done.stdout}\nexit code {ended}, expected {code}"
        assert not re.search(r'File ".*/ci/deploy', done.stdout), (
            done.stdout
        )  # an application's traceback may be shown
        return done.stdout

    @contextmanager
    def started(self, *words: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a target of make and leave it to the caller; it is ended with all that it started."""
        # Into a file: ssh's shared connection, which outlives a deploy that is killed, would keep a pipe open.
        with (self.folder.parent / "output").open("wb") as output:
            process = subprocess.Popen(
                self.command(*words),
                cwd=self.folder,
                env=self.variables(**env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)

    def output(self) -> str:
        """What the last one that was `started` has printed so far."""
        return (self.folder.parent / "output").read_text(errors="replace")

    def build(self, message: str) -> str:
        """Commit what stands there, and make its images; returns the commit."""
        self.project.commit(message)
        self.make("images")
        return self.head()

    def head(self) -> str:
        return git(self.folder, "rev-parse", "HEAD").strip()

    # What its services do

    def take_orders(self) -> None:
        """Have the service `api` take bodies, and answer what it got and as which version."""
        self.project.replace("services/api/app.py", "def json_error(", ORDERS + "\n\ndef json_error(")
        self.project.replace("services/api/app.py", "import asyncio\n", "import asyncio\nimport hashlib\n")
        self.project.replace("services/api/app.py", "Flask, current_app\n", "Flask, current_app, request\n")

    def take_jobs(self, worker: str) -> None:
        """Have a worker take jobs from JOBS_URL, each for half a second, until it is told to stop."""
        file = f"services/{worker}/worker.py"
        self.project.replace(
            file, "    while not stop.wait(pause):\n        asyncio.run(work(inbox))\n", LOOP
        )
        self.project.replace(
            file, "import threading\n", "import threading\nimport time\nimport urllib.request\n"
        )

    def log(self) -> list[dict[str, Any]]:
        """The deployment log in the project."""
        file = self.folder / "config" / "deploys.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines() if line.startswith("{")]

    # What is seen on the host

    def there(self, environment: str = "staging") -> Path:
        """The environment's folder on the host."""
        return self.target.ssh.home / "deploy" / f"shop-{environment}"

    def record(self, environment: str = "staging") -> list[dict[str, Any]]:
        """What the host has on record."""
        return [json.loads(line) for line in (self.there(environment) / "log.jsonl").read_text().splitlines()]

    def release(self, number: int, environment: str = "staging") -> dict[str, Any]:
        """A release as it stands on the host."""
        file = self.there(environment) / "releases" / str(number) / "release.json"
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    def images(self, version: str) -> list[str]:
        """The images of a version, by their digests."""
        releases = (self.release(int(folder.name)) for folder in (self.there() / "releases").iterdir())
        builds = [build for release in releases for build in release["builds"] if build["version"] == version]
        return sorted({f"{build['image']}@{build['digest']}" for build in builds})

    def containers(self, environment: str = "staging", state: str = "") -> dict[int, list[str]]:
        """The services that have containers, by release."""
        shown = self.target.engine.docker(
            "ps",
            "--all",
            "--format",
            '{{.Label "com.docker.compose.project"}} {{.Label "com.docker.compose.service"}} {{.State}}',
        )
        found: dict[int, list[str]] = {}
        for project, service, is_ in (line.split() for line in shown.splitlines() if len(line.split()) == 3):
            number = project.removeprefix(f"shop-{environment}-")
            if number.isdecimal() and state in ("", is_):
                found.setdefault(int(number), []).append(service)
        return {number: sorted(services) for number, services in found.items()}

    def url(self, service: str = "api", path: str = "/-/health", environment: str = "staging") -> str:
        return f"http://127.0.0.1:{self.ports[environment][service]}{path}"

    def ask(self, service: str = "api", environment: str = "staging") -> tuple[int, str]:
        """Which release answers through the proxy, and as which version."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url(service, environment=environment), timeout=10) as answer:
            return int(answer.headers["X-Release"]), str(json.load(answer)["version"])

    def answers(self, number: int) -> bool:
        """Whether this release of staging answers."""
        try:
            return self.ask()[0] == number
        except (OSError, ValueError):
            return False

    def runs(self, number: int, version: str, environment: str = "staging") -> None:
        """Exactly this release is there: it answers, each of its services runs once, and nothing of any other
        does. Raises AssertionError.
        """
        services = sorted({service["name"] for service in self.project.answers()["services"]})
        assert self.containers(environment) == self.containers(environment, "running") == {number: services}
        for service in self.web:
            assert self.ask(service, environment) == (number, version)
        folder = self.there(environment)
        assert (folder / "serving").read_text().split() == [str(number)]
        assert (folder / "good").read_text().split()[-1] == str(number)

    @contextmanager
    def load(self, clients: int = 8, pause: float = 0.004) -> Iterator[tuple[Counts, Counts]]:
        """Have clients ask staging's `api` meanwhile, one half by GET and one by POST of a body."""
        asked = Requests(self.url(), pause=pause)
        posted = Requests(self.url(path="/orders"), "POST", b"x" * 20_000, pause=pause)
        with under_load(asked, clients // 2) as got, under_load(posted, clients // 2) as sent:
            yield got, sent


def wait_until(what: Any, seconds: float = 20) -> None:
    """Wait until a call gives something true. Raises AssertionError."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it didn't happen in time"
        time.sleep(0.02)


class Jobs:
    """A queue on the machine that containers take jobs from, by HTTP, and that sees how many do so at a time."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.taken: list[str] = []
        self.done: list[str] = []
        self.after_the_signal: list[str] = []
        self.most = 0
        jobs = self

        class Queue(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = jobs.hear(self.path.split("/")[1:], self.client_address[0]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("0.0.0.0", 0), Queue)
        self.url = f"http://host.docker.internal:{self.server.server_port}"

    def hear(self, words: list[str], who: str) -> str:
        """Take in what a worker says; one at a time."""
        if words[0] == "start":
            self.started.append(who)
            self.most = max(self.most, len(self.started) - len(self.stopped))
        elif words[0] == "stop":
            self.stopped.append(who)
        elif words[0] == "take":
            self.taken.append(str(len(self.taken) + 1))
            return self.taken[-1]
        else:
            self.done.append(words[1])
            self.after_the_signal += [words[1]] if words[2] == "told" else []
        return "heard"

    def __enter__(self) -> Jobs:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
