"""A deploy of level 2 on a real host: without a gap, one worker at a time, back, on to production, and through a
power loss; what its proxy lets through.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from extensions.evolution import metrics
from tests.support.as_a_person import levels
from tests.support.deployed import Jobs, Shop, wait_until
from tests.support.engine import Target
from tests.support.load import Counts
from tests.support.projects import Project
from tests.support.scale import scaled
from tests.support.servers import free_port

pytestmark = pytest.mark.proof
pytest_plugins = ["tests.support.engine"]

SERVICES = ["api", "panel", {"name": "bot", "kind": "worker"}]


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    with Jobs() as made:
        yield made


@pytest.fixture(scope="module")
def shop(target: Target, template: Project, tmp_path_factory: pytest.TempPathFactory, jobs: Jobs) -> Shop:
    """A project whose api and bot are as the template brings them, with a route and a loop more."""
    target.clear()
    target.engine.traefik("traefik:v3.7")
    made = Shop(
        Project(tmp_path_factory.mktemp("deploy") / "shop", template), target, SERVICES, small=["panel"]
    )
    made.take_orders()
    made.take_jobs("bot")
    made.environment("staging", JOBS_URL=jobs.url)
    return made


@pytest.fixture(scope="module")
def versions(shop: Shop) -> list[str]:
    """Two commits with images; the first one is released, as 1."""
    versions = [shop.build("first")]
    shop.make("deploy", "ENV=staging")
    shop.project.write("services/api/second.py", "")
    return [*versions, shop.build("second")]


def no_gap(got: Counts, sent: Counts) -> None:
    for counts in (got, sent):
        assert not counts.failed, str(counts)
        assert counts.requests == len(counts.releases) and "" not in counts.named


@pytest.mark.soak
def test_deploys_have_no_gap_and_the_worker_never_runs_twice(
    shop: Shop, versions: list[str], jobs: Jobs
) -> None:
    numbers, seconds = [], []
    with shop.load() as (got, sent):
        for turn in range(scaled(20)):
            version = versions[(turn + 1) % 2]
            said = shop.make("deploy", "ENV=staging", f"VERSION={version}")
            numbers.append(shop.ask()[0])
            seconds.append(shop.record()[-1]["seconds"])
            assert f"release {numbers[-1]} runs, {version}" in said
        wait_until(lambda: got.requests + sent.requests >= scaled(50_000), 900)
    no_gap(got, sent)
    for counts in (got, sent):
        assert set(map(int, counts.named)) == {1, *numbers} and counts.went_back == 0, str(counts)
    assert got.versions.keys() == set(versions)
    print(f"deploys took {seconds} s; GET: {got}; POST: {sent}")
    shop.runs(numbers[-1], version)
    # The worker: one at a time, and what was begun when it was told to stop has been finished.
    assert jobs.most == 1 and len(jobs.started) == len(numbers) + 1
    wait_until(lambda: len(jobs.taken) - len(jobs.done) <= 1)
    assert set(jobs.taken[:-1]) <= set(jobs.done) and len(jobs.done) == len(set(jobs.done))
    assert jobs.after_the_signal, "no job was under way when a worker was told to stop"
    print(f"{len(jobs.done)} jobs done, {len(jobs.after_the_signal)} of them after SIGTERM, 0 lost")


def test_back_and_back_again_and_to_a_release_by_its_number(shop: Shop, versions: list[str]) -> None:
    first, second = versions
    begun = shop.ask()[0]
    with shop.load(4, pause=0.02) as (got, sent):
        shop.make("deploy", "ENV=staging", f"VERSION={first}")
        shop.make("deploy", "ENV=staging", f"VERSION={second}")
        said = shop.make("rollback", "ENV=staging")
        shop.runs(begun + 1, first)
        assert f"release {begun + 1} runs, {first} (the database was not taken back)" in said
        shop.make("rollback", "ENV=staging")
        assert shop.ask()[0] == begun
        shop.make("rollback", "ENV=staging", f"RELEASE={begun + 2}")
    no_gap(got, sent)
    shop.runs(begun + 2, second)
    assert [line["kind"] for line in shop.record()[-5:]] == ["deploy", "deploy", *["rollback"] * 3]
    said = shop.make("rollback", "ENV=staging", "RELEASE=999", code=2)
    assert "release 999 of staging isn't kept" in said
    shop.runs(begun + 2, second)


def test_what_a_way_back_needs_is_kept_and_the_rest_goes(shop: Shop, versions: list[str]) -> None:
    first, second = versions
    shop.project.write("config/deploy.toml", "[gate]\nseconds = 15\n[keep]\nreleases = 2\n")
    shop.project.write("services/panel/third", "")
    third = shop.build("third")
    shop.make("deploy", "ENV=staging")
    shop.make("deploy", "ENV=staging", f"VERSION={first}")
    listed = shop.target.engine.docker(
        "image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}"
    ).split()
    images = {version: set(shop.images(version)) for version in (first, second, third)}
    assert images[first] | images[third] <= set(listed) and not images[second] & set(listed)
    # What a way back needs is on the host, and not in the registry alone.
    shop.target.registry.stop()
    try:
        shop.make("rollback", "ENV=staging")
    finally:
        shop.target.registry.start()
    assert shop.ask()[1] == third


def test_a_release_of_staging_goes_to_production_as_the_same_builds(shop: Shop) -> None:
    staging, version = shop.ask()
    shop.environment("production", JOBS_URL="")
    with shop.load(4, pause=0.02) as (got, sent):
        shop.make("deploy", "ENV=production", f"RELEASE={staging}")
    # The proxy, which both share, has to listen on more ports: once it is started again, and that is seen.
    for counts in (got, sent):
        assert set(counts.failed) <= {"refused", "reset", "closed"} and counts.longest_gap < 10, str(counts)
    print(f"the proxy on more ports: {got}; {sent}")
    shop.runs(1, version, "production")
    shop.runs(staging, version)
    assert shop.release(1, "production")["builds"] == shop.release(staging)["builds"]
    with shop.load(4, pause=0.02) as (got, sent):
        shop.make("deploy", "ENV=production", f"RELEASE={staging}")
    no_gap(got, sent)
    shop.runs(2, version, "production")


def test_a_move_down_to_1_and_up_again_leaves_what_runs_and_the_next_deploy_goes_on_from_it(
    shop: Shop, versions: list[str]
) -> None:
    number, version = shop.ask()
    shop.project.commit("the deployment log")
    settings = (shop.folder / "config" / "staging.env").read_text()
    with shop.load(pause=0.02) as (got, sent):
        said = levels(shop.folder, "preview", "1").stdout
        assert "Files that go" in said and "ci/deploy/pipeline.py" in said
        runs_on = [line.strip() for line in said.splitlines() if "keeps running until you stop it" in line]
        assert len(runs_on) == 3 and "what was deployed" in runs_on[0] and "the proxy" in runs_on[1], said
        # What it says how to end is what is there.
        assert "docker compose -p PROJECT-ENVIRONMENT-NUMBER down" in runs_on[0]
        assert f"shop-staging-{number} " in shop.target.ssh.sh("docker compose ls")
        for level in ("1", "2"):
            done = levels(shop.folder, "upgrade", level)
            assert done.returncode == 0, done.stderr
            shop.project.commit(f"level {level}")
            assert (shop.folder / "ci/deploy").is_dir() == (level == "2")
            shop.runs(number, version)
        assert (shop.folder / "config" / "staging.env").read_text() == settings, (
            "git ignores it, and so do moves"
        )
        moved = shop.build("up again")
        shop.make("deploy", "ENV=staging")
        next_one = shop.ask()[0]
        shop.runs(next_one, moved)
        shop.make("rollback", "ENV=staging")  # to a release of before the move
    no_gap(got, sent)
    for counts in (got, sent):
        assert set(map(int, counts.named)) == {number, next_one}, str(counts)
    shop.runs(number, version)


def test_after_a_power_loss_what_ran_well_runs_again(shop: Shop) -> None:
    number, version = shop.ask()
    shop.target.engine.stop()
    shop.target.engine.start()
    begun = time.monotonic()
    wait_until(lambda: shop.answers(number), 60)
    print(f"answers {time.monotonic() - begun:.1f} s after the engine does")
    wait_until(lambda: shop.containers(state="running") == shop.containers(), 30)
    shop.runs(number, version)
    assert f"release {number}" in shop.make("status", "ENV=staging")


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
def test_a_large_body_reaches_the_service_whole(shop: Shop, versions: list[str], chunked: bool) -> None:
    body = os.urandom(3_000_000)
    data = (body[i : i + 65_536] for i in range(0, len(body), 65_536)) if chunked else body
    request = urllib.request.Request(
        shop.url(path="/orders"), data, {"Content-Type": "application/octet-stream"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        found = json.load(answer)
    assert (found["length"], found["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


def test_a_websocket_works_and_lives_on_while_another_release_comes(shop: Shop, versions: list[str]) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    with socket.create_connection(("127.0.0.1", shop.ports["staging"]["panel"]), 10) as connection:
        head = f"GET / HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        connection.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(4096)
        accept = base64.b64encode(
            hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        )
        assert answer.startswith(b"HTTP/1.1 101 ") and accept in answer
        with shop.started("deploy", "ENV=staging") as process:
            while process.poll() is None and "keep" not in shop.output():
                frame = b"\x81\x85mask" + bytes(a ^ b for a, b in zip(b"hello", b"maskm", strict=True))
                connection.sendall(frame)
                assert connection.recv(4096) == frame
                time.sleep(0.05)
            assert process.wait(60) == 0, shop.output()


def test_the_detector_reads_the_record_on_the_host(
    shop: Shop, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deploys by hand stand in the project too, and count once; one of a workflow stands on the host alone."""
    shop.make("deploy", "ENV=staging", f"VERSION={versions[0]}")
    shop.make("deploy", "ENV=staging", f"VERSION={versions[1]}", CI="true", GITHUB_ACTOR="ada")
    deploys = [line for line in shop.record() if line["kind"] == "deploy" and line["outcome"] == "success"]
    here = [line for line in shop.log() if line["environment"] == "staging"]
    assert deploys[-1]["by"].startswith("ada") and len(here) == len(shop.record()) - 1
    shop.project.write("config/evolution.yml", "sources: {environment: staging}\n")
    for name, value in shop.variables().items():
        monkeypatch.setenv(name, value)

    def measured() -> dict[str, metrics.Measured]:
        return metrics.measure(shop.folder, shop.project.answers(), now=datetime.now(UTC))

    began = time.monotonic()
    found = measured()
    print(f"measured in {time.monotonic() - began:.2f} s, {len(shop.record())} lines on the host")
    frequency = found["deployment_frequency"]
    assert frequency.source == "deployment log (the record on the host and config/deploys.jsonl)"
    assert frequency.evidence[0].startswith(f"{len(deploys)} deployments in 12 weeks"), frequency
    assert found["production_deployment"].confidence == "high"
    (shop.folder / "config/deploys.jsonl").rename(shop.folder.parent / "deploys.jsonl")
    assert (
        measured()["deployment_frequency"].evidence[0].startswith(f"{len(deploys)} deployments in 12 weeks")
    )
    # The host is gone: what it has isn't taken for nothing.
    monkeypatch.setenv("DEPLOY_HOST", f"root@127.0.0.1:{free_port()}")
    began = time.monotonic()
    gone = measured()
    assert time.monotonic() - began < 5
    for name in ("deployment_frequency", "manual_errors", "production_deployment"):
        assert gone[name].value is None
    assert "Connection refused" in gone["deployment_frequency"].reason
    (shop.folder.parent / "deploys.jsonl").rename(shop.folder / "config/deploys.jsonl")
