"""Error budgets from a real Prometheus whose past is known."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extensions.cli import main
from extensions.evolution import slo
from extensions.evolution.slo import Budget
from tests.support.held import Deploys
from tests.support.histories import DAY, Past, running_prometheus, written
from tests.support.projects import Project

pytestmark = pytest.mark.proof


def failing(share: float) -> Callable[[float], tuple[float, float]]:
    """Ten requests a minute, of which a share fails."""
    return lambda at: (10 * (1 - share), 10 * share)


def rule(past: Past, name: str, value: float, service: str, kind: str) -> None:
    past.add(f"service:{name}", f'service="{service}",slo="{kind}"', lambda at: value)


@pytest.fixture
def shop(at_level: Callable[..., Project], tmp_path: Path) -> Any:
    """A project whose Prometheus is the one over these pasts, and who asks it for its budgets."""

    def make(*pasts: Past, **answers: Any) -> Callable[..., dict[tuple[str, str, str], Budget]]:
        written(tmp_path / "prometheus", *pasts)
        project = at_level(3, two=True)

        def budgets(address: str, *environments: str) -> dict[tuple[str, str, str], Budget]:
            project.write("config/production.env", f"PROMETHEUS_URL={address}\n")
            project.write("config/staging.env", f"PROMETHEUS_URL={address}\n")
            recorded = {**project.answers(), **answers}
            found = slo.budgets(
                project.folder, recorded, environments or ("staging", "production"), datetime.now(UTC)
            )
            return {(one.environment, one.service, one.slo): one for one in found}

        budgets.folder = project.folder  # type: ignore[attr-defined]
        return budgets

    return make


def test_budgets_are_what_the_requests_say(shop: Any, tmp_path: Path) -> None:
    """Of 30 days: 0.04% failed in production, 2% in its last hour; in staging 0.2%, on two instances."""
    now = time.time()
    production, staging = Past("production", now - 40 * DAY, now), Past("staging", now - 12 * DAY, now)
    production.served("market-data", lambda at: failing(0.02 if at > now - 3600 else 0.0004)(at))
    staging.served("market-data", failing(0.001), lambda at: 1.0 if at < now - 5 * DAY else None, "a:9464")
    staging.served("market-data", failing(0.003), lambda at: 1.0 if at > now - 6 * DAY else None, "b:9464")
    ask = shop(production, staging, uptime_target=99.9)
    with running_prometheus(tmp_path / "prometheus") as (address, _):
        found = ask(address)
    one = found["production", "market-data", "availability"]
    of_all = (0.0004 * (30 * 1440 - 60) + 0.02 * 60) / (30 * 1440)
    assert one.objective == pytest.approx(0.999) and one.state == slo.FINE
    assert one.left == pytest.approx(1 - of_all / 0.001, abs=0.01)
    assert one.burn == pytest.approx(20, rel=0.1) and one.requests == pytest.approx(10 * 30 * 1440, rel=0.01)
    assert one.since and one.since.timestamp() == pytest.approx(now - 30 * DAY, abs=600)
    bad = found["staging", "market-data", "availability"]
    assert bad.state == slo.EXHAUSTED and bad.left is not None and -1.3 < bad.left < -0.9
    assert bad.since and bad.since.timestamp() == pytest.approx(now - 12 * DAY, abs=600)
    assert slo.code(list(found.values())) == 1
    assert ("production", "telegram-bot", "availability") not in found, "a worker answers no requests"


def test_the_rules_of_the_stack_tell_the_same_and_of_latency_too(
    at_level: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project's own rules, in a real Prometheus: 0.04% fail, and a tenth takes longer than half a second."""
    now = time.time()
    past, staging = Past("production", now - 20 * DAY, now), Past("staging", now - 20 * DAY, now)
    for one in (past, staging):
        one.served("api", failing(0.0004))
        one.recorded("api", failing(0.0004))
    written(tmp_path / "prometheus", past, staging)
    project = at_level(3)

    def budgets() -> dict[str, Budget]:
        found = slo.budgets(project.folder, project.answers(), ["production"], datetime.now(UTC))
        return {one.slo: one for one in found}

    # The second compares with what the first says; nobody waits for their intervals here.
    rules = [tmp_path / "objectives.yml", tmp_path / "rules.yml"]
    for rule in rules:
        text = project.read(f"monitoring/{rule.name}")
        rule.write_text(re.sub(r"(?m)^( +interval): \w+$", r"\1: 1s", text))
    with running_prometheus(tmp_path / "prometheus", rules=rules) as (address, _):
        monkeypatch.setenv("PROMETHEUS_URL", address)
        project.write("config/production.env", "")
        end = time.monotonic() + 60
        while {one.state for one in budgets().values()} != {slo.FINE, slo.EXHAUSTED}:
            assert time.monotonic() < end, budgets()
            time.sleep(1)
        found = budgets()
        for kind, objective, left, burn in (("availability", 0.999, 0.6, 0.4), ("latency", 0.95, -1, 2)):
            one = found[kind]
            assert (one.objective, one.left) == (pytest.approx(objective), pytest.approx(left, abs=0.01))
            assert one.burn == pytest.approx(burn, rel=0.05)
        # A deploy is held by what they say.
        deploy = Deploys(project, tmp_path, ["staging", "production"], address)
        assert deploy("staging")[0] == 0
        code, _, errors = deploy("production")
        assert code == 1 and "is exhausted (api latency -100.0% is left)" in errors, errors
    # Without them availability is known all the same.
    with running_prometheus(tmp_path / "prometheus") as (address, _):
        monkeypatch.setenv("PROMETHEUS_URL", address)
        project.write("config/production.env", "")
        later = budgets()
        assert {*later} >= {"availability"} and later["availability"].left == pytest.approx(0.6, abs=0.01)


