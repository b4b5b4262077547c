"""Flags on a real host: a deploy brings them, `make flags APPLY=1` changes them for what runs, a rollback has them
as they were; and the events there.
"""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.as_a_person import levels
from tests.support.deployed import Shop, wait_until
from tests.support.engine import Target
from tests.support.histories import DAY, Past, running_prometheus, written
from tests.support.projects import Project

pytestmark = pytest.mark.proof
pytest_plugins = ["tests.support.engine"]

ROUTES = """
@prices.get("/see/<user>")
def see(user: str) -> ResponseReturnValue:
    return {"variant": variant("new-checkout", user, default="nothing"), "process": os.getpid()}


@prices.get("/buy/<user>")
def buy(user: str) -> ResponseReturnValue:
    converted("checkout", user)
    return {}


def json_error("""


def experiment(shop: Shop, do: str, *options: str, **variables: str) -> str:
    """What `make experiment` runs."""
    named = () if "--name" in options else ("--name", "example")
    done = levels(shop.folder, "experiment", do, *named, *options, **shop.variables(**variables))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shop(target: Target, template: Project, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A project at level 4 with an experiment that runs, deployed to staging as release 1."""
    target.clear()
    target.engine.traefik("traefik:v3.7")
    folder = tmp_path_factory.mktemp("experiments") / "shop"
    made = Shop(Project(folder, template), target, ["api"], level=4)
    made.take_orders()
    app = made.project.read("services/api/app.py")
    imports = "from runtime.experiments import converted, variant\n"
    at = app.index("from flask import")
    made.project.write(
        "services/api/app.py", app[:at] + imports + app[at:].replace("def json_error(", ROUTES.lstrip())
    )
    made.project.replace("config/experiments.yml", "flag: example", "flag: new-checkout")
    made.project.replace("config/experiments.yml", "end: 2027-02-08", "end: 2099-02-08")
    place = "  staging:\n    override:\n"
    made.project.replace("config/feature-flags.yml", place, f"{place}      a_b_testing: true\n")
    made.environment("staging", EVENTS_KEY="0123456789abcdef")
    experiment(made, "start", "--baseline", "4%", "--units", "1000")
    made.build("with an experiment")
    made.make("deploy", "ENV=staging")
    return made


def seen(shop: Shop, number: int = 60) -> dict[str, str]:
    """What users see, and by how many processes."""
    found = {}
    for one in range(number):
        with urllib.request.urlopen(shop.url(path=f"/see/user-{one}"), timeout=10) as answer:
            found[f"user-{one}"] = json.loads(answer.read())["variant"]
    return found


def test_what_is_applied_is_seen_by_every_worker_and_no_request_fails(shop: Shop) -> None:
    first = seen(shop)
    assert set(first.values()) == {"old", "new"}
    revision = json.loads((shop.there() / "releases/1/flags/flags.json").read_text())["metadata"]["version"]
    before = shop.project.read("config/experiments.yml")
    with shop.load(clients=4) as (got, sent):
        experiment(shop, "stop", "--variant", "new")
        said = shop.make("flags", "ENV=staging", "APPLY=1")
        assert "for release 1; services have it in a second" in said and revision not in said
        time.sleep(1)
        assert set(seen(shop, 200).values()) == {"new"}
        shop.project.write("config/experiments.yml", before)
        assert f"revision {revision}" in shop.make("flags", "ENV=staging", "APPLY=1")
        time.sleep(1)
        assert seen(shop) == first, "as before, and each user the same"
    assert not got.failed and not sent.failed and got.requests


def test_a_file_that_is_wrong_is_told_and_changes_nothing(shop: Shop) -> None:
    first, there = seen(shop), (shop.there() / "releases/1/flags/flags.json").read_bytes()
    before = shop.project.read("config/experiments.yml")
    shop.project.write("config/experiments.yml", before.replace("kind: rate}\n", "kind: ratio}\n", 1))
    said = shop.make("flags", "ENV=staging", "APPLY=1", code=2)
    assert "experiments.example.goal: expected {conversion: NAME, kind: rate or mean}" in said
    recorded = len(shop.record())
    assert "the flags of staging can't be made" in shop.make("deploy", "ENV=staging", code=2)
    assert len(shop.record()) == recorded, "that is no failed deploy"
    shop.project.write("config/experiments.yml", before)
    assert (shop.there() / "releases/1/flags/flags.json").read_bytes() == there
    # By hand, on the host.
    (shop.there() / "releases/1/flags/flags.json").write_text("{")
    time.sleep(1)
    assert seen(shop) == first
    shop.make("flags", "ENV=staging", "APPLY=1")
    said = shop.make("flags", "ENV=production", "APPLY=1", code=2)
    assert "config/production.env is missing" in said


def test_events_are_on_the_host_and_are_counted_and_forgotten(shop: Shop) -> None:
    seen(shop)
    for one in range(10):
        urllib.request.urlopen(shop.url(path=f"/buy/user-{one}"), timeout=10).close()
    time.sleep(1.5)
    lines = [
        line
        for file in (shop.there() / "events").glob("api-*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert sum(json.loads(line)["event"] == "conversion" for line in lines) == 10
    said = experiment(shop, "status", "--environment", "staging")
    assert "example: runs since" in said and "units: old " in said
    said = shop.make("experiment", "DO=forget", "UNIT=user-1", "ENV=staging")
    deleted = int(said.split(" events deleted")[0].split()[-1])
    later = [
        line
        for file in (shop.there() / "events").glob("api-*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert deleted >= 2 and len(later) == len(lines) - deleted


def test_a_plan_is_from_the_users_that_prometheus_saw_where_nobody_has_taken_part(
    shop: Shop, tmp_path: Path
) -> None:
    now = time.time()
    past = Past("staging", now - 8 * DAY, now)
    past.add("service:users_daily:estimate", 'service="api"', lambda at: 500.0)
    written(tmp_path / "prometheus", past)
    before = shop.project.read("config/experiments.yml")
    head, _, first = before.partition("experiments:\n")
    lines = [line for line in first.splitlines(True) if "started:" not in line]
    again = "".join(lines).replace("  example:", "  another:").replace("flag: new-checkout", "flag: another")
    shop.project.write("config/experiments.yml", f"{head}experiments:\n{again}")
    with running_prometheus(tmp_path / "prometheus") as (address, _):
        told = ("--name", "another", "--environment", "staging", "--units", "100")
        said = experiment(shop, "plan", *told, PROMETHEUS_URL=address)
    shop.project.write("config/experiments.yml", before)
    # Ten bought, one of whom was forgotten, of 500 users on one day.
    assert "checkout is 1.80%" in said and "counts once only" in said
    assert "with 100 units a day" in said


def test_a_release_that_comes_back_has_its_flags_as_they_were(shop: Shop) -> None:
    first = seen(shop)
    before = shop.project.read("config/experiments.yml")
    experiment(shop, "stop", "--variant", "new")
    shop.build("the experiment is over")
    shop.make("deploy", "ENV=staging")
    assert set(seen(shop).values()) == {"new"}
    shop.make("rollback", "ENV=staging")
    wait_until(lambda: seen(shop) == first)
    shop.project.write("config/experiments.yml", before)
    wait_until(lambda: len({*(shop.there() / "events").glob("api-*.jsonl")}) > 2)  # those of before stay
