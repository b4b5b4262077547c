"""The versions that README.md and copier.yml state: the lowest ones do the work, what is below is refused;
each Python; both makes.

Of copier-template-extensions nothing below the lowest one is published under that name. The lowest git isn't
tried.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from extensions.template import layers
from extensions.template.answers import PYTHONS
from tests.support.projects import LEVELS, ROOT, Project
from tests.support.proofs import Machine, fresh_machine

pytestmark = pytest.mark.proof

AtLevel = Callable[..., Project]
# The first that knows a question's `ask`, and checks out a tag with any git. Below, `image_registry` would
# have to be answered at level 1.
COPIER = "9.19.1"
BELOW = "9.18.2"
EXTENSIONS = "0.3.2"
# The Python that services run on is by default the one that renders: here it is one for all.
ANSWERS = (
    "--data project_name=shop --data default_branch=main"
    f" --data python_version={sys.version_info[0]}.{sys.version_info[1]}"
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


def copier(version: str, extensions: str = EXTENSIONS, python: str = "python3") -> str:
    """The command line of a copier of that version."""
    return (
        f"uvx --quiet --python {python} --from copier=={version} --with"
        f" copier-template-extensions=={extensions} copier"
    )


def moved(machine: Machine, template: Path, folder: Path, command: str, *levels: int) -> Project:
    """A project that this copier copied at the first of the levels,
    and then updated to each of the others."""
    first, *others = levels
    folder.parent.mkdir(exist_ok=True)
    machine.run(
        f"{command} copy --quiet --trust --defaults {ANSWERS} --data level={first} {template} {folder}",
        folder.parent,
    )
    machine.commit(folder)
    for level in others:
        machine.run(
            f"{command} update --quiet --trust --defaults --vcs-ref=:current: --data level={level}", folder
        )
        machine.commit(folder)
    return Project(folder, template)


def test_readme_and_copier_yml_state_these_versions() -> None:
    settings = (ROOT / "copier.yml").read_text(encoding="utf-8")
    assert f'_min_copier_version: "{COPIER}"' in settings
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert f"Copier {COPIER}, copier-template-extensions {EXTENSIONS}, Python {PYTHONS[0]}" in readme


def test_the_lowest_versions_do_what_the_newest_do(
    machine: Machine, template: Path, fresh: AtLevel, tmp_path: Path
) -> None:
    command = copier(COPIER)
    assert COPIER in machine.run(f"{command} --version", tmp_path)
    for levels in ((1, 4), (1, 4, 1)):
        project = moved(machine, template, tmp_path / f"to-{len(levels)}" / "shop", command, *levels)
        got, want = project.tree(), fresh(levels[-1]).tree()
        if levels[-1] == 1:  # on the way down the answers of the higher level stay, for the way up again
            del got[".copier-answers.yml"], want[".copier-answers.yml"]
        assert got == want


def test_a_copier_below_is_refused_in_one_line(machine: Machine, template: Path, tmp_path: Path) -> None:
    said = machine.run(
        f"{copier(BELOW)} copy --trust --defaults {ANSWERS} {template} {tmp_path}/shop", tmp_path, code=1
    )
    assert COPIER in said and BELOW in said
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize("version", PYTHONS)
def test_each_python_renders_and_moves_the_same(
    machine: Machine, template: Path, fresh: AtLevel, tmp_path: Path, version: str
) -> None:
    python = interpreter(machine, version)
    if not python:
        pytest.skip(f"Python {version} is not to be had here")
    project = moved(machine, template, tmp_path / "shop", copier("9.*", "0.3.*", python), 1, 4)
    assert project.tree() == fresh(4).tree()
    # What the project brings runs on it too.
    scripts = " ".join(str(path) for path in sorted((project.folder / "ci").glob("*.py")))
    machine.run(f"{python} -W error -m py_compile {scripts}", project.folder)
    assert "api" in machine.run(f"make PYTHON={python} experiment run SERVICE=nobody", project.folder, code=2)


def interpreter(machine: Machine, version: str) -> str:
    """A Python of that version: one that uv finds or can get, or one of pyenv or of GitHub's runners; empty
    where there is none.
    """
    installed = [
        *Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*/bin/python3"),
        *Path("/opt/hostedtoolcache/Python").glob(f"{version}.*/x64/bin/python3"),
    ]
    command = (
        f"uv python find {version} || {{ uv python install --quiet {version} && uv python find {version}; }}"
        " || true"
    )
    found = re.findall(r"^(/\S+)$", machine.run(command, machine.home), re.MULTILINE)
    return next(iter([*map(str, installed), *found]), "")


MAKES = [
    pytest.param("make", id="gnu"),
    pytest.param(
        "bmake", marks=pytest.mark.skipif(not shutil.which("bmake"), reason="bmake is absent"), id="bsd"
    ),
]


@pytest.mark.parametrize("make", MAKES)
def test_every_target_works_with_this_make(machine: Machine, at_level: AtLevel, make: str) -> None:
    project = at_level(4, two=True)
    declared = [target for manifest in layers.manifests(ROOT) for target in manifest.targets]
    targets = [target.name for target in declared if target.adopted is None and target.theirs is None]
    for call in (make, f"{make} -f levels.mk"):
        helped = machine.run(f"{call} help", project.folder)
        assert sorted(re.findall(r"^  make (\S+)", helped, re.MULTILINE)) == sorted(targets)
        assert machine.run(call, project.folder) == helped, "what comes first is help"
        for target in targets:
            shown = machine.run(
                f"{call} -n {target} LEVEL=2 FILE=x NAME=x WHAT=deploy ENV=staging", project.folder
            )
            assert re.search(r"\bpython3 (ci/\w+\.py|-P -m deploy)\b", shown), shown
    # A value reaches the script whole, whatever stands in it.
    said = machine.run(
        f"{make} run SERVICE='$(touch pwned) `x` \"two words\"'", project.folder, code=make_failed(make)
    )
    assert "expected one of market-data, telegram-bot" in said
    assert not (project.folder / "pwned").exists()
    assert "test    ok" in machine.run(f"{make} install check", project.folder)


def make_failed(make: str) -> int:
    """The exit code of a make whose recipe failed."""
    return 2 if make == "make" else 1


@pytest.mark.parametrize("level", LEVELS)
def test_each_target_of_a_level_is_one_that_make_knows(at_level: AtLevel, level: int) -> None:
    project = at_level(level)
    text = project.read("levels.mk") + "".join(
        path.read_text() for path in (project.folder / "ci").glob("*.mk")
    )
    manifests = [manifest for manifest in layers.manifests(ROOT) if manifest.level <= level]
    # What only code of theirs needs isn't in a new project.
    declared = {target.name for manifest in manifests for target in manifest.targets if target.theirs is None}
    rules = re.findall(r"^([a-z][a-z -]*):", text, re.MULTILINE)
    assert {name for rule in rules for name in rule.split()} == declared | {"help"}
    assert set(
        re.findall(r"[a-z-]+", " ".join(re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE)))
    ) == declared | {"help"}
