"""Room for the levels above: a level 5 that is made up here plugs into each place without touching a file of
a lower level.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support import workflow_graph as graph
from tests.support.projects import Project, git, make_template, release
from tests.support.stand_ins import StandIns
from tests.test_deploy import STEPS, Shop

# With the steps of level 3.
STEPS_3 = (
    STEPS.replace("settle ", "settle signatures window budget ")
    .replace(" traffic ", " traffic watch ")
    .replace(" drain ", " drain watch-one ")
)

FILES = {
    "_level/level.yml": (
        """\
level: 5
title: Planetary
summary: The service has moons.
trigger: "when geographic_distribution"
effort: "a day"
cost: "nothing"
benefits: [A moon is seen]
requires: {plan: free, rights: []}
features: []
later: []
runtime: []
required: [moons]
suites:
  - {job: moons, does: "Count the moons", run: moons}
checks: []
setup: []
targets:
  - {name: moons, group: look ahead, does: "count the moons"}
actions: [actions/checkout]
files:
  - {path: .github/workflows/moons.yml, owner: shared, why: "counts the moons for every pull request"}
  - {path: ci/checks/moons.py, owner: ours, why: "looks whether the moons are there"}
  - {path: ci/deploy/steps/moons.py, owner: ours, why: "counts the moons before a release gets requests"}
  - {path: ci/level-5.mk, owner: ours, why: "the make target of this level"}
  - {path: config/moons.txt, owner: yours, why: "the moons, a line each"}
  - {path: runtime/moons.py, owner: ours, why: "gives a service its moons, behind init_service"}
"""
    ),
    "_level/questions.yml": (
        """\
_skip_if_exists:
  - /config/moons.txt

moons:
  type: int
  help: How many moons
  ask: "[[ level >= 5 ]]"
  default: "[[ 1 if level >= 5 else UNSET ]]"
"""
    ),
    "_level/migrate.py": 'def enter(project):\n    """Say hello."""\n    yield "the moons are up"\n',
    ".github/workflows/moons.yml.jinja": (
        """\
name: Moons
on:
  pull_request:
permissions: {}
jobs:
  moons:
    name: moons
    runs-on: [[ runner | quoted ]]
    permissions: {contents: read}
    steps:
      - run: make -f levels.mk moons
"""
    ),
    "ci/checks/moons.py": (
        """\
import sys

import uv

moons = (uv.ROOT / "config" / "moons.txt").read_text().split()
print(f"{len(moons)} moon(s)")
sys.exit(0 if moons else 1)
"""
    ),
    "ci/deploy/steps/moons.py": (
        """\
from ..pipeline import Deploy, Step


def count(deploy: Deploy) -> None:
    print(f"the moons of release {deploy.release.number} are up")


def step() -> Step:
    return Step("moons", "count the moons", count, only="deploy", after="ready")
"""
    ),
    "ci/level-5.mk": ".PHONY: moons\n\nmoons:\n\t@wc -l < config/moons.txt\n",
    "config/moons.txt.jinja": "[% for number in range(moons) %]\nmoon-[[ number + 1 ]]\n[% endfor %]\n",
    "runtime/moons.py": (
        'def init(app, service_name):\n    app.extensions["moons"] = f"those of {service_name}"\n    return'
        " app\n"
    ),
}


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with the level; beside its folder only copier.yml has a line more,
    as docs/levels.md says."""
    template = make_template(tmp_path_factory.mktemp("five") / "copier-levels", "v1.0.0")
    for path, text in FILES.items():
        file = template / "levels/5-planetary" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with (template / "copier.yml").open("a") as settings:
        settings.write("---\n!include levels/5-planetary/_level/questions.yml\n")
    changed = git(template, "status", "--porcelain").splitlines()
    assert changed == [" M copier.yml", "?? levels/5-planetary/"]
    release(template, "v2.0.0")
    return template


@pytest.fixture(scope="module")
def fresh_5(tmp_path_factory: pytest.TempPathFactory, five: Path) -> Project:
    """A project at level 5; not to be changed."""
    return Project(tmp_path_factory.mktemp("fresh-5") / "shop", five).copy(level=5, moons=2)


def run(project: Project, *command: str) -> subprocess.CompletedProcess[str]:
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))
    }
    return subprocess.run(command, cwd=project.folder, env=ours, capture_output=True, text=True, check=False)


def test_its_files_are_rendered_and_stand_in_the_readme(fresh_5: Project) -> None:
    tree = fresh_5.tree()
    for path in FILES:
        assert path.startswith("_level/") or path.removesuffix(".jinja") in tree
    assert "**Level 5, Planetary**: The service has moons." in fresh_5.read("README.md")
    assert fresh_5.answers()["moons"] == 2 and fresh_5.read("config/moons.txt") == "moon-1\nmoon-2\n"


