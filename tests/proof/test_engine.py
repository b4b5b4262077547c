"""The host that deploys are proved on is a real one, and the load that is put on it sees what goes wrong."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.support.engine import Target
from tests.support.load import Requests, under_load
from tests.support.projects import Project, git
from tests.support.proofs import answers
from tests.support.servers import free_port

pytestmark = pytest.mark.proof

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward").read_text()  # before an engine was started
HEALTH = "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/-/health', timeout=2)"


@pytest.fixture(scope="module")
def image(target: Target, template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A service's image, built from the rendered Dockerfile and pushed; its name with the digest."""
    project = Project(tmp_path_factory.mktemp("engine") / "shop", template)
    project.copy("v1.0.0", level=2, python_version="3.13", image_registry=target.registry.name)
    name = f"{target.registry.name}/shop/api:{git(project.folder, 'rev-parse', 'HEAD').strip()}"
    docker = target.engine.docker
    docker("build", "--build-arg", "SERVICE=services/api", "--tag", name, ".", folder=project.folder)
    docker("push", "--quiet", name)
    (digest,) = json.loads(docker("inspect", "--format", "{{json .RepoDigests}}", name))
    docker("rmi", name)
    return str(digest)


@pytest.fixture(autouse=True)
def cleared(target: Target) -> None:
    target.clear()


def compose(port: int, image: str, version: str) -> str:
    service = {
        "image": image,
        "environment": {"SERVICE_NAME": "api", "SERVICE_VERSION": version},
        "ports": [f"127.0.0.1:{port}:8000"],
        "restart": "unless-stopped",
        "healthcheck": {
            "test": ["CMD", "python", "-c", HEALTH],
            "interval": "10s",
            "start_period": "20s",
            "start_interval": "500ms",
        },
    }
    return json.dumps({"services": {"api": service}})


def test_an_image_is_built_pushed_pulled_by_its_digest_and_healthy(target: Target, image: str) -> None:
    assert re.fullmatch(r"127\.0\.0\.1:\d+/shop/api@sha256:[0-9a-f]{64}", image)
    docker, port = target.engine.docker, free_port()
    docker("pull", "--quiet", image)
    docker("run", "--detach", "--name", "api", "--publish", f"{port}:8000", image)
    end = time.monotonic() + 20
    while not (body := answers(f"http://127.0.0.1:{port}/-/health")):
        assert time.monotonic() < end, docker("logs", "api")
        time.sleep(0.1)
    assert json.loads(body)["status"] == "healthy"


def test_replacing_a_container_as_compose_does_fails_requests_and_the_load_counts_them(
    target: Target, image: str
) -> None:
    """The control: a client that counts nothing here would prove nothing of a deploy without a gap."""
    port = free_port()
    up = "docker compose --project-name shop --file - up --detach --wait --quiet-pull"
    target.ssh.sh(up, text=compose(port, image, "old"))
    with under_load(Requests(f"http://127.0.0.1:{port}/-/health"), clients=8) as counts:
        time.sleep(0.5)
        target.ssh.sh(up, text=compose(port, image, "new"))
        time.sleep(0.5)
    assert set(counts.versions) == {"old", "new"}
    assert counts.failed.total() >= 8, str(counts)
    assert set(counts.failed) <= {"refused", "reset", "closed", "cut"} and counts.longest_gap > 0.1
    with under_load(Requests(f"http://127.0.0.1:{port}/-/health"), clients=8) as undisturbed:
        time.sleep(1)
    assert undisturbed.requests > 100 and not undisturbed.failed, str(undisturbed)


def test_containers_find_each_other_by_name(target: Target) -> None:
    docker = target.engine.docker
    name = target.engine.image_of_packages(
        "redis:8", ["redis-server"], 'CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no"]'
    )
    docker("network", "create", "inside")
    docker("run", "--detach", "--network", "inside", "--name", "queue", name)
    ask = (
        "import socket, time; time.sleep(0.5); s = socket.create_connection(('queue', 6379)); s.send(b'PING\\r\\n');"
        " print(s.recv(9))"
    )
    said = docker("run", "--rm", "--network", "inside", target.engine.python(), "python", "-c", ask)
    assert "PONG" in said


def test_traefik_runs_under_the_official_name(target: Target) -> None:
    name, port = target.engine.traefik("traefik:v3.7"), free_port()
    options = ["--ping", "--ping.entrypoint=web", "--entrypoints.web.address=:80"]
    target.engine.docker("run", "--detach", "--name", "front", "--publish", f"{port}:80", name, *options)
    end = time.monotonic() + 10
    while answers(f"http://127.0.0.1:{port}/ping") != b"OK":
        assert time.monotonic() < end, target.engine.docker("logs", "front")
        time.sleep(0.1)
    target.engine.docker("exec", "front", "traefik", "healthcheck", *options)


def test_a_host_that_loses_its_power_is_back_with_what_it_had(target: Target, image: str) -> None:
    docker, port = target.engine.docker, free_port()
    docker("run", "--detach", "--restart", "always", "--publish", f"{port}:8000", image)
    wait_until_it_answers(f"http://127.0.0.1:{port}/-/health")
    with under_load(Requests(f"http://127.0.0.1:{port}/-/health"), clients=1) as counts:
        target.engine.stop()
        assert target.engine.left_behind() == []
        time.sleep(0.2)
    assert counts.failed["refused"] > 0
    target.engine.start()
    wait_until_it_answers(f"http://127.0.0.1:{port}/-/health")


def wait_until_it_answers(url: str) -> None:
    end = time.monotonic() + 20
    while not answers(url):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_host_stays_as_it_is(target: Target) -> None:
    """Neither forwarding nor rules are the engine's: what it publishes is on loopback alone."""
    port = free_port()
    target.engine.docker("run", "--detach", "--publish", f"{port}:80", target.engine.python(), "sleep", "60")
    target.engine.docker("network", "create", "inside")
    listening = target.ssh.sh(f"ss --listening --tcp --numeric --no-header 'sport = :{port}'").split()
    assert listening[3] == f"127.0.0.1:{port}"
    rules = target.ssh.sh("iptables-save")
    assert "DOCKER" not in rules and f"10.{target.engine.number}." not in rules
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == FORWARDING
