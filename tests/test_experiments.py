"""Experiments at level 4: what `make experiments` says of config/variants.json, and what a Flask service
assigns.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.projects import Project, git

AtLevel = Callable[..., Project]
FILE = "config/variants.json"


def run(project: Project, *command: str, **env: str) -> tuple[int, str, str]:
    """Run a command in the project; gives exit code, output and errors."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if name not in ("FEATURE_FLAGS", "VARIANTS_FILE") and name[:4] != "MAKE"
    }
    done = subprocess.run(
        command, cwd=project.folder, env={**ours, **env}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def experiment(**changed: Any) -> str:
    return json.dumps(
        {
            "salt": "1",
            "experiments": {"checkout": {"control": "old", "weights": {"old": 3, "new": 1}, **changed}},
        }
    )


def test_the_shares_of_each_experiment_are_shown(at_level: AtLevel) -> None:
    project = at_level(4, two=True)
    make = ("make", "-f", "levels.mk", f"PYTHON={sys.executable}", "experiments")
    assert run(project, *make) == (0, "example: old 50.0%, new 50.0% (control: old)\n", "")
    project.write(FILE, experiment())
    assert run(project, *make) == (0, "checkout: old 75.0%, new 25.0% (control: old)\n", "")
    project.write(FILE, '{"salt": "1", "experiments": {}}')
    assert run(project, *make) == (0, "no experiments\n", "")
    assert git(project.folder, "status", "--porcelain") == f" M {FILE}\n", "nothing else is left behind"


BAD = {
    "no JSON": ("{", "not JSON"),
    "no object": ("[]", 'expected {"salt": "…", "experiments": {…}}'),
    "no salt": ('{"experiments": {}}', "salt: expected a text"),
    "a number as salt": ('{"salt": 1, "experiments": {}}', "salt: expected a text"),
    "a name with spaces": (
        '{"salt": "1", "experiments": {"a b": {}}}',
        "a name is made of a-z, 0-9, - and _",
    ),
    "no weights": (experiment(weights=None), 'expected {"control": "…", "weights": {"variant": 1, …}}'),
    "a text as weight": (
        experiment(weights={"old": "1"}),
        "the weight of 'old' is '1', expected a number from 0 up",
    ),
    "a negative weight": (
        experiment(weights={"old": -1}),
        "the weight of 'old' is -1, expected a number from 0 up",
    ),
    "an infinite weight": (experiment(weights={"old": float("inf")}), "expected a number from 0 up"),
    "no weight above 0": (experiment(weights={"old": 0}), "at least one weight must be above 0"),
    "an unknown control": (experiment(control="older"), "control is 'older', expected one of: old, new"),
    "a list as control": (experiment(control=["old"]), "control is ['old'], expected one of: old, new"),
}


def test_a_mistake_in_the_file_is_told_in_one_line(at_level: AtLevel) -> None:
    project = at_level(4)
    for what, (text, message) in BAD.items():
        project.write(FILE, text)
        code, out, errors = run(project, sys.executable, "ci/experiments.py")
        assert (code, out, errors.count("\n")) == (2, "", 1), f"{what}: {errors}"
        assert errors.startswith("experiments: ") and "variants.json: " in errors and message in errors, what


def test_a_file_that_is_missing_is_told_in_one_line(at_level: AtLevel) -> None:
    project = at_level(4)
    (project.folder / FILE).unlink()
    code, out, errors = run(project, sys.executable, "ci/experiments.py")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert "config/variants.json is missing" in errors


@pytest.mark.parametrize("two", [True, False])
def test_the_page_speaks_of_the_projects_own_worker_if_there_is_one(at_level: AtLevel, two: bool) -> None:
    project = at_level(4, two=two)
    workers = [one["name"] for one in project.answers()["services"] if one["kind"] == "worker"]
    named = re.findall(r'serve_health\("([^"]*)"\)', project.read("docs/experiments.md"))
    assert named == workers[:1] and len(workers) == int(two)


# What docs/experiments.md says to write into a service, and somebody who visits it.
VISIT = """
from services.api.app import create_app

app = create_app()

@app.get("/checkout/<user>")
def checkout(user):
    return {"variant": app.extensions["variants"].assign("checkout", user)}

client = app.test_client()
print(*(client.get(f"/checkout/user-{number}").json["variant"] for number in range(200)))
"""


@pytest.mark.proof  # because it needs Flask
def test_flask_users_keep_their_variant_and_without_the_flag_all_get_control(at_level: AtLevel) -> None:
    project = at_level(4)
    project.write(FILE, experiment())

    def visit(**env: str) -> tuple[list[str], list[dict[str, Any]]]:
        code, out, errors = run(project, sys.executable, "-c", VISIT, **env)
        assert code == 0, errors
        *logged, assigned = out.splitlines()
        return assigned.split(), [line for line in map(json.loads, logged) if line.get("event") == "exposure"]

    for flags in ("", "other"):
        assert visit(FEATURE_FLAGS=flags) == (["old"] * 200, [])
    assigned, seen = visit(FEATURE_FLAGS="a_b_testing")
    assert set(assigned) == {"old", "new"} and 20 < assigned.count("new") < 80, "one in four"
    assert visit(FEATURE_FLAGS="other,a_b_testing")[0] == assigned, "another process assigns the same"
    assert [line["variant"] for line in seen] == assigned
    assert {(line["service"], line["experiment"]) for line in seen} == {("api", "checkout")}
    assert "user-1" not in json.dumps(seen), "the id isn't logged"


@pytest.mark.proof  # because it needs Flask
def test_a_flask_service_with_the_flag_does_not_start_on_a_wrong_file(at_level: AtLevel) -> None:
    project = at_level(4)
    project.write(FILE, experiment(control="older"))
    code, _, errors = run(project, sys.executable, "-c", VISIT, FEATURE_FLAGS="a_b_testing")
    assert code == 1 and "control is 'older', expected one of: old, new" in errors.splitlines()[-1]
