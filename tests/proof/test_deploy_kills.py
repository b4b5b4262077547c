"""A deploy and a rollback that are killed after any of their steps, two at a time, and one that was frozen while
another took over: what serves is one release, and the next deploy puts all in order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.deployed import Shop, wait_until
from tests.support.engine import Target
from tests.support.projects import Project
from tests.support.scale import SOAK

pytestmark = pytest.mark.proof
pytest_plugins = ["tests.support.engine"]

PLUG_IN = "ci/deploy/steps/extra.py"
STEP = """
import os, signal, time
from pathlib import Path
from deploy.pipeline import Step

def run(deploy):
    {run}

def step():
    return Step("extra", "extra", run, after={after!r})
"""
KILLS = "os.kill(os.getpid(), signal.SIGKILL)"
WAITS = "Path(r'{folder}/here').write_text(str(os.getpid()))\n    while not Path(r'{folder}/go').exists():\n        time.sleep(0.02)"


@pytest.fixture(scope="module")
def shop(target: Target, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    target.clear()
    target.engine.traefik("traefik:v3.7")
    services = ["api", {"name": "bot", "kind": "worker"}]
    return Shop(
        Project(tmp_path_factory.mktemp("kills") / "shop", template), target, services, small=["api", "bot"]
    )


@pytest.fixture(scope="module")
def versions(shop: Shop) -> list[str]:
    """Two commits with images, both released: as 1 and 2."""
    versions = [shop.build("first")]
    shop.make("deploy", "ENV=staging")
    shop.project.write("services/api/second", "")
    versions.append(shop.build("second"))
    shop.make("deploy", "ENV=staging")
    return versions


def steps(shop: Shop, kind: str) -> list[str]:
    """The deploy's own list."""
    code = f"from deploy import pipeline; print(*(step.name for step in pipeline.steps({kind!r})))"
    environment = {**os.environ, "PYTHONPATH": "ci"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=shop.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def one_serves(shop: Shop, known: set[int]) -> int:
    """The one release that answers, a known one."""
    numbers = {shop.ask()[0] for _ in range(5)}
    assert len(numbers) == 1 and numbers <= known
    return numbers.pop()


def killed(shop: Shop, after: str, *words: str) -> None:
    shop.project.write(PLUG_IN, STEP.format(run=KILLS, after=after))
    try:
        with shop.started(*words) as process:
            process.wait(60)
            said = shop.output()
        assert "Killed" in said and f"{after}: " in said and "extra: extra" in said, said
    finally:
        (shop.folder / PLUG_IN).unlink()


def left_alone(shop: Shop) -> None:
    """Until the lease of the one that was killed is over."""
    until = int((shop.there() / "lease").read_text().splitlines()[1])
    time.sleep(max(0, until - time.time()) + 0.1)


@pytest.mark.soak
def test_a_deploy_that_is_killed_after_any_step_is_put_in_order_by_the_next(
    shop: Shop, versions: list[str]
) -> None:
    found, seconds = steps(shop, "deploy"), []
    assert len(found) > 10 and len(set(found)) == len(found)
    with shop.load(4, pause=0.05) as (got, sent):
        for turn, name in enumerate(found):
            ran, _ = shop.ask()
            killed(shop, name, "deploy", "ENV=staging", f"VERSION={versions[turn % 2]}")
            number = max(int(folder.name) for folder in (shop.there() / "releases").iterdir())
            assert one_serves(shop, {ran, number}) == (
                number if found.index(name) >= found.index("traffic") else ran
            )
            left_alone(shop)
            if not SOAK and found.index(name) < found.index("release-command"):
                shop.runs(
                    ran, shop.ask()[1]
                )  # nothing was touched: in proof the next that is killed is the next one
                continue
            begun = time.monotonic()
            said = shop.make("deploy", "ENV=staging", f"VERSION={versions[turn % 2]}")
            seconds.append(round(time.monotonic() - begun, 1))
            after = max(int(folder.name) for folder in (shop.there() / "releases").iterdir())
            assert f"release {after} runs, {versions[turn % 2]}" in said
            shop.runs(after, versions[turn % 2])
    for counts in (got, sent):
        assert not counts.failed, str(counts)
        assert "" not in counts.named
    print(
        f"killed after each of {len(found)} steps; {got.requests + sent.requests} requests, 0 failed; the next one took {seconds} s"
    )


@pytest.mark.soak
def test_a_rollback_that_is_killed_after_any_step_is_put_in_order_by_the_next(
    shop: Shop, versions: list[str]
) -> None:
    found = steps(shop, "rollback")
    assert len(found) > 8
    # In proof one before traffic, one after it, and one where no failure takes anything back any more: a deploy, whose
    # steps these are too, is killed there after every one.
    taken = found if SOAK else found[found.index("start") :: 3]
    with shop.load(4, pause=0.05) as (got, sent):
        for name in taken:
            number, version = shop.ask()
            shop.make("deploy", "ENV=staging", f"VERSION={versions[versions.index(version) - 1]}")
            newer, _ = shop.ask()
            killed(shop, name, "rollback", "ENV=staging", f"RELEASE={number}")
            one_serves(shop, {number, newer})
            left_alone(shop)
            shop.make("rollback", "ENV=staging", f"RELEASE={number}")
            shop.runs(number, version)
    for counts in (got, sent):
        assert not counts.failed and "" not in counts.named, str(counts)
    print(f"killed after {', '.join(taken)}; {got.requests + sent.requests} requests, 0 failed")


@pytest.mark.parametrize("name", ["start", "drain"])
def test_a_deploy_that_is_killed_within_a_step_is_put_in_order_by_the_next(
    shop: Shop, versions: list[str], name: str
) -> None:
    """What its ssh had begun on the host goes on there, and holds the lock until it is done."""
    _, ran = shop.ask()
    other = versions[versions.index(ran) - 1]
    with shop.load(4, pause=0.05) as (got, sent):
        with shop.started("deploy", "ENV=staging", f"VERSION={other}") as process:
            wait_until(lambda: f"{name}: " in shop.output())
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGKILL)
        shop.target.ssh.sh("flock deploy/shop-staging/lock true")
        left_alone(shop)
        shop.make("deploy", "ENV=staging", f"VERSION={other}")
        number = max(int(folder.name) for folder in (shop.there() / "releases").iterdir())
        shop.runs(number, other)
    for counts in (got, sent):
        assert not counts.failed, str(counts)


