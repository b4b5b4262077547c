"""Metrics from servers: a real Prometheus that scrapes a generated service, and GitHub's API as a stand-in
over GitHub's own schema.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from extensions.evolution import metrics
from extensions.evolution.sources import prometheus, rates, web
from tests.support.engine import Target
from tests.support.github_api import RESET, TOKEN, GitHub, serving
from tests.support.histories import Past, running_prometheus, written
from tests.support.projects import Project
from tests.support.proofs import Machine, answers, fresh_machine
from tests.support.repositories import DAY, History

pytestmark = pytest.mark.proof

SCHEMA = "@octokit/graphql-schema@15.26.1"  # GitHub's published schema, in an npm package
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


# GitHub


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from graphql import build_schema

    folder = tmp_path_factory.mktemp("schema")
    subprocess.run(["npm", "pack", "--silent", SCHEMA], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        text = package.extractfile("package/schema.graphql")
        assert text is not None
        # As published it defines two fields twice.
        return build_schema(text.read().decode(), assume_valid=True)


@pytest.fixture
def github(schema: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    github = GitHub(schema)
    with serving(github) as address:
        monkeypatch.setenv("GITHUB_API_URL", address)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        yield github


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository with a commit a week."""
    history = History(tmp_path / "shop")
    for week in range(40, 0, -1):
        history.commit(NOW.timestamp() - week * 7 * DAY)
    return history.make()


def measure(project: Path, repository: str = "acme/shop") -> dict[str, metrics.Measured]:
    return metrics.measure(project, {"services": [{"name": "api"}], "repository": repository}, now=NOW)


def stamp(days: float) -> str:
    return (NOW - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def deployed(
    days: float, state: str = "SUCCESS", environment: str = "production", commit: str = "f" * 40
) -> dict[str, Any]:
    states = [("IN_PROGRESS", stamp(days)), (state, stamp(days - 0.01))]
    if state == "SUCCESS":
        states.append(("INACTIVE", stamp(days - 1)))  # as GitHub does with the next one
    return {"environment": environment, "createdAt": stamp(days), "commitOid": commit, "statuses": states}


def test_githubs_deployments_over_several_pages_give_the_frequency(github: GitHub, shop: Path) -> None:
    """Two a day for ten weeks, every second one failed; staging doesn't count."""
    for half in range(2 * 70):
        github.deployments.append(deployed(half / 2 + 0.3, "FAILURE" if half % 2 else "SUCCESS"))
        github.deployments.append(deployed(half / 2 + 0.3, environment="staging"))
    measured = measure(shop)
    found = measured["deployment_frequency"]
    assert (found.value, found.source, found.confidence) == (1, "GitHub's deployments to production", "high")
    assert "70 that didn't succeed, not counted" in found.evidence
    assert github.asked == ["/graphql"] * 2
    assert measured["production_deployment"].value is True
    assert measured["change_failure_rate"].reason.startswith("there is no deployment log")


def test_lead_time_comes_from_githubs_commits(github: GitHub, shop: Path) -> None:
    hashes = subprocess.run(
        ["git", "log", "-5", "--format=%H"], cwd=shop, capture_output=True, text=True, check=True
    ).stdout.split()
    github.deployments = [
        deployed(7 * (number + 1) - 0.49, commit=commit) for number, commit in enumerate(hashes)
    ]
    lead = measure(shop)["lead_time"]
    assert lead.value is not None and abs(lead.value - 12) < 0.01, (
        "half a day, with the deployment's own time"
    )


def run(days: float, conclusion: str = "success", event: str = "push") -> dict[str, Any]:
    at = stamp(days)
    return {
        "created_at": at,
        "run_started_at": at,
        "status": "completed",
        "conclusion": conclusion,
        "event": event,
        "head_sha": "f" * 40,
    }


def test_runs_of_the_named_workflow_come_after_deployments(github: GitHub, shop: Path) -> None:
    (shop / "config").mkdir()
    (shop / "config/evolution.yml").write_text("sources:\n  github: {workflow: deploy.yml}\n")
    github.runs = [run(day + 0.5) for day in range(150)] + [run(day + 0.4, "failure") for day in range(150)]
    github.runs += [run(day + 0.3, event="pull_request") for day in range(150)]
    found = measure(shop)["deployment_frequency"]
    assert (found.value, found.source, found.confidence) == (1, "runs of deploy.yml on GitHub", "medium")
    assert "GitHub's deployments: none to production" in found.evidence
    assert len([path for path in github.asked if path.startswith("/repos/")]) == 4, (
        "300 runs in three full pages"
    )
    github.deployments = [deployed(1)]
    assert measure(shop)["deployment_frequency"].source == "GitHub's deployments to production"


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("rate limit", "GitHub's deployments: GitHub's rate limit is used up"),
        ("secondary rate limit", "GitHub's deployments: GitHub's rate limit is used up (429)"),
        (
            "forbidden",
            "GitHub's deployments: GitHub refuses (FORBIDDEN: Resource not accessible by integration)",
        ),
        ("token", "GitHub's deployments: GitHub doesn't take the token (401)"),
        (
            "repository",
            (
                "GitHub's deployments: GitHub refuses (NOT_FOUND: Could not resolve to a Repository with the"
                " name 'acme/gone'.)"
            ),
        ),
    ],
)
def test_what_github_refuses_is_a_reason(
    github: GitHub, shop: Path, monkeypatch: pytest.MonkeyPatch, trouble: str, reason: str
) -> None:
    if trouble == "token":
        monkeypatch.setenv("GITHUB_TOKEN", "ghs_expired")
    github.trouble = trouble
    found = measure(shop, "acme/gone" if trouble == "repository" else "acme/shop")["deployment_frequency"]
    assert found.value is None and reason in found.reason
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (
            "rate limit",
            f"GitHub's rate limit is used up until {datetime.fromtimestamp(RESET, UTC):%H:%M} UTC (403)",
        ),
        ("forbidden", "the token may not read this (403: Resource not accessible by integration)"),
        ("workflow", "no workflow gone.yml in acme/shop, or the token may not see it (404)"),
    ],
)
def test_what_github_refuses_of_runs_is_a_reason(
    github: GitHub, shop: Path, trouble: str, reason: str
) -> None:
    (shop / "config").mkdir()
    workflow = "gone" if trouble == "workflow" else "deploy"
    (shop / "config/evolution.yml").write_text(f"sources:\n  github: {{workflow: {workflow}.yml}}\n")
    github.trouble = trouble
    assert f"runs of {workflow}.yml: {reason}" in measure(shop)["deployment_frequency"].reason


