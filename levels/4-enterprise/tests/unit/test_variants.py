"""The project's experiments can be read, and a user keeps the variant.

How variants are assigned is tested in the template.
"""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "config" / "variants.json"


@pytest.fixture
def variants():
    """The module, as a service has it."""
    spec = importlib.util.spec_from_file_location("variants", ROOT / "runtime" / "variants.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_user_keeps_a_variant_of_each_experiment(variants, monkeypatch):
    if not FILE.exists():
        pytest.skip("config/variants.json is not there: no experiment to check")
    monkeypatch.setenv("VARIANTS_FILE", str(FILE))
    monkeypatch.setenv("FEATURE_FLAGS", "a_b_testing")
    first, second = variants.init(None, "a-service"), variants.init(None, "another")
    for name, experiment in json.loads(FILE.read_text(encoding="utf-8"))["experiments"].items():
        for number in range(50):
            variant = first.assign(name, f"user-{number}")
            assert variant in experiment["weights"]
            assert second.assign(name, f"user-{number}") == variant