def test_little_data_is_unknown_and_says_how_much(
    shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    young, quiet = Past("staging", now - 5.5 * 3600, now), Past("production", now - 9 * DAY, now)
    young.served("market-data", failing(0.5))
    quiet.served("market-data", lambda at: (0.01, 0.01))
    ask = shop(young, quiet, uptime_target="99.9")
    with running_prometheus(tmp_path / "prometheus") as (address, _):
        found = ask(address)
        reasons = {key[0]: one.reason for key, one in found.items()}
        assert reasons["staging"] == "there are data of 5 hours, and a day is needed"
        assert reasons["production"].endswith(
            "requests in 30 days, and 1000 are needed for one failure to fit into the budget"
        )
        assert {one.state for one in found.values()} == {slo.UNKNOWN} and slo.code(list(found.values())) == 3
        # The command says so too, and doesn't end with 0.
        monkeypatch.chdir(ask.folder)
        assert main(["slo"]) == 3
        assert "unknown: there are data of 5 hours" in capsys.readouterr().out
        assert main(["slo", "production", "--json"]) == 3
        document = json.loads(capsys.readouterr().out)
        (one,) = document["budgets"]
        assert (one["environment"], one["left"], one["state"]) == ("production", None, "unknown")
        assert one["requests"] < 1000 and one["objective"] == pytest.approx(0.999)
    # It is gone.
    assert main(["slo", "staging"]) == 3
    assert "can't be reached" in capsys.readouterr().out


def test_an_exhausted_budget_holds_a_deploy_and_a_reason_goes_past_it(
    at_level: Callable[..., Project], tmp_path: Path
) -> None:
    """The step's own query, asked of a real Prometheus; ssh and docker are stand-ins."""
    now = time.time()
    pasts = {}
    for name, days, a_minute, left in (
        ("staging", 30, 10, -9.0),
        ("exhausted", 30, 10, -0.25),
        ("fine", 30, 10, 0.25),
        ("young", 0.9, 1000, -9.0),
        ("quiet", 30, 0.01, -9.0),
    ):
        past = pasts[name] = Past(name, now - days * DAY, now)
        past.served("api", lambda at, a_minute=a_minute: (a_minute, 0))
        past.add("service:requests:rate5m", 'service="api"', lambda at, each=a_minute / 60: each)
        rule(past, "slo_budget_left:ratio", left, "api", "availability")
        rule(past, "slo_budget_left:ratio", 0.5, "api", "latency")
        rule(past, "slo_objective:ratio", 0.999, "api", "availability")
        rule(past, "slo_objective:ratio", 0.95, "api", "latency")
    written(tmp_path / "prometheus", *pasts.values())
    with running_prometheus(tmp_path / "prometheus") as (address, _):
        deploy = Deploys(at_level(3), tmp_path, [*pasts, "elsewhere"], address)
        assert deploy("staging")[0] == 0, "the first environment isn't held"
        code, out, errors = deploy("exhausted")
        assert code == 1 and out.splitlines()[-1].startswith("budget: ")
        held = "exhausted is held: the error budget of 30 days is exhausted (api availability -25.0% is left)"
        assert errors.startswith(held) and "REASON=" in errors
        assert deploy.record("exhausted") == [], "nothing was done, so nothing went wrong"
        code, out, errors = deploy("exhausted", REASON="the fix of what used it up")
        assert (code, errors) == (0, "")
        (line,) = deploy.record("exhausted")
        assert "api availability -25.0%" in line["note"] and "the fix of what used it up" in line["note"]
        code, out, _ = deploy("fine")
        assert code == 0 and "left of the error budgets: api availability 25.0%, api latency 50.0%" in out
        # 432 requests: one failure of them is more than 0.1%, and less than 5%.
        code, out, _ = deploy("quiet")
        assert code == 0 and "left of the error budgets: api latency 50.0%\n" in out
        for name in ("young", "elsewhere"):
            assert deploy(name)[0] == 0
            assert deploy.record(name)[-1]["note"].startswith(
                "error budget unknown: no rules, less than a day"
            )
    assert deploy("exhausted")[0] == 0, "a Prometheus that is gone holds nothing"
    assert "Connection refused" in deploy.record("exhausted")[-1]["note"]
