"""The variants: a user keeps the same one, the shares are the weights, and without the flag everybody gets control.

The module is loaded from its file, because two services may each have a folder of that name.
"""

import importlib.util
import json
import logging
import types
from pathlib import Path

import pytest

SERVICE = Path(__file__).parent.name
ROOT = Path(__file__).resolve().parents[3]
EXPERIMENT = {"control": "old", "weights": {"old": 3, "new": 1, "never": 0}}


@pytest.fixture
def variants():
    """The module, loaded afresh."""
    project = json.loads((ROOT / "config" / "levels.json").read_text(encoding="utf-8"))
    path = next(service["path"] for service in project["services"] if service["name"] == SERVICE)
    file = ROOT / path / "capabilities" / "variants.py"
    spec = importlib.util.spec_from_file_location(f"variants_of_{SERVICE.replace('-', '_')}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def dealt(variants, tmp_path, monkeypatch):
    """A function that starts the capability, with the flag on or off and the experiments given, as the service does."""

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


def test_a_user_keeps_the_variant(dealt):
    users = [f"user-{number}" for number in range(200)]
    first, later = dealt("a_b_testing"), dealt("other, a_b_testing")
    dealt_first = [first.assign("example", user) for user in users]
    assert dealt_first == [later.assign("example", user) for user in users]
    assert set(dealt_first) == {"old", "new"}


def test_a_number_and_its_text_are_the_same_user(dealt):
    assert dealt("a_b_testing").assign("example", 42) == dealt("a_b_testing").assign("example", "42")


def test_the_shares_are_the_weights(dealt):
    on = dealt("a_b_testing")
    counts = {"old": 0, "new": 0, "never": 0}
    for number in range(10_000):
        counts[on.assign("example", f"user-{number}")] += 1
    # Three to one; 10,000 draws stray by 43 (one standard deviation), so 200 is more than four of them.
    assert abs(counts["old"] - 7_500) < 200
    assert counts["never"] == 0


def test_two_experiments_and_two_salts_deal_independently(dealt):
    both = {"one": {"control": "a", "weights": {"a": 1, "b": 1}}, "two": {"control": "a", "weights": {"a": 1, "b": 1}}}
    on, other = dealt("a_b_testing", both), dealt("a_b_testing", both, salt="2")
    users = [f"user-{number}" for number in range(1_000)]
    first = [on.assign("one", user) for user in users]
    # Independent halves agree for about 500 of 1,000.
    assert 400 < sum(a == on.assign("two", user) for a, user in zip(first, users, strict=True)) < 600
    assert 400 < sum(a == other.assign("one", user) for a, user in zip(first, users, strict=True)) < 600


@pytest.mark.parametrize("flags", ["", "other", "a_b_testing_2"])
def test_everybody_gets_control_while_the_flag_is_off(dealt, flags, caplog):
    caplog.set_level(logging.INFO)
    off = dealt(flags)
    assert {off.assign("example", f"user-{number}") for number in range(100)} == {"old"}
    assert not [record for record in caplog.records if record.name == "variants"]


def test_nobody_in_particular_gets_control(dealt):
    assert [dealt("a_b_testing").assign("example", user) for user in (None, "")] == ["old", "old"]


def test_what_a_user_saw_is_logged_without_the_user_id(dealt, caplog):
    caplog.set_level(logging.INFO)
    on = dealt("a_b_testing")
    caplog.clear()
    variant = on.assign("example", "ada@example.org")
    line = caplog.records[-1]
    assert (line.event, line.service, line.experiment, line.variant) == ("exposure", SERVICE, "example", variant)
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
def test_a_wrong_experiment_is_told_in_one_line_at_the_start(variants, dealt, experiment, message):
    with pytest.raises(variants.VariantsError) as told:
        dealt("a_b_testing", {"mine": experiment})
    assert "experiment 'mine'" in str(told.value) and message in str(told.value)
    assert "\n" not in str(told.value)


def test_an_unknown_experiment_is_an_error_and_not_a_guess(variants, dealt):
    with pytest.raises(variants.VariantsError, match="no experiment 'exmaple'"):
        dealt("a_b_testing").assign("exmaple", "user-1")


def test_the_experiments_of_this_project_are_right(variants):
    file = ROOT / "config" / "variants.json"
    if not file.exists():
        pytest.skip("config/variants.json is not there: no experiment to check")
    assert isinstance(variants.load(file)["experiments"], dict)
