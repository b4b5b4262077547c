"""The variants of level 4: a user keeps the same one, the shares are the weights, without the flag everybody
gets control.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.projects import ROOT

SERVICE = "api"
Start = Callable[..., Any]
EXPERIMENT = {"control": "old", "weights": {"old": 3, "new": 1, "never": 0}}


@pytest.fixture
def variants() -> types.ModuleType:
    """The module, loaded afresh."""
    file = ROOT / "levels/4-enterprise/runtime/variants.py"
    spec = importlib.util.spec_from_file_location("variants", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def assigned(variants, tmp_path, monkeypatch):
    """A function that starts the capability, with the flag on or off and the experiments given, as the
    service does.
    """

    def start(flags, experiments=None, salt="1"):
        file = tmp_path / "variants.json"
        experiments = {"example": EXPERIMENT} if experiments is None else experiments
        file.write_text(json.dumps({"salt": salt, "experiments": experiments}), encoding="utf-8")
        monkeypatch.setenv("VARIANTS_FILE", str(file))
        monkeypatch.setenv("FEATURE_FLAGS", flags)
        app = types.SimpleNamespace(extensions={})
        variants.init(app, SERVICE)
        return app.extensions["variants"]

    return start


def test_a_user_keeps_the_variant(assigned):
    users = [f"user-{number}" for number in range(200)]
    first, later = assigned("a_b_testing"), assigned("other, a_b_testing")
    first_time = [first.assign("example", user) for user in users]
    assert first_time == [later.assign("example", user) for user in users]
    assert set(first_time) == {"old", "new"}


def test_a_number_and_its_text_are_the_same_user(assigned):
    assert assigned("a_b_testing").assign("example", 42) == assigned("a_b_testing").assign("example", "42")


def test_the_shares_are_the_weights(assigned):
    on = assigned("a_b_testing")
    counts = {"old": 0, "new": 0, "never": 0}
    for number in range(10_000):
        counts[on.assign("example", f"user-{number}")] += 1
    # Three to one; 10,000 draws stray by 43 (one standard deviation), so 200 is more than four of them.
    assert abs(counts["old"] - 7_500) < 200
    assert counts["never"] == 0


def test_two_experiments_and_two_salts_assign_independently(assigned):
    both = {
        "one": {"control": "a", "weights": {"a": 1, "b": 1}},
        "two": {"control": "a", "weights": {"a": 1, "b": 1}},
    }
    on, other = assigned("a_b_testing", both), assigned("a_b_testing", both, salt="2")
    users = [f"user-{number}" for number in range(1_000)]
    first = [on.assign("one", user) for user in users]
    # Independent halves agree for about 500 of 1,000.
    assert 400 < sum(a == on.assign("two", user) for a, user in zip(first, users, strict=True)) < 600
    assert 400 < sum(a == other.assign("one", user) for a, user in zip(first, users, strict=True)) < 600


@pytest.mark.parametrize("flags", ["", "other", "a_b_testing_2"])
def test_everybody_gets_control_while_the_flag_is_off(assigned, flags, caplog):
    caplog.set_level(logging.INFO)
    off = assigned(flags)
    assert {off.assign("example", f"user-{number}") for number in range(100)} == {"old"}
    assert not [record for record in caplog.records if record.name == "variants"]


def test_nobody_in_particular_gets_control(assigned):
    assert [assigned("a_b_testing").assign("example", user) for user in (None, "")] == ["old", "old"]


def test_what_a_user_saw_is_logged_without_the_user_id(assigned, caplog):
    caplog.set_level(logging.INFO)
    on = assigned("a_b_testing")
    caplog.clear()
    variant = on.assign("example", "ada@example.org")
    line = caplog.records[-1]
    assert (line.event, line.service, line.experiment, line.variant) == (
        "exposure",
        SERVICE,
        "example",
        variant,
    )
    assert line.getMessage() == f"exposure experiment=example variant={variant} user={line.user}"
    assert "ada" not in caplog.text and "ada" not in str(vars(line))


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        ({"control": "x", "weights": {"a": 1}}, "control is 'x', expected one of: a"),
        ({"control": "a", "weights": {"a": -1}}, "expected a number from 0 up"),
        ({"control": "a", "weights": {"a": True}}, "expected a number from 0 up"),
        ({"control": "a", "weights": {"a": 0}}, "at least one weight must be above 0"),
        ({"control": "a"}, "expected {"),
        ("a", "expected {"),
    ],
)
def test_a_wrong_experiment_is_told_in_one_line_at_the_start(variants, assigned, experiment, message):
    with pytest.raises(variants.VariantsError) as told:
        assigned("a_b_testing", {"mine": experiment})
    assert "experiment 'mine'" in str(told.value) and message in str(told.value)
    assert "\n" not in str(told.value)


def test_an_unknown_experiment_is_an_error_and_not_a_guess(variants, assigned):
    with pytest.raises(variants.VariantsError, match="no experiment 'exmaple'"):
        assigned("a_b_testing").assign("exmaple", "user-1")


def test_without_a_file_in_the_project_it_is_an_error_and_not_a_guess(
    variants: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VARIANTS_FILE", raising=False)
    variants.__file__ = str(tmp_path / "runtime" / "variants.py")
    with pytest.raises(variants.VariantsError, match=r"config/variants\.json is missing"):
        variants.config_file()
    (tmp_path / "config").mkdir()
    (tmp_path / "config/variants.json").write_text("{}")
    assert variants.config_file() == tmp_path / "config/variants.json"


def test_without_an_app_the_variants_are_returned(variants: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURE_FLAGS", "")
    monkeypatch.setenv("VARIANTS_FILE", str(ROOT / "levels/4-enterprise/config/variants.json"))
    assert variants.init(None, SERVICE).assign("example", "ada") == "old"
