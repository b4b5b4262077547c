"""The Dockerfile: its image is built and started, by podman, on a base image made of Debian's packages since
there is no registry here.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.debian import BUNDLE, python_image
from tests.support.projects import Project
from tests.support.proofs import answers, session_caches

pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a base image with debootstrap"),
]

BASE = "docker.io/library/python:3.13-slim"  # what the Dockerfile asks for
SECRET = "s3cret-of-staging"

# Without systemd, and within the limits of a container.
CONTAINERS = """[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""

Podman = Callable[..., str]


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Run podman with a store of its own, which has the base image."""
    folder = tmp_path_factory.mktemp("podman")
    (folder / "containers.conf").write_text(CONTAINERS)
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder / "store"}"\nrunroot = "{folder / "run"}"\n'
    )
    environment = {
        **os.environ,
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
    }

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            ["podman", *arguments], env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == code, f"podman {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run("import", str(python_image(session_caches(tmp_path_factory))), BASE)
    try:
        run("run", "--rm", "--network", "host", BASE, "true")
    except AssertionError as error:  # such as in a container without the rights to make others
        pytest.skip(f"containers can't be run here: {error}")
    yield run
    run("rm", "--all", "--force")
    run("rmi", "--all", "--force")


@pytest.fixture(scope="module")
def build(podman: Podman, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """Build an image of a project at the highest level that has filled-in settings beside its code."""
    project = Project(tmp_path_factory.mktemp("image") / "shop", template)
    project.copy(
        "v1.0.0", level=4, python_version="3.13", services=["api", {"name": "bot", "kind": "worker"}]
    )
    project.commit()
    project.write("config/staging.env", f"PASSWORD={SECRET}\n")
    options = [
        "--isolation",
        "chroot",
        "--network",
        "host",
        "--format",
        "docker",
        "--env",
        f"SSL_CERT_FILE={BUNDLE}",
    ]

    def run(*arguments: str, code: int = 0) -> str:
        return podman("build", *options, *arguments, str(project.folder), code=code)

    return run


@pytest.fixture(scope="module")
def images(build: Podman) -> None:
    """The images of a web service and of a worker."""
    for name in ("api", "bot"):
        build("--build-arg", f"SERVICE=services/{name}", "--tag", name)


@pytest.mark.parametrize("name", ["api", "bot"])
def test_an_image_serves_its_health_and_stops_when_told(podman: Podman, images: None, name: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    podman(
        "run",
        "--detach",
        "--name",
        name,
        "--network",
        "host",
        "--read-only",
        "--tmpfs",
        "/tmp",
        "--env",
        f"PORT={port}",
        name,
    )
    end = time.monotonic() + 30
    while not (body := answers(f"http://127.0.0.1:{port}/-/health")):
        assert time.monotonic() < end, podman("logs", name)
        time.sleep(0.2)
    assert json.loads(body)["service"] == name
    assert json.loads(answers(f"http://127.0.0.1:{port}/-/readiness"))["ready"] is True
    podman("healthcheck", "run", name)
    assert podman("exec", name, "id", "--user").strip() == "10001"
    podman("stop", "--time", "10", name)
    assert podman("inspect", name, "--format", "{{.State.ExitCode}}").strip() == "0"


def test_an_image_contains_no_settings_no_history_and_no_tests(podman: Podman, images: None) -> None:
    files = podman("run", "--rm", "--network", "host", "api", "ls", "-A", "/srv", "/srv/config")
    assert "staging.env\n" not in files and ".git\n" not in files and "tests\n" not in files
    found = podman("run", "--rm", "--network", "host", "api", "grep", "-rl", SECRET, "/srv", code=1)
    assert found == ""


def test_an_image_of_no_service_is_not_built(build: Podman) -> None:
    """The build ends at once, instead of an image that can't start."""
    assert (
        build(code=1)
        .splitlines()[-1]
        .endswith('RUN test -n "${SERVICE}" && useradd --uid 10001 --no-create-home service')
    )