def test_the_token_of_gh_is_taken_where_none_is_set(
    github: GitHub, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shutil.which("gh"), "GitHub's own command: apt-get install gh"
    monkeypatch.delenv("GITHUB_TOKEN")
    monkeypatch.delenv("GH_TOKEN", raising=False)
    monkeypatch.setenv("GH_CONFIG_DIR", str(tmp_path / "gh"))
    assert (
        "no token: set GITHUB_TOKEN, or run `gh auth login`" in measure(shop)["deployment_frequency"].reason
    )
    assert github.asked == []
    (tmp_path / "gh").mkdir(exist_ok=True)
    (tmp_path / "gh/hosts.yml").write_text(f"github.com:\n    oauth_token: {TOKEN}\n    user: ann\n")
    github.deployments = [deployed(day + 0.5) for day in range(60)]
    assert measure(shop)["deployment_frequency"].value == 1


# Prometheus

# What the owner of a service adds beside its app.py, which makes one call more.
METRICS = '''\
"""The service's metrics, for Prometheus."""

from flask import Flask
from prometheus_client import CollectorRegistry, Gauge
from prometheus_flask_exporter import PrometheusMetrics


def serve_metrics(app: Flask) -> None:
    """Serve /metrics."""
    registry = CollectorRegistry()  # of this application: tests make several
    PrometheusMetrics(app, registry=registry)
    Gauge("shop_users_today", "Different users today", registry=registry).set(1234)
'''


def add_metrics(project: Project) -> None:
    """Have the project's service api serve /metrics, as its owner would."""
    project.write("services/api/metrics.py", METRICS)
    app = (project.folder / "services/api/app.py").read_text()
    for line, more in (
        ("from .health import init_service\n", "from .metrics import serve_metrics\n"),
        ("    app.register_blueprint(prices)\n", "    serve_metrics(app)\n"),
    ):
        assert app.count(line) == 1
        app = app.replace(line, line + more)
    project.write("services/api/app.py", app)


class Prices(http.server.BaseHTTPRequestHandler):
    """Where the service asks for its prices: each is 1.5."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"price": 1.5}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving_prices() -> Iterator[str]:
    """Serve prices; yields the URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Prices) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


