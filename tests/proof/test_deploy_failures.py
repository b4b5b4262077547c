"""What can fail around a deploy: the host's disk, the way to it, the registry, the settings, a port. What ran
before runs on, and it is said in words what to do.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.deployed import Shop, wait_until
from tests.support.engine import Target
from tests.support.projects import Project

pytestmark = pytest.mark.proof
pytest_plugins = ["tests.support.engine"]

SECRET = "hunter2-is-no-password"


@pytest.fixture(scope="module")
def shop(target: Target, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    target.clear()
    target.engine.traefik("traefik:v3.7")
    services = ["api", {"name": "bot", "kind": "worker"}]
    return Shop(
        Project(tmp_path_factory.mktemp("fails") / "shop", template), target, services, small=["api", "bot"]
    )


@pytest.fixture(scope="module")
def versions(shop: Shop) -> list[str]:
    """Two commits with images; the first one is released, as 1."""
    versions = [shop.build("first")]
    shop.make("deploy", "ENV=staging")
    shop.project.write("services/api/second", "")
    return [*versions, shop.build("second")]


@contextmanager
def nothing_changes(shop: Shop) -> Iterator[None]:
    """What ran before runs on, without a request that fails."""
    number, version = shop.ask()
    good = (shop.there() / "good").read_text()
    with shop.load(4, pause=0.05) as (got, sent):
        yield
    for counts in (got, sent):
        assert not counts.failed and set(counts.named) == {str(number)}, str(counts)
    assert (shop.there() / "good").read_text() == good
    shop.runs(number, version)


def test_a_line_of_the_settings_that_is_none_is_named_by_its_number_alone(
    shop: Shop, versions: list[str]
) -> None:
    file = shop.folder / "config" / "staging.env"
    text = file.read_text()
    file.write_text(f"{text}# ours\n{SECRET}\n")
    try:
        with nothing_changes(shop):
            said = shop.make("deploy", "ENV=staging", code=2)
    finally:
        file.write_text(text)
    assert f"config/staging.env, line {len(text.splitlines()) + 2}: expected NAME=value\n" in said
    assert SECRET not in said and len(said.splitlines()) == 2  # make's own line is the other


def test_without_the_registry_nothing_is_changed(shop: Shop, versions: list[str]) -> None:
    shop.target.registry.stop()
    try:
        with nothing_changes(shop):
            said = shop.make("deploy", "ENV=staging", code=1)
            assert (
                "what the registry has of" in said
                and "can't be told" in said
                and "connection refused" in said
            )
            # The workflow's deploy job knows the digests: the host is the first to miss the registry.
            digests = dict.fromkeys(("api", "bot"), f"sha256:{'0' * 64}")
            said = shop.make("deploy", "ENV=staging", code=1, DEPLOY_BUILDS=str(digests).replace("'", '"'))
            assert (
                "pull failed: the host couldn't pull the images" in said and "what ran before runs on" in said
            )
    finally:
        shop.target.registry.start()


def test_a_host_that_is_gone_midway_is_told_and_the_next_deploy_puts_it_in_order(
    shop: Shop, versions: list[str]
) -> None:
    number, first = shop.ask()
    with shop.load(4, pause=0.05) as (got, sent):
        with shop.started("deploy", "ENV=staging") as process:
            wait_until(lambda: "ready: " in shop.output(), 40)
            shop.target.ssh.stop()
            code = process.wait(120)
            said = shop.output()
        shop.target.ssh.start()
        assert code == 2 and "can't be reached, or the connection was lost" in said and "Error 1" in said
        assert (
            "couldn't be brought back, which the next deploy tries first" in said and "Traceback" not in said
        )
        assert "not recorded on the host" in said and shop.log()[-1]["outcome"] == "failure"
        # Nobody could undo anything, and yet nothing is broken for who uses it.
        assert shop.ask() == (number, first)
        shop.target.ssh.sh("flock deploy/shop-staging/lock true")
        time.sleep(2)  # the lease is over
        assert "it comes back first" in shop.make("deploy", "ENV=staging")
    for counts in (got, sent):
        assert not counts.failed, str(counts)
    shop.runs(shop.ask()[0], versions[1])


def test_on_a_full_disk_what_ran_before_runs_on(shop: Shop, versions: list[str]) -> None:
    """The folder of all that a deploy writes is a file system of its own, with nothing left in it."""
    _, version = shop.ask()
    other = versions[versions.index(version) - 1]
    there = shop.there()
    with small_disk(shop, there):
        with nothing_changes(shop):
            with (there / "ballast").open("wb", 0) as ballast, pytest.raises(OSError, match="No space left"):
                while True:
                    ballast.write(b"x" * 4096)
            files = {path: path.read_text() for path in there.rglob("*.json*")}
            said = shop.make("deploy", "ENV=staging", f"VERSION={other}", code=1)
            assert "No space left on device" in said and "Traceback" not in said, said
            assert {
                path: path.read_text() for path in there.rglob("*.json*")
            } == files  # none is half written
            (there / "ballast").unlink()
        shop.make("deploy", "ENV=staging", f"VERSION={other}")
        shop.runs(shop.ask()[0], other)


@contextmanager
def small_disk(shop: Shop, folder: Path) -> Iterator[None]:
    """Have a folder's files on a disk of half a megabyte. sshd sees what was mounted when it was started."""
    copy, ssh = folder.with_name("copy"), shop.target.ssh
    folder.rename(copy)
    folder.mkdir()
    ssh.stop()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], check=True)
    subprocess.run(["cp", "-a", f"{copy}/.", str(folder)], check=True)
    ssh.start()
    try:
        yield
    finally:
        ssh.stop()
        subprocess.run(["cp", "-a", f"{folder}/.", str(copy)], check=True)
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
        copy.rename(folder)
        ssh.start()


