"""A user keeps the variant: flagd's hash gives what its test suite says, so that no update moves anybody."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("openfeature.contrib.provider.flagd", reason="OpenFeature isn't installed")
# From open-feature/flagd-testbed, evaluator/gherkin/fractional.feature (v2): flag, unit, variant.
PUBLISHED = [
    ("fractional-flag-shorthand", "jon@company.com", "heads"),
    ("fractional-flag-shorthand", "jane@company.com", "tails"),
]


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    """The module as a service has it, with a definition of its own."""
    shares = {"fractional": [["heads", 1], ["tails", 1]]}
    flag = {"state": "ENABLED", "variants": {"heads": "heads", "tails": "tails"}, "defaultVariant": "tails"}
    flags = {name: {**flag, "targeting": shares} for name in ("fractional-flag-shorthand", "mine")}
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


@pytest.mark.parametrize(("flag", "unit", "expected"), PUBLISHED)
def test_the_hash_is_flagds(experiments, flag, unit, expected):
    assert experiments.variant(flag, unit) == expected


def test_both_variants_are_handed_out_and_kept(experiments):
    first = [experiments.variant("mine", f"user-{number}") for number in range(200)]
    assert set(first) == {"heads", "tails"}
    experiments.experiments.cache.clear()
    assert [experiments.variant("mine", f"user-{number}") for number in range(200)] == first


def test_nobody_and_an_unknown_flag_have_the_default(experiments):
    assert experiments.variant("unknown", "user-1", default="old") == "old"
    assert experiments.variant("mine", None) == "tails", "the flag's own default"