def samples(address: str, query: str) -> float:
    """The number that a query gives; 0 where it gives none."""
    answer = json.loads(
        answers(f"{address}/api/v1/query?{urlencode({'query': query})}") or '{"data": {"result": []}}'
    )
    return float(answer["data"]["result"][0]["value"][1]) if answer["data"]["result"] else 0.0


def asking(project: Path, address: str, **queries: str) -> Callable[[], dict[str, metrics.Measured]]:
    """Configure the project's sources; gives what measures it now."""
    lines = "".join(f"    {name}: {json.dumps(query)}\n" for name, query in queries.items())
    (project / "config/evolution.yml").write_text(f"sources:\n  prometheus:\n    url: {address}\n{lines}")
    return lambda: metrics.measure(project, {"services": [{"name": "api"}]}, now=datetime.now(UTC))


def test_prometheus_tells_the_traffic_of_a_generated_service_under_load(
    machine: Machine, at_level: Callable[..., Project], tmp_path: Path
) -> None:
    project = at_level(1)
    add_metrics(project)
    machine.run(
        "make install && uv add --quiet 'prometheus-flask-exporter>=0.23' && make install check",
        project.folder,
    )
    with (
        serving_prices() as prices,
        machine.serving("make run", project.folder, PRICES_URL=prices) as service,
        running_prometheus(tmp_path / "prometheus", urlsplit(service).netloc) as (address, server),
    ):
        while samples(address, "up") != 1:
            time.sleep(0.2)
        asked, end = 0, time.monotonic() + 8
        connection = http.client.HTTPConnection(urlsplit(service).netloc, timeout=10)
        while time.monotonic() < end:
            connection.request("GET", "/changes/ABC")
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["percent"]) == (200, 0)
            asked += 1
        while samples(address, 'sum(flask_http_request_total{status="200"})') < asked:
            time.sleep(0.2)

        # By default, over a week, as the history has it: what was asked in these seconds is little in a week.
        week = asking(project.folder, address)()["production_traffic.requests"]
        assert week.evidence == (prometheus.REQUESTS,) and week.confidence == "high"
        assert isinstance(week.value, float) and 0.5 * asked / 10_080 < week.value < 1.5 * asked / 10_080

        minute = f"sum(rate({prometheus.REQUESTS.split('(')[2].split('[')[0]}[1m])) * 60"
        users, uptime = "shop_users_today", 'avg_over_time(up{job="api"}[1h])'
        now = asking(project.folder, address, requests=minute, users=users, uptime=uptime)
        measured = now()
        assert measured["production_traffic.requests"].value == pytest.approx(asked, rel=0.6), (
            "of the last minute"
        )
        assert measured["production_traffic.requests"].source == f"Prometheus ({address})"
        assert measured["production_traffic.users"].value == 1234
        assert 0 < float(measured["measured_uptime"].value or 0) <= 1

        # What is no figure says why.
        odd = asking(
            project.folder,
            address,
            requests="up +",
            users='{__name__=~"up|shop_users_today"}',
            uptime="shop_users_today",
        )()
        assert odd["production_traffic.requests"].reason.startswith("Prometheus refuses the query (400: ")
        assert (
            odd["production_traffic.users"].reason
            == "the query gives 2 series, expected one number: put sum(…) around it"
        )
        assert odd["measured_uptime"].reason == "the query gives 1234, expected a share from 0 to 1"
        none = asking(project.folder, address, requests="nothing_of_that_name", users="0/0")()
        assert none["production_traffic.requests"].reason == "Prometheus has no samples for the query"
        assert none["production_traffic.users"].reason == "Prometheus has no samples for the query"

        # It hangs, and then it is gone.
        now = asking(project.folder, address, users=users, uptime=uptime)
        os.kill(server.pid, signal.SIGSTOP)
        start = time.monotonic()
        hung = now()["production_traffic.requests"]
        assert hung.value is None and "didn't answer in time" in hung.reason
        assert time.monotonic() - start < web.LIMIT + 1
        os.kill(server.pid, signal.SIGCONT)
        server.terminate()
        server.wait(20)
        start = time.monotonic()
        gone = now()
        assert gone["production_traffic.requests"].value is None
        assert "can't be reached" in gone["production_traffic.requests"].reason
        assert gone["team_size"].value == 1, "what else there is stays known"
        assert time.monotonic() - start < 2