def test_where_a_port_is_taken_the_proxy_listens_as_before_for_all_that_are_behind_it(
    shop: Shop, versions: list[str]
) -> None:
    shop.environment("production")
    with socket.create_server(("127.0.0.1", shop.ports["production"]["api"])):
        number, version = shop.ask()
        said = shop.make("deploy", "ENV=production", f"VERSION={version}", code=1)
        port = shop.ports["production"]["api"]
        assert f"is a port taken (127.0.0.1:{port}:{port})? config/production.env can set another" in said
        assert "listen failed" in said
        shop.runs(number, version)  # staging, behind the same proxy
        assert shop.containers("production") == {}
    shop.make("deploy", "ENV=production", f"VERSION={version}")
    # Its own number is never used again, whether its release ran or not.
    shop.runs(shop.ask(environment="production")[0], version, "production")


@pytest.mark.parametrize("by_hand", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_a_deploy_that_is_cancelled_takes_back_what_it_had_begun(
    shop: Shop, versions: list[str], by_hand: bool
) -> None:
    """A workflow that is cancelled ends the process; a person at a terminal interrupts its ssh, too."""
    _, version = shop.ask()
    other = versions[versions.index(version) - 1]
    with nothing_changes(shop):
        with shop.started("deploy", "ENV=staging", f"VERSION={other}") as process:
            wait_until(lambda: "workers: " in shop.output(), 40)
            if by_hand:
                os.killpg(process.pid, signal.SIGINT)
            else:
                pgrep = ["pgrep", "-g", str(process.pid), "-f", "^[^ ]*python[^ ]* .*-m deploy"]
                found = subprocess.run(pgrep, capture_output=True, text=True, check=True).stdout.split()
                os.kill(int(found[0]), signal.SIGTERM)
            process.wait(60)
            wait_until(lambda: "is back" in shop.output(), 30)
            said = shop.output()
        assert (
            "Traceback" not in said and "interrupted" in said and shop.record()[-1]["outcome"] == "failure"
        ), said
