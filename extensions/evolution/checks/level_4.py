"""Level 4, Enterprise: a change is shown to a share of the users first."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from ...errors import Refused
from ...template import layers
from ...template.place import root
from .. import flags
from ..facts import Facts
from . import Answer, done, todo

EXPERIMENTS = "config/variants.json"
FLAGS = "config/feature-flags.yml"


def variants(facts: Facts) -> Answer:
    """The experiments can be read

    A service with a mistake in them doesn't start once their flag is on.
    """
    if not facts.text(EXPERIMENTS):
        return todo(f"{EXPERIMENTS} is missing", facts.missing(EXPERIMENTS))
    reader = _reader()
    try:
        experiments = reader.load(facts.folder / EXPERIMENTS)["experiments"]
    except reader.VariantsError as error:
        return todo(
            str(error).removeprefix(f"{facts.folder}/"), f"fix it; `{facts.make} experiments` looks again"
        )
    return done(f"{len(experiments)} in {EXPERIMENTS}")


def experiment(facts: Facts) -> Answer:
    """An experiment of your own

    The one that comes with the level shows how it is written; no service asks for it.
    """
    try:
        named = set(json.loads(facts.text(EXPERIMENTS) or "{}")["experiments"]) - {"example"}
    except (ValueError, KeyError, TypeError):
        named = set()
    if named:
        return done(", ".join(sorted(named)))
    return todo(
        "there is only the example",
        f"write yours into {EXPERIMENTS}, and ask for it with `assign`: docs/experiments.md says how",
    )


def experiments_flag(facts: Facts) -> Answer:
    """The flag of experiments is on somewhere

    While a_b_testing is off, everybody gets the control variant.
    """
    try:
        seen = flags.report(facts.folder, facts.recorded["level"], "", {}, facts.now.date())["environments"]
    except Refused as error:
        return todo(str(error), f"fix {FLAGS}")
    on = [
        one["environment"]
        for one in seen
        if any(flag["on"] for flag in one["flags"] if flag["name"] == "a_b_testing")
    ]
    if on:
        return done(f"on in {', '.join(on)}")
    return todo(
        f"{FLAGS} has it on nowhere",
        "set a_b_testing to true below `environments:`, where the experiment is to run",
    )


def _reader() -> Any:
    """The module that services read the experiments with, from the layer: it judges as they will."""
    layer: Path = layers.layer_folders(root())[4]
    spec = importlib.util.spec_from_file_location("variants", layer / "runtime" / "variants.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
