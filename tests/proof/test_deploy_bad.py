"""Eight bad releases, each deployed under load to a real host: each comes back by itself, and what that costs is
counted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from tests.support.deployed import Jobs, Shop, wait_until
from tests.support.engine import Target
from tests.support.projects import Project

pytestmark = pytest.mark.proof
pytest_plugins = ["tests.support.engine"]

API = "services/api/app.py"
BOT = "services/bot/worker.py"
RULES = "config/deploy.toml"
MADE = "    return init_service(app, "
SMOKE = """
import json

def test_an_order_is_taken(ask):
    status, headers, text = ask("api", "/orders", "POST", b"three")
    assert status == 200 and json.loads(text)["length"] == 5
"""


@dataclass(frozen=True)
class Bad:
    """What is wrong with a release, the step that sees it, and what a person is told and shown."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    step: str
    told: tuple[str, ...]
    seen_by_clients: bool = False  # it had traffic before it was caught
    seconds: int = 0  # of the gate; where it shall not take long


RAISES = (API, MADE, '    raise RuntimeError("no price list")\n' + MADE)
BROKEN = "raise SystemExit('the column is missing')"
RELEASES = [
    Bad("raises in create_app", (RAISES,), "start", ("RuntimeError: no price list", "services/api/app.py")),
    Bad(
        "exits at its start",
        (
            (
                API,
                'prices = Blueprint("',
                'import sys\nsys.exit("PRICES_URL is missing")\nprices = Blueprint("',
            ),
        ),
        # gunicorn starts its processes over and over. Where the seconds are over, `docker compose up --wait` ends
        # well as often as not (2.26: whether the end of its wait is an error is a race); then `ready` sees it.
        "start or ready",
        ("PRICES_URL is missing",),
        seconds=6,
    ),
    Bad(
        "is never ready",
        (
            (
                API,
                MADE,
                MADE.replace("return", "done =")
                + '"api")\n    done.extensions["readiness_refusals"]["cold"] = lambda: True\n    return done\n    str(',
            ),
        ),
        "ready",
        ("api: not ready after 6 seconds: /-/readiness answered 503",),
        seconds=6,
    ),
    Bad(
        "answers as another build",
        (
            (
                API,
                "def create_app() -> Flask:\n",
                'def create_app() -> Flask:\n    os.environ["SERVICE_VERSION"] = "0.1"\n',
            ),
        ),
        "ready",
        ("it answers as version 0.1, expected ",),
    ),
    Bad(
        "fails its smoke test",
        ((API, '"length": len(body)', '"length": 4'),),
        "smoke",
        ("test_an_order_is_taken", "the smoke tests failed"),
        seen_by_clients=True,
    ),
    Bad(
        "fails its release command",
        ((RULES, "[gate]", f'[release]\ncommand = "python -c \\"{BROKEN}\\""\n[gate]'),),
        "release-command",
        ("the column is missing",),
    ),
    Bad(
        "migrates, and then raises in create_app",
        ((RULES, "[gate]", '[release]\ncommand = "echo migrated"\n[gate]'), RAISES),
        "start",
        ("migrated\n", "RuntimeError: no price list", "what it did to the database stays"),
    ),
    Bad(
        "has one good service and a web service that ends",
        (("services/panel/Dockerfile", '"/small.py"', '"-c", "raise SystemExit(\'no panel\')"'),),
        "start",
        ("no panel",),
    ),
    Bad(
        "has good web services and a worker that ends",
        ((BOT, '    say("start")\n', '    sys.exit("no token")\n    say("start")\n'),),
        "workers",
        ("no token",),
    ),
]


@dataclass
class Ground:
    shop: Shop
    jobs: Jobs
    good: str = ""
    figures: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def ground(target: Target, template: Project, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A release that runs well: two web services and a worker that takes jobs, checked by a smoke test."""
    target.clear()
    target.engine.traefik("traefik:v3.7")
    services = ["api", "panel", {"name": "bot", "kind": "worker"}]
    shop = Shop(Project(tmp_path_factory.mktemp("bad") / "shop", template), target, services, small=["panel"])
    shop.take_orders()
    shop.take_jobs("bot")
    shop.project.write("tests/smoke/test_orders.py", SMOKE)
    with Jobs() as jobs:
        shop.environment("staging", JOBS_URL=jobs.url)
        shop.project.write(RULES, '[gate]\nseconds = 15\nsmoke_methods = "GET POST"\n')
        good = shop.build("good")
        assert "5 passed" in shop.make("deploy", "ENV=staging")
        yield Ground(shop, jobs, good)


@pytest.mark.parametrize("bad", RELEASES, ids=lambda bad: bad.name.replace(" ", "-"))
def test_a_bad_release_comes_back_by_itself(ground: Ground, bad: Bad) -> None:
    shop, jobs = ground.shop, ground.jobs
    before = {path: shop.project.read(path) for path in (*(edit[0] for edit in bad.edits), RULES)}
    if bad.seconds:
        shop.project.replace(RULES, "seconds = 15", f"seconds = {bad.seconds}")
    for path, old, new in bad.edits:
        shop.project.replace(path, old, new)
    try:
        version = shop.build(bad.name)
        recorded = len(shop.record())
        number = max(int(folder.name) for folder in (shop.there() / "releases").iterdir()) + 1
        workers = len(jobs.started)
        with shop.load(pause=0.03) as (got, sent):
            time.sleep(0.3)
            begun = time.monotonic()
            said = shop.make("deploy", "ENV=staging", code=1)
            seconds = time.monotonic() - begun
            time.sleep(0.3)
    finally:
        for path, text in before.items():
            shop.project.write(path, text)
    for counts in (got, sent):
        assert not counts.failed, str(counts)
        by_it = counts.named[str(number)]
        assert set(counts.named) == ({"1", str(number)} if bad.seen_by_clients else {"1"}), (
            by_it,
            str(counts),
        )
        assert list(counts.releases)[-1][2] == "1"
    for words in bad.told:
        assert words in said, said
    steps = [
        one
        for one in bad.step.split(" or ")
        if f"release {number} was not deployed to staging: {one} failed\n" in said
    ]
    assert len(steps) == 1, said
    back = f"release 1 ({ground.good}) is back\n"
    assert (back if bad.step != "release-command" else "what ran before runs on\n") in said
    shop.runs(1, ground.good)
    (line,) = shop.record()[recorded:]
    assert (line["outcome"], line["release"], line["version"]) == ("failure", number, version)
    assert line["note"].startswith(f"{steps[0]} failed: ") and line["seconds"] > 0
    logged = shop.log()[-1]
    assert {key: line[key] for key in logged} == logged and logged["version"] == version
    # The worker has been there once at any time, and is at work again.
    done = len(jobs.done)
    wait_until(lambda: len(jobs.done) > done + 1)
    assert jobs.most == 1 and set(jobs.taken[:-1]) == set(jobs.done[: len(jobs.taken) - 1])
    print(
        f"{bad.name}: {seconds:.1f} s from `make deploy` to being back; {got.requests + sent.requests} requests, 0 failed,"
        f" {got.named[str(number)] + sent.named[str(number)]} answered by it; the worker was started {len(jobs.started) - workers} times"
    )