def test_the_weeks_before_are_prometheus_own(tmp_path: Path) -> None:
    """Ten weeks of 120 requests a minute, twice as many in the last three."""
    now = time.time()
    lines, count = ["# TYPE flask_http_request counter"], 0.0
    for hour in range(10 * 7 * 24, 0, -1):
        count += 120 * 60 * (2 if hour <= 3 * 7 * 24 else 1)
        lines.append(f'flask_http_request_total{{status="200"}} {count:.0f} {now - hour * 3600:.0f}')
    folder = tmp_path / "prometheus"
    folder.mkdir()
    (folder / "samples").write_text("\n".join([*lines, "# EOF\n"]))
    # In blocks of two hours, as it would by itself, this takes minutes.
    make = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        "--max-block-duration=256h",
        "openmetrics",
        "samples",
        "data",
    ]
    subprocess.run(make, cwd=folder, check=True, capture_output=True)
    project = History(tmp_path / "shop").commit(now).make()
    (project / "config").mkdir()
    with running_prometheus(folder) as (address, _):
        found = asking(project, address)()["production_traffic.requests"]
    assert found.value == pytest.approx(240, rel=0.02)
    weeks = dict(found.history)
    assert list(weeks) == [monday.date().isoformat() for monday in rates.mondays(now)][-len(weeks) :] and len(
        weeks
    ) in (10, 11)
    values = list(weeks.values())
    assert values[-1] == pytest.approx(240, rel=0.02)
    assert values[-5] == pytest.approx(120, rel=0.02) and values[2] == pytest.approx(120, rel=0.02)


# The metrics of level 3


def level_3(at_level: Callable[..., Project], address: str, two: bool = False) -> Project:
    project = at_level(3, two=two)
    project.write("config/production.env", f"PROMETHEUS_URL={address}/\n")
    return project


def at_noon(day: int) -> float:
    """A moment so many days ago."""
    today = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    return (today - timedelta(days=day)).timestamp()


