"""Servers that a test starts and stops, as no root, and services that are asked meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.projects import Project

DEADLINE = 2.0  # health.py's


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def own_folder(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    if os.geteuid() == 0:
        shutil.chown(path, "nobody", "nogroup")
    return path


class Server:
    """A server process of this test's own, in a folder of its own; it can be stopped and started again on its
    port.
    """

    user = "nobody"  # PostgreSQL and RabbitMQ refuse to run as root

    def __init__(self, command: Callable[[Path, int], list[str]], folder: Path, **environment: str) -> None:
        self.port, self.folder = free_port(), folder
        self.command = command(folder, self.port)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *command: str) -> None:
        done = subprocess.run(command, **self._options(), capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stdout!r} {done.stderr!r}"

    def start(self) -> None:
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                **self._options(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, log.read_text(
                    errors="replace"
                )[-3000:]
                time.sleep(0.1)

    def stop(self) -> None:
        """As a machine that goes away does: at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
            self.process = None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It still takes connections,
        and answers none: the system does that for a process that is stopped."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def _options(self) -> dict[str, Any]:
        other = (
            {"user": "nobody", "group": "nogroup", "extra_groups": []}
            if os.geteuid() == 0 and self.user
            else {}
        )
        return {"cwd": self.folder, "env": self.environment, **other}


class PythonServer(Server):
    """One from the packages that the tests have installed, which are not for other users."""

    user = ""


@contextmanager
def serving(
    project: Project, *options: str, **environment: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The project's service under gunicorn: its address and its process."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--no-control-socket",
        "--bind",
        f"127.0.0.1:{port}",
        *options,
        "shop:create_app()",
    ]
    log = project.folder.parent / f"gunicorn-{port}.txt"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=project.folder,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 30
        while get(address + "/health")[0] != 200:
            assert server.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield address, server
        assert "hunter2" not in log.read_text()
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait(20)


def get(url: str, **headers: str) -> tuple[int, Any]:
    """Status and body of a GET; 0 where nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as response:
            body, code = response.read(), response.status
    except urllib.error.HTTPError as error:
        body, code = error.read(), error.code
    except OSError:
        return 0, None
    assert b"hunter2" not in body
    return code, json.loads(body) if body[:1] == b"{" else body


def becomes_true(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def becomes(address: str, code: int, **states: str) -> None:
    """Wait until readiness is this, while old answers are kept and servers come up.

    No answer takes longer than the deadline.
    """
    end = time.monotonic() + 20
    while True:
        begun = time.monotonic()
        found, body = get(address + "/readiness")
        assert time.monotonic() - begun < DEADLINE + 1
        now = {name: state["status"] for name, state in body["checks"].items()} if body else {}
        if found == code and all(now.get(name) == state for name, state in states.items()):
            return
        assert time.monotonic() < end, (found, body)
        time.sleep(0.2)
