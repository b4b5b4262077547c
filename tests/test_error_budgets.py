"""Error budgets where there is no Prometheus to tell of them: nothing is taken for success, and a deploy goes on.
What a real Prometheus tells is in tests/proof/test_slo.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from extensions.cli import main
from extensions.evolution import slo
from extensions.evolution.slo import EXHAUSTED, FINE, UNKNOWN, Budget
from tests.support.held import Deploys
from tests.support.projects import Project
from tests.support.servers import free_port

AtLevel = Callable[..., Project]


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([FINE, FINE], 0),
        ([FINE, UNKNOWN], 3),
        ([UNKNOWN, EXHAUSTED, FINE], 1),
        ([], 3),
    ],
)
def test_only_budgets_that_are_known_to_be_fine_are_success(states: list[str], code: int) -> None:
    assert slo.code([Budget("production", "api", "availability", state=state) for state in states]) == code


@pytest.mark.parametrize(
    ("level", "reason"), [(2, "no Prometheus is named"), (3, "config/staging.env is missing")]
)
def test_without_a_prometheus_every_budget_is_unknown(
    at_level: AtLevel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    level: int,
    reason: str,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.chdir(at_level(level, two=True).folder)
    assert main(["slo"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["staging", "market-data"],
        ["production", "market-data"],
    ]
    assert f"availability  unknown: {reason}" in lines[1]
    assert main(["slo", "staging", "--json"]) == 3
    (one,) = json.loads(capsys.readouterr().out)["budgets"]
    assert (one["state"], one["left"], one["objective"]) == ("unknown", None, None) and reason in one[
        "reason"
    ]
    assert main(["slo", "prodction"]) == 2
    assert capsys.readouterr().err == "levels: ENV is 'prodction', expected staging or production\n"


def test_a_deploy_notes_that_the_budget_is_unknown_and_goes_on(at_level: AtLevel, tmp_path: Path) -> None:
    deploy = Deploys(at_level(3), tmp_path, ["staging", "production"], f"http://127.0.0.1:{free_port()}")
    assert deploy("staging")[0] == 0 and "note" not in deploy.record("staging")[0]
    code, out, errors = deploy("production")
    assert (code, errors) == (0, "") and "error budget unknown: " in out
    assert "Connection refused" in deploy.record("production")[0]["note"]
