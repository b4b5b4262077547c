"""`levels analytics`, as far as it goes without DuckDB and tea-tasting: plans, words, the page, and what it says
where the extra is missing. What experiments come to is in tests/proof/test_analytics.py.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extensions import analytics
from extensions.analytics import experiments, page, report, store
from extensions.cli import main
from extensions.errors import Refused
from extensions.evolution.experiments import Experiment as Running
from extensions.evolution.experiments import Traffic, sample
from extensions.evolution.experiments import read as read_plans
from tests.support.projects import ROOT, Project

STARTED = datetime(2026, 11, 2, 8, tzinfo=UTC)
PLAN = """
experiments:
  new-checkout:
    hypothesis: A shorter form brings more checkouts
    owner: shop
    flag: checkout
    unit: user
    variants: {off: 50, on: 50, never: 0}
    control: off
    targeting: {"==": [{var: country}, DE]}
    goal: {conversion: paid, kind: rate}
    guardrails:
      - {conversion: refund, kind: mean, worse: up, at_most: 5%}
    minimal_effect: 10%
    start: 2026-11-01
    end: 2026-11-30
  idea:
    {hypothesis: not planned yet, owner: shop, flag: idea, unit: user, variants: {off: 1, on: 1}, control: off}
"""


def planned(folder: Path, text: str = PLAN) -> Path:
    (folder / "config").mkdir(exist_ok=True)
    (folder / experiments.FILE).write_text(text, encoding="utf-8")
    return folder


def started(folder: Path, text: str = PLAN) -> Path:
    """The same once `levels experiment start` has written its line."""
    one = Running(folder, "new-checkout", read_plans(planned(folder, text))["new-checkout"], STARTED)
    one.start(Traffic(baseline=0.2, deviation=None, units=1000, exposed={}, why=""))
    return folder


def test_a_plan_is_read_as_the_project_has_it(tmp_path: Path) -> None:
    [one], rest = experiments.read(started(tmp_path))
    assert rest == ["idea"]
    assert (one.name, one.flag, one.control, one.treatments) == ("new-checkout", "checkout", "off", ("on",))
    assert one.goal == experiments.Metric("paid")
    assert one.guardrails == (experiments.Metric("refund", "mean", "up", 0.05),)
    assert one.effect == 0.1 and one.sample == one.tuned == sample(0.2, None, 0.1, {"off": 1, "on": 1}, "off")
    assert one.begins == STARTED, "it began when it was started"
    assert one.ends == datetime(2026, 12, 1, tzinfo=UTC), "the last day is whole"


def test_an_experiment_ends_when_it_was_stopped(tmp_path: Path) -> None:
    text = started(tmp_path).joinpath(experiments.FILE).read_text()
    text = text.replace("  idea:", "    ended: {at: 2026-11-20T12:00:00+01:00, serve: on}\n  idea:")
    assert experiments.read(planned(tmp_path, text))[0][0].ends == datetime(2026, 11, 20, 11, tzinfo=UTC)


def test_there_may_be_no_plan(tmp_path: Path) -> None:
    assert experiments.read(tmp_path) == ([], [])
    assert experiments.read(planned(tmp_path, "experiments:\n")) == ([], [])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "{off: 50",
            "{off: 0",
            "line 3: new-checkout: expected the control and another variant, each with a weight",
        ),
        (
            "on: 50",
            "on: 0",
            "line 3: new-checkout: expected the control and another variant, each with a weight",
        ),
        (
            "  idea:",
            "    ended: {at: yesterday, serve: on}\n  idea:",
            "line 3: new-checkout: expected `at` as DO=start",
        ),
        (
            "  idea:",
            "    ended: {at: 2026-10-01, serve: on}\n  idea:",
            "line 3: new-checkout: expected a start before",
        ),
        # Whatever else is wrong is told as the project's own check tells it.
        ("kind: rate", "kind: median", "line 11: experiments.new-checkout.goal: expected"),
    ],
)
def test_a_plan_that_cannot_be_taken_is_told_in_one_line(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(Refused, match=said) as refused:
        experiments.read(planned(tmp_path, PLAN.replace(old, new)))
    assert str(refused.value).startswith(experiments.FILE) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.021, 0.053, "2.1% to 5.3% higher"),
        (-0.053, -0.02, "2% to 5.3% lower"),
        (-0.00031, 1.2, "between 0.031% lower and 120% higher"),
        (0.0, 0.1, "between 0% lower and 10% higher"),
    ],
)
def test_an_interval_is_told_in_words(low: float, high: float, said: str) -> None:
    assert report.span(low, high, report.percent) == said


@pytest.mark.parametrize("name", ["api-2026-12-01-host-7.jsonl", "a-b-2026-12-01-web-1.example-12.jsonl"])
def test_a_file_of_events_is_known_by_its_name(name: str) -> None:
    match = store.NAME.fullmatch(name)
    assert match and match[1] == "2026-12-01"


def test_without_the_extra_one_line_says_what_to_install(
    at_level: Callable[[int], Project],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(at_level(4).folder)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "duckdb" else find(name, *more)
    )
    monkeypatch.setattr(analytics, "LIBRARIES", ("duckdb",))
    assert main(["analytics", "--events", str(tmp_path)]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "expected duckdb here" in err and "copier-levels[analytics]" in err


@pytest.mark.parametrize("typed", [["--experiment", "nobody"], ["--keep-days", "0"]])
def test_what_cannot_be_meant_is_told_before_anything_is_read(
    at_level: Callable[[int], Project],
    tmp_path: Path,
    typed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(at_level(4).folder)
    assert main(["analytics", "--events", str(tmp_path), *typed]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1) and f"{typed[0]} {typed[1]}: expected" in err


def test_no_other_command_needs_the_extra() -> None:
    code = (
        "import sys, extensions.cli, extensions.analytics.page, extensions.analytics.report;"
        " print({'duckdb', 'numpy', 'scipy', 'tea_tasting'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_target_asks_for_the_extra_and_hands_on_what_it_is_given(
    at_level: Callable[[int], Project],
) -> None:
    given = {"EVENTS": "a b", "NAME": "x", "HTML": "p.html", "KEEP_DAYS": "90"}
    prints = """PYTHON=sh -c 'printf "%s\\n" "$$LEVELS_AS" "$$@"' -"""
    done = subprocess.run(
        ["make", "--no-print-directory", "-f", "levels.mk", "analytics", prints],
        cwd=at_level(4).folder,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        *("copier-levels[analytics] @ ", "ci/levels.py", "analytics", "--events", "a b", "--experiment", "x"),
        *("--html", "p.html", "--keep-days", "90"),
    ]


def test_the_wrapper_names_the_package_with_its_extra(
    at_level: Callable[[int], Project], tmp_path: Path
) -> None:
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\n[ "$1" = --version ] && echo uv 0.9.0 && exit\nprintf "%s\\n" "$@"\n')
    uv.chmod(0o755)
    project = at_level(4).folder
    for wanted in ("copier-levels[analytics] @ ", ""):
        done = subprocess.run(
            [sys.executable, "ci/levels.py", "analytics"],
            cwd=project,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "LEVELS_AS": wanted},
            capture_output=True,
            text=True,
            check=True,
        )
        words = done.stdout.splitlines()
        assert words[words.index("--from") + 1].startswith(f"{wanted}git+"), words


def document(**changed: Any) -> dict[str, Any]:
    """What `levels analytics --json` prints for an experiment without events."""
    one = {
        **{
            "name": "new-checkout",
            "flag": "checkout",
            "hypothesis": "<b>bold</b>",
            "owner": "",
            "unit": "user",
        },
        **{"control": "off", "goal": {"name": "paid"}, "begins": "2026-11-02", "ends": "2026-12-01"},
        **{"sample": None, "effect": 0.1, "units": {"off": 0, "on": 0}, "several": 0, "unplanned": 0},
        **{"first": None, "last": None, "days": 0.0, "days_left": None, "mismatch": None, "power": None},
        **{"comparisons": [], "notes": []},
        "verdict": {"state": "no data", "sentence": "No data: nobody has seen it.", "reasons": []},
        **changed,
    }
    events = {
        "folder": "events",
        "days": [],
        "files": 0,
        "lines": 0,
        "other": 0,
        "damaged": [],
        "strange": [],
    }
    return {
        **{
            "project": "shop",
            "at": "2026-12-01T00:00:00+00:00",
            "not_planned": ["idea"],
            "experiments": [one],
        },
        "events": {**events, "read": 0, "removed": 0, "last": None},
    }


def test_the_page_shows_text_as_text_and_holds_all_that_it_needs() -> None:
    shown = page.render(document())
    assert "&lt;b&gt;bold&lt;/b&gt;" in shown and "<b>" not in shown
    assert "No data: nobody has seen it." in shown and "idea isn't planned yet" in shown
    assert "http" not in shown.replace("http-equiv", "") and "<script" not in shown
    assert len(shown) < 20_000
    json.dumps(document(), allow_nan=False)