class Waiting:
    """A deploy that waits after a step, until it may go on."""

    def __init__(self, shop: Shop, folder: Path, after: str) -> None:
        self.shop, self.folder = shop, folder
        shop.project.write(PLUG_IN, STEP.format(run=WAITS.format(folder=folder), after=after))

    def process(self) -> int:
        wait_until(lambda: (self.folder / "here").exists() and (self.folder / "here").read_text(), 40)
        (self.shop.folder / PLUG_IN).unlink()
        return int((self.folder / "here").read_text())

    def go(self) -> None:
        (self.folder / "go").touch()


def test_of_two_at_once_the_second_is_refused_and_told_who_is_at_it(
    shop: Shop, versions: list[str], tmp_path: Path
) -> None:
    number, version = shop.ask()
    other = versions[versions.index(version) - 1]
    waiting = Waiting(shop, tmp_path, "start")
    with shop.started("deploy", "ENV=staging", f"VERSION={other}", DEPLOY_LEASE_SECONDS="3") as process:
        waiting.process()
        recorded = len(shop.record())
        time.sleep(4)  # longer than the lease, which it renews meanwhile
        for words in (("deploy", f"VERSION={version}"), ("rollback",)):
            said = shop.make(words[0], "ENV=staging", *words[1:], code=1)
            since = (shop.there() / "lease").read_text().splitlines()[3]
            assert f"staging is being deployed by A Tester since {since}: deploys {other}" in said
        assert len(shop.record()) == recorded and shop.ask() == (number, version)
        waiting.go()
        assert process.wait(60) == 0, shop.output()
    shop.runs(shop.ask()[0], other)


@pytest.mark.parametrize("after", ["start", "traffic", "keep"])
def test_an_owner_that_was_frozen_is_refused_once_another_has_taken_over(
    shop: Shop, versions: list[str], tmp_path: Path, after: str
) -> None:
    _, version = shop.ask()
    other = versions[versions.index(version) - 1]
    waiting = Waiting(shop, tmp_path, after)
    with shop.load(4, pause=0.05) as (got, sent):
        with shop.started("deploy", "ENV=staging", f"VERSION={other}") as process:
            owner = waiting.process()
            os.kill(owner, signal.SIGSTOP)
            wait_until(lambda: Path(f"/proc/{owner}/stat").read_text().split(")")[1].split()[0] == "T")
            left_alone(shop)
            shop.make("deploy", "ENV=staging", f"VERSION={version}")
            number, _ = shop.ask()
            state = seen(shop)
            waiting.go()
            os.kill(owner, signal.SIGCONT)
            assert process.wait(60) == 2  # make's
            said = shop.output()
        assert "another deploy of staging has taken over: this one stopped, and changed no more" in said
        assert "Error 1" in said and "Traceback" not in said
        assert seen(shop) == state
        shop.runs(number, version)
    for counts in (got, sent):
        assert not counts.failed, str(counts)


def seen(shop: Shop) -> tuple[object, ...]:
    """What a deploy could change on the host."""
    files = ("good", "serving", "log.jsonl", "lease")
    return (shop.containers(), *((shop.there() / name).read_text() for name in files))
