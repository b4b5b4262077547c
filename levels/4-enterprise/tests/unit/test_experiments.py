"""A user keeps the variant: flagd's hash gives what its test suite says, so that no update moves anybody."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("openfeature.contrib.provider.flagd", reason="OpenFeature isn't installed")
CARDS = [["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]]
# From open-feature/flagd-testbed 3.9.0, gherkin/targeting.feature, the examples tagged fractional-v3.
PUBLISHED = {"jack": "diamonds", "queen": "diamonds", "ten": "clubs", "nine": "clubs", "3": "spades"}


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    """The module as a service has it, with a definition of its own."""
    by_name = [{"cat": [{"var": "$flagd.flagKey"}, {"var": "targetingKey"}]}, *CARDS]
    flag = {"state": "ENABLED", "variants": {name: name for name, _ in CARDS}, "defaultVariant": "clubs"}
    rules = {"fractional-flag": by_name, "mine": CARDS}
    flags = {name: {**flag, "targeting": {"fractional": rule}} for name, rule in rules.items()}
    file = tmp_path / "flags.json"
    file.write_text(json.dumps({"metadata": {"version": "1"}, "flags": flags}), encoding="utf-8")
    monkeypatch.setenv("FLAGS_FILE", str(file))
    monkeypatch.setenv("FEATURE_FLAGS", "a_b_testing")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spec = importlib.util.spec_from_file_location("experiments_here", ROOT / "runtime" / "experiments.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "experiments_here", module)
    spec.loader.exec_module(module)
    return module


def test_the_hash_is_flagds(experiments):
    assert {unit: experiments.variant("fractional-flag", unit) for unit in PUBLISHED} == PUBLISHED


def test_all_variants_are_handed_out_and_kept(experiments):
    first = [experiments.variant("mine", f"user-{number}") for number in range(200)]
    assert set(first) == {name for name, _ in CARDS}
    experiments.experiments.cache.clear()
    assert [experiments.variant("mine", f"user-{number}") for number in range(200)] == first


def test_an_unknown_flag_has_the_default(experiments):
    assert experiments.variant("unknown", "user-1", default="old") == "old"