def test_its_make_target_is_there_and_in_the_help(fresh_5: Project) -> None:
    said = run(fresh_5, "make", "-f", "levels.mk", "moons")
    assert (said.returncode, said.stdout.strip()) == (0, "2")
    assert "count the moons" in run(fresh_5, "make", "-f", "levels.mk", "help").stdout


def test_its_check_is_run_by_the_check_of_level_1(at_five: Callable[..., Project]) -> None:
    project = at_five()
    ask = "import sys; sys.path.insert(0, 'ci'); import check; sys.exit(check.more()['moons']())"
    assert run(project, sys.executable, "-c", ask).stdout == "2 moon(s)\n"
    project.write("config/moons.txt", "")
    assert run(project, sys.executable, "-c", ask).returncode == 1


def test_its_step_is_a_step_of_a_deployment(at_five: Callable[..., Project], tmp_path: Path) -> None:
    shop = Shop(at_five(), StandIns(tmp_path / "stand-ins"))
    listed = shop.deploy("deploy", "staging", "--version", "one", "--dry-run")[1]
    steps = re.findall(r"^  ([a-z-]+): ", listed.partition("steps:\n")[2], re.MULTILINE)
    expected = STEPS_3.replace(" ready ", " ready moons ").replace(" prepare ", " prepare flags ")
    assert steps == expected.split()
    code, out, errors = shop.deploy("deploy", "staging", "--version", "one")
    assert (code, errors) == (0, "")
    assert re.search(r"moons: count the moons\nthe moons of release 1 are up\nworkers: ", out)
    assert "moons" not in shop.deploy("rollback", "staging", "--release", "1", "--dry-run")[1]

    shop.project.replace("ci/deploy/steps/moons.py", 'after="ready"', 'after="redy"')
    before = shop.host.file("log.jsonl").read_text()
    for option in ([], ["--dry-run"]):
        code, _, errors = shop.deploy("deploy", "staging", "--version", "one", *option)
        told = re.fullmatch(r"ci/deploy/steps/moons\.py: after='redy', expected one of (.+)\n", errors)
        assert code == 2 and told and {*STEPS.split()} <= {*told[1].split(", ")}, errors
    assert shop.host.file("log.jsonl").read_text() == before


# The smallest application that init_service takes.
START = """
import importlib.util

spec = importlib.util.spec_from_file_location("health", "services/api/health.py")
health = importlib.util.module_from_spec(spec)
spec.loader.exec_module(health)

class App:
    extensions = {}

    def wsgi_app(self, environ, start_response):
        return []

print(health.init_service(App(), "api").extensions["moons"])
"""


def test_its_runtime_code_is_started_by_the_extension_point(at_five: Callable[..., Project]) -> None:
    said = run(at_five(), sys.executable, "-c", START)
    assert (said.returncode, said.stdout) == (0, "those of api\n"), said.stderr


def test_its_suite_is_a_check_of_pull_requests_and_before_a_deployment(
    fresh_5: Project, fresh: Callable[..., Project]
) -> None:
    workflows = graph.read(fresh_5.folder)
    for event in ("pull_request", "push"):
        names = graph.check_runs(workflows, event)
        assert names["moons"] == 1
        assert set(graph.check_runs(graph.read(fresh(4).folder), event)) <= set(names)
    assert graph.suites_on(workflows, "push")["moons"] == 1
    assert graph.unchecked(workflows, {"check", "integration", "moons"}) == []


def test_moving_there_equals_a_fresh_copy_and_runs_its_migration(
    tmp_path: Path, five: Path, fresh_5: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "shop", five).copy(level=2)
    capfd.readouterr()
    project.update(level=5, moons=2)
    assert "level 5: the moons are up" in capfd.readouterr().err
    assert project.conflicts() == []
    own = {".copier-answers.yml"}
    assert {path: entry for path, entry in project.tree().items() if path not in own} == {
        path: entry for path, entry in fresh_5.tree().items() if path not in own
    }
    project.commit().move(4)
    assert not [path for path in project.tree() if "moons" in path]
    project.commit().move(5)
    assert project.answers()["moons"] == 2, "the answer stays"


@pytest.fixture
def at_five(tmp_path: Path, fresh_5: Project) -> Callable[..., Project]:
    """A project of its own at level 5."""

    def at() -> Project:
        git(tmp_path, "clone", "--quiet", str(fresh_5.folder), "mine")
        return Project(tmp_path / "mine", fresh_5.template)

    return at


def test_its_question_is_not_asked_below(fresh_5: Project, tmp_path: Path, five: Path) -> None:
    below = Project(tmp_path / "shop", five).copy(level=4)
    assert "moons" not in yaml.safe_load(below.read(".copier-answers.yml"))