def test_traffic_users_and_uptime_are_known_from_the_services_own_metrics(
    at_level: Callable[..., Project], tmp_path: Path
) -> None:
    """Ten weeks of two services and 120 requests a minute, twice as many in the last three; an hour without
    an answer, two in which it wasn't ready, and one in which Prometheus didn't look; users of nine days, on two
    instances.
    """
    now = time.time()
    past = Past("production", now - 70 * DAY, now)
    per_minute = lambda at: (110 if at < now - 21 * DAY else 230, 10)  # noqa: E731
    out, blind = now - 3 * DAY, now - 2 * DAY

    def up(at: float) -> float | None:
        return 0.0 if out <= at < out + 3600 else None if blind <= at < blind + 3600 else 1.0

    past.served("market-data", per_minute, up)
    for check, required, down in (("database", 1.0, 2 * 3600), ("mail", 0.0, 9 * 3600)):
        labels = f'job="services",service="market-data",instance="a:9464",check="{check}"'
        state = lambda at, down=down: float(not now - 5 * DAY <= at < now - 5 * DAY + down)  # noqa: E731
        past.add("readiness_check_up", labels, state)
        past.add("readiness_check_required", labels, lambda at, required=required: required)
    past.served("telegram-bot", lambda at: (0, 0), lambda at: None if blind <= at < blind + 3600 else 0.0)
    staging = Past("staging", now - 70 * DAY, now)
    staging.served("market-data", lambda at: (5000, 5000))
    seen = [1000 + 100 * day for day in range(9)]
    for day, users in enumerate(seen):
        names = [f"user {number}" for number in range(users)]
        past.saw("market-data", "a:9464", at_noon(day) - 7200, names[: users * 2 // 3])
        past.saw("market-data", "b:9464", at_noon(day) + 7200, names[users // 3 :])
    written(tmp_path / "prometheus", past, staging)
    with running_prometheus(tmp_path / "prometheus") as (address, _):
        project = level_3(at_level, address, two=True)
        start = time.monotonic()
        measured = metrics.measure(
            project.folder, project.answers(), now=datetime.fromtimestamp(now, UTC), offline=False
        )
        print(f"measured in {time.monotonic() - start:.2f} s")
    requests, users, uptime = (
        measured[name]
        for name in ("production_traffic.requests", "production_traffic.users", "measured_uptime")
    )
    assert requests.value == pytest.approx(240, rel=0.01) and requests.source == f"Prometheus ({address})"
    assert (requests.window, requests.confidence) == ("7 days", "high")
    assert dict(requests.history)[rates.mondays(now)[-1].date().isoformat()] == pytest.approx(240, rel=0.01)
    assert dict(requests.history)[rates.mondays(now)[-6].date().isoformat()] == pytest.approx(120, rel=0.01)
    assert len(requests.history) in (9, 10), "the first week isn't whole"
    assert uptime.value == pytest.approx(1 - 180 / (28 * 1440 - 60), abs=3e-4), (
        "a worker that is down is none"
    )
    assert (uptime.window, uptime.confidence) == ("28 days", "high")
    assert "Prometheus looked in 99.9% of that time" in uptime.evidence
    # Of the days that are over, today's isn't.
    true = sum(seen[1:8]) / 7
    assert users.value == pytest.approx(true, rel=3 * 0.065 / 7**0.5), true
    assert (users.window, users.confidence) == ("7 days", "high")
    assert "± 2.5%" in users.evidence[1]


def test_a_young_stack_says_how_long_it_has_looked(at_level: Callable[..., Project], tmp_path: Path) -> None:
    now = time.time()
    past = Past("production", now - 3.5 * 3600, now)
    past.served("api", lambda at: (60, 0))
    written(tmp_path / "prometheus", past)
    with running_prometheus(tmp_path / "prometheus") as (address, _):
        project = level_3(at_level, address)
        measured = metrics.measure(project.folder, project.answers(), now=datetime.fromtimestamp(now, UTC))
        for name, reason in {
            "production_traffic.requests": "Prometheus has data of 3 hours, and this needs 1 day",
            "measured_uptime": "Prometheus has data of 3 hours, and this needs 7 days",
            "production_traffic.users": "no service tells who its users are",
        }.items():
            assert measured[name].value is None and reason in measured[name].reason, measured[name]
        # A query of one's own wins, and the rest stays.
        mine = "sources:\n  prometheus:\n    uptime: vector(0.5)\n    users: sum(up) * 1000\n"
        project.write("config/evolution.yml", mine)
        measured = metrics.measure(project.folder, project.answers(), now=datetime.fromtimestamp(now, UTC))
        assert (measured["measured_uptime"].value, measured["measured_uptime"].window) == (
            0.5,
            "as the query has it",
        )
        assert measured["production_traffic.users"].value == 1000
        assert "3 hours" in measured["production_traffic.requests"].reason
        # And so does an address of one's own.
        project.write("config/evolution.yml", f"sources:\n  prometheus: {address}\n")
        project.write("config/production.env", "")
        measured = metrics.measure(project.folder, project.answers(), now=datetime.fromtimestamp(now, UTC))
        assert "3 hours" in measured["measured_uptime"].reason


def test_a_prometheus_on_the_host_is_reached_through_ssh(
    target: Target, at_level: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    past = Past("production", now - 9 * DAY, now)
    past.served("api", lambda at: (59, 1))
    written(tmp_path / "prometheus", past)
    for name in ("DEPLOY_HOST", "DEPLOY_SSH_KEY", "DEPLOY_KNOWN_HOSTS"):
        monkeypatch.setenv(name, target.environment[name])
    project = at_level(3)
    project.write("config/production.env", "LOG_LEVEL=INFO\n")

    def measured() -> metrics.Measured:
        at = datetime.fromtimestamp(now, UTC)
        return metrics.measure(project.folder, project.answers(), now=at)["production_traffic.requests"]

    with running_prometheus(tmp_path / "prometheus", port=9090):
        found = measured()
    assert found.value == pytest.approx(60, rel=0.01)
    assert found.source == "Prometheus (port 9090 of the host of production)"
    gone = measured()
    assert gone.value is None and "can't be reached" in gone.reason
    left = subprocess.run(
        ["pgrep", "-f", f"ssh.*{target.ssh.address}"], capture_output=True, text=True, check=False
    )
    assert left.stdout == "", "no connection stays behind"
