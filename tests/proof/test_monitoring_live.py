"""From a fault to the page and to its end: two services under gunicorn, and the stack's real programs with the
project's own rules, probes and Alertmanager settings. A minute is a second here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.a_service import READINESS
from tests.support.histories import DAY, Past, written
from tests.support.monitoring import BY, Stack, scaled
from tests.support.projects import ROOT, Project
from tests.support.proofs import answers, session_caches
from tests.support.servers import PythonServer, becomes_true, free_port

pytestmark = pytest.mark.proof

EACH_SECOND = 5  # requests; four workers that take 0.6 seconds for each still answer all
WORK = '''

@prices.get("/sizes/<int:number>")
def work(number: int) -> ResponseReturnValue:
    """Do as the file FAULT says."""
    with open(os.environ["FAULT"]) as file:
        fault = file.read()
    if fault == "errors" and number % 3 == 0:
        raise RuntimeError("on purpose")
    if fault == "slow":
        import time
        time.sleep(0.6)
    return "done"
'''
CHECKS = """\
from flask import request


def stock_is_fresh():
    return True


READINESS = [stock_is_fresh]


def user_id():
    return request.headers.get("X-User")
"""


class Service:
    """A service that runs, with four workers; `fault` says what is wrong with it."""

    def __init__(self, project: Project, folder: Path, name: str) -> None:
        self.name, self.port, self.metrics_port = name, free_port(), free_port()
        self.file = folder / f"{name}-fault"
        self.fault("")
        command = ["-m", "gunicorn", "--no-control-socket", "--config", "python:services.serving"]
        settings = {
            "FEATURE_FLAGS": "service_metrics",
            "METRICS_PORT": str(self.metrics_port),
            "METRICS_KEY": "a key",
            "SERVICE_NAME": name,
            "WEB_CONCURRENCY": "4",
            "FAULT": str(self.file),
            "TMPDIR": str(folder),
        }
        with (folder / f"{name}.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *command,
                    f"--bind=127.0.0.1:{self.port}",
                    f"services.{name}.app:create_app()",
                ],
                cwd=project.folder,
                env={**os.environ, **settings},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def fault(self, what: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(what)
        new.rename(self.file)

    def labels(self, **more: str) -> dict[str, str]:
        of_it = {"project": "shop", "environment": "production", "release": "1", "version": "1"}
        return {**of_it, "service": self.name, **more}

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


class Hook:
    """An HTTP server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.posts: list[tuple[float, dict[str, Any]]] = []
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posts.append((time.monotonic(), json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self, status: str) -> list[tuple[str, str, str]]:
        """Alerts that were posted with this status, each once: name, service, objective."""
        found = {}
        for _, post in list(self.posts):
            for alert in post["alerts"]:
                if alert["status"] == status:
                    labels = alert["labels"]
                    key = labels["alertname"], labels.get("service", ""), labels.get("slo", "")
                    found[key] = alert
        self.last = found
        return sorted(found)


@contextlib.contextmanager
def visited(*services: Service) -> Iterator[None]:
    """EACH_SECOND requests a second to each service, whether it answers or not."""
    ended = threading.Event()

    async def ask(service: Service, number: int) -> None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            head = f"GET /sizes/{number} HTTP/1.1\r\nHost: shop\r\nX-User: {number % 20}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            await reader.read()
            writer.close()

    async def visit() -> None:
        running: set[asyncio.Task[None]] = set()
        begun, number = time.monotonic(), 0
        while not ended.is_set():
            number += 1
            for service in services:
                running.add(task := asyncio.create_task(ask(service, number)))
                task.add_done_callback(running.discard)
            await asyncio.sleep(max(0, begun + number / EACH_SECOND - time.monotonic()))
        await asyncio.gather(*running, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(visit()), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(20)


def good_days(folder: Path, services: list[str]) -> None:
    """Ten days, which are four hours here, in which no request failed: what the rules recorded of them."""
    now = time.time()
    past = Past("production", now - 10 * DAY / BY, now, step=30 / BY)
    for name in services:
        past.add("service:requests:rate5m", f'service="{name}"', lambda at: EACH_SECOND)
        for slo in ("availability", "latency"):
            past.add("service:slo_all:rate1m", f'service="{name}",slo="{slo}"', lambda at: EACH_SECOND)
            past.add("service:slo_bad:rate1m", f'service="{name}",slo="{slo}"', lambda at: 0.0)
    written(folder, past)


def query(stack: Stack, expression: str) -> list[dict[str, Any]]:
    """What Prometheus says now; raises AssertionError where it can't read the expression."""
    text = answers(f"{stack.url}/api/v1/query?query={urllib.parse.quote(expression)}")
    assert text, expression
    found: list[dict[str, Any]] = json.loads(text)["data"]["result"]
    return found


def firing(stack: Stack) -> set[tuple[str, str, str]]:
    """The alerts that fire now, but for the switch that always does, and disks of this machine that are full."""
    full = query(stack, "host:disk_free:ratio < 0.4")
    return {
        (one["metric"]["alertname"], one["metric"].get("service", ""), one["metric"].get("slo", ""))
        for one in query(stack, 'ALERTS{alertstate="firing",alertname!="DeadMansSwitch"}')
        if not (full and one["metric"]["alertname"].startswith("Disk"))
    }


@pytest.fixture
def running(
    project: Project, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, list[Service], Hook, Hook]]:
    """The stack, the services that it watches, and who gets alerts and the heartbeat."""
    if os.geteuid() != 0:
        pytest.skip("only root can give Debian's Alertmanager its templates without installing it")
    names = ["api", "orders"]
    project.copy(level=3, services=[*names])
    for name in names:
        app = f"services/{name}/app.py"
        project.replace(app, "\n\ndef json_error(", f"{WORK}\n\ndef json_error(")
        project.write(f"services/{name}/checks.py", CHECKS)
        project.write(f"services/{name}/readiness.py", READINESS.read_text(encoding="utf-8"))
    alerts, heartbeat = Hook(), Hook()
    project.write("config/production.env", f"ALERT_WEBHOOK={alerts.url}\nALERT_HEARTBEAT={heartbeat.url}\n")
    stack = Stack(project, tmp_path / "host", session_caches(tmp_path_factory))
    services: list[Service] = []
    started: list[PythonServer] = []
    try:
        services += [Service(project, tmp_path, name) for name in names]
        for one in services:
            ready = f"http://127.0.0.1:{one.port}/-/readiness"
            becomes_true(lambda ready=ready: bool(answers(ready)), 30)
        stack.watch(
            "targets",
            [
                {"targets": [f"127.0.0.1:{one.metrics_port}"], "labels": one.labels(instance=one.name)}
                for one in services
            ],
        )
        stack.watch(
            "probes",
            [
                {
                    "targets": [f"http://127.0.0.1:{one.port}/-/readiness"],
                    "labels": one.labels(probe="readiness"),
                }
                for one in services
            ],
        )
        with visited(*services):
            good_days(tmp_path / "host/past", names)
            for server in stack.servers:
                server.start()
                started.append(server)
            becomes_true(lambda: bool(answers(f"{stack.url}/-/ready")), 30)
            yield stack, services, alerts, heartbeat
    finally:
        for one in services:
            one.stop()
        for server in started:
            server.stop()


def test_a_fault_is_paged_within_minutes_and_over_when_it_ends(
    running: tuple[Stack, list[Service], Hook, Hook],
) -> None:
    stack, (api, orders), alerts, heartbeat = running
    errors = ("ErrorBudgetBurnsFast", "api", "availability")
    slow = ("ErrorBudgetBurnsFast", "orders", "latency")

    # Everything of the stack is scraped and nothing fires.
    becomes_true(lambda: len(query(stack, "up == 1")) == 7, 20)
    becomes_true(lambda: len(query(stack, "service:slo_budget_left:ratio > 0.99")) == 4, 20)
    time.sleep(3)
    assert firing(stack) == set() and alerts.posts == []

    # A third of the requests fails. By the rule it takes 60 * 1.44% / 33% = 2.6 minutes, and Alertmanager waits
    # for half a one.
    api.fault("errors")
    begun = time.monotonic()
    becomes_true(lambda: errors in alerts.told("firing"), 12)
    paged = time.monotonic() - begun
    assert alerts.told("firing") == [errors]
    page = alerts.last[errors]
    assert page["labels"]["severity"] == "page" and page["labels"]["project"] == "shop"
    runbook, _, heading = page["annotations"]["runbook"].partition("#")
    assert runbook == "docs/runbooks.md" and heading == "errorbudgetburnsfast"
    assert page["annotations"]["dashboard"].endswith(
        "/d/levels-service?var-project=shop&var-environment=production&var-service=api"
    )
    assert "api in production misses its availability objective" in page["annotations"]["summary"]
    panels_have_data(stack)
    api.fault("")
    ended = time.monotonic()

    # Every request of the other is slow. 72% of an hour's have to be: 43 minutes.
    orders.fault("slow")
    begun = time.monotonic()
    seen: set[tuple[str, str, str]] = set()

    def is_told() -> bool:
        seen.update(firing(stack))
        return slow in alerts.told("firing")

    becomes_true(is_told, 60)
    paged_slow = time.monotonic() - begun
    assert paged_slow > 35, "it paged sooner than 14.4 times the budget was used"
    orders.fault("")
    ended_slow = time.monotonic()
    becomes_true(lambda: errors in alerts.told("resolved"), max(1.0, ended + 60 - time.monotonic()))
    becomes_true(lambda: {errors, slow} <= {*alerts.told("resolved")}, 30)
    resolved_slow = time.monotonic() - ended_slow
    seen |= firing(stack)
    assert seen == {errors, slow}, "only what was expected"
    assert alerts.told("firing") == [errors, slow]
    print(
        f"errors: paged after {paged:.1f} minutes; slow: paged after {paged_slow:.1f}, "
        f"over {resolved_slow:.1f} after the end"
    )

    # What it used of the budget is known: some, and not all.
    left = {
        (one["metric"]["service"], one["metric"]["slo"]): float(one["value"][1])
        for one in query(stack, "service:slo_budget_left:ratio")
    }
    assert 0 < left["api", "availability"] < 0.95 and left["orders", "availability"] > 0.99, left
    assert 0 < left["orders", "latency"] < 0.98 and left["api", "latency"] > 0.97, left

    # The heartbeat comes each two minutes, and no more once Prometheus hangs: nobody is told that all is well.
    assert {alert["labels"]["alertname"] for _, post in heartbeat.posts for alert in post["alerts"]} == {
        "DeadMansSwitch"
    }
    times = [at for at, _ in heartbeat.posts]
    gaps = [later - one for one, later in pairwise(times)]
    assert max(gaps) < 6, gaps
    assert stack.prometheus.process
    os.killpg(stack.prometheus.process.pid, signal.SIGSTOP)
    time.sleep(8)
    count = len(heartbeat.posts)
    time.sleep(8)
    assert len(heartbeat.posts) == count, "the heartbeat goes on without Prometheus"
    assert {post["status"] for _, post in heartbeat.posts} == {"firing"}, (
        "an end that is posted looks as a beat to who only counts posts"
    )


def panels_have_data(stack: Stack) -> None:
    """Each panel's expression gives data of a web service; those of a worker's jobs can't."""
    for file in (ROOT / "levels/3-professional/monitoring/dashboards").glob("*.json"):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                expression = scaled(target["expr"])
                for name, value in {"project": "shop", "environment": "production", "service": "api"}.items():
                    expression = expression.replace(f"${name}", value)
                if "worker_" not in expression:
                    assert query(stack, expression), f"{file.name}: {panel['title']}: {expression}"
