"""Promise 3 on repositories that nobody here wrote: Flask's tutorial, httpbin and bepasty, fetched from PyPI
when this runs.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import copier
import pytest

from tests.support.projects import Project, git
from tests.support.proofs import Machine, fresh_machine

pytestmark = pytest.mark.proof


@dataclass(frozen=True)
class Foreign:
    """A source distribution, where in it the repository begins, how its people run its tests, and how many of
    them pass.
    """

    release: str
    sha256: str
    folder: str
    install: str
    tests: str
    everything: str
    passed: int
    missing: tuple[str, ...] = ()  # what its tests import, and no file of it says


FOREIGN = {
    "tutorial": Foreign(
        "flask==3.1.3",
        "0ef0e52b8a9cd932855379197dd8f94047b359ca0a78695144304cb45f87c9eb",
        "flask-3.1.3/examples/tutorial",
        "-e . pytest",
        "tests",
        "",
        24,
    ),
    "httpbin": Foreign(
        "httpbin==0.10.4",
        "6023a5a2e8fb8e91abdd6d34d1f1f455092f97d567c25600e1b48ee1178aa738",
        "httpbin-0.10.4",
        "-e . pytest",
        "tests",
        "",
        70,
    ),
    "bepasty": Foreign(
        "bepasty==1.2.2",
        "b5e6b33e3f88ae06d5794916aa05a1a4895d81f0936d960902a9f94396e5726f",
        "bepasty-1.2.2",
        "-e . pytest requests",
        # test_website.py drives a browser.
        "src/bepasty/tests --ignore=src/bepasty/tests/test_website.py",
        "--ignore=src/bepasty/tests/test_website.py",
        50,
        ("requests", "selenium"),
    ),
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


def fetched(foreign: Foreign, machine: Machine) -> Path:
    """The archive, from the cache or from the package index. Fails where it isn't the one that it was."""
    name, _, version = foreign.release.partition("==")
    archive = machine.caches / f"{name}-{version}.tar.gz"
    if not archive.exists():
        wanted = machine.home / f"{name}.txt"
        wanted.write_text(f"{foreign.release} --hash=sha256:{foreign.sha256}\n")
        fetch = (
            f"{machine.home}/pip/bin/pip download --quiet --no-deps --no-binary {name} --dest"
            f" {machine.caches} -r {wanted}"
        )
        machine.run(f"python3 -m venv {machine.home}/pip; {fetch}", machine.home)
    return archive


def unpacked(foreign: Foreign, machine: Machine, folder: Path, name: str) -> Path:
    """A git repository of the project, committed as its people would have it."""
    # Not by tarfile: Python 3.11.2, which is Debian's, knows no `filter` yet.
    machine.run(f"tar --extract --no-same-owner --file {fetched(foreign, machine)}", folder)
    project = folder / name
    shutil.move(folder / foreign.folder, project)
    # What building writes into the tree. Their repositories ignore it; a source distribution lacks some of
    # those rules.
    with (project / ".gitignore").open("a") as ignore:
        ignore.write("\n_version.py\n*.egg-info/\n__pycache__/\n")
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "theirs")
    return project


def passed(said: str) -> int:
    """How many tests passed, by pytest's last line, which names no failure."""
    last = said.strip().splitlines()[-1]
    assert "failed" not in last and "error" not in last, said
    found = re.search(r"(\d+) passed", last)
    assert found, said
    return int(found[1])


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_repository_is_adopted_and_moved_without_a_change_in_what_it_came_with(
    machine: Machine, template: Path, tmp_path: Path, name: str
) -> None:
    foreign = FOREIGN[name]
    folder = unpacked(foreign, machine, tmp_path, name)
    original = git(folder, "rev-parse", "HEAD").strip()
    came_with = set(git(folder, "ls-files", "-z").split("\0")[:-1])
    python = tmp_path / "venv/bin/python"
    machine.run(
        f"uv venv --quiet {tmp_path}/venv && uv pip install --quiet --python {python} {foreign.install}",
        folder,
    )

    def run(what: str) -> int:
        said = machine.run(f"{python} -m pytest -q -p no:cacheprovider {what}", folder)
        return passed(said) if " passed" in said else 0  # all may be skipped

    def theirs() -> int:
        return run(f"{foreign.tests} --ignore=tests/unit")  # which is ours

    assert theirs() == foreign.passed

    project = Project(folder, template)
    copier.run_copy(str(template), folder, data={"level": 1}, defaults=True, unsafe=True, quiet=True)
    project.commit("level 1")
    assert [service["code"] for service in project.answers()["services"]] == ["theirs"]
    steps = [1, 2, 3, 4, 1]
    for number, level in enumerate(steps):
        if number:
            project.move(level)
            assert project.conflicts() == []
            project.commit(f"level {level}")
        assert project.answers()["level"] == level
        changed = git(folder, "diff", "--name-status", "-z", original, "HEAD").split("\0")[:-1]
        assert set(changed[0::2]) == {"A"}, f"at step {number}, level {level}: {changed}"
        assert git(folder, "diff", "--stat", original, "--", *came_with) == ""
        assert git(folder, "status", "--porcelain") == ""
        # The tests of one level are the same on the way down: the last step runs them once more.
        if level in (1, 4):
            assert theirs() == foreign.passed
            # Until the call of health.py is made, the test of the endpoints says so and is skipped.
            ours = run("tests/unit")
            # As they would run them: everything at once, from the root.
            assert run(foreign.everything) == foreign.passed + ours


@pytest.mark.parametrize("name", FOREIGN)
def test_the_check_of_a_foreign_repository_is_green_from_a_fresh_environment(
    machine: Machine, template: Path, tmp_path: Path, name: str
) -> None:
    foreign = FOREIGN[name]
    folder = unpacked(foreign, machine, tmp_path, name)
    came_with = git(folder, "ls-files").splitlines()
    copier.run_copy(str(template), folder, data={"level": 3}, defaults=True, unsafe=True, quiet=True)
    Project(folder, template).commit("level 3")
    machine.run("make -f levels.mk install", folder)
    if foreign.missing:
        for command in ("make -f levels.mk baseline", "make -f levels.mk check"):
            said = machine.run(command, folder, code=2)
            for name in foreign.missing:
                assert f"can't be collected: ModuleNotFoundError: No module named '{name}'" in said
        machine.run(f"uv pip install --quiet --python .venv/bin/python {' '.join(foreign.missing)}", folder)
    machine.run("make -f levels.mk baseline", folder)
    said = machine.run("make -f levels.mk check", folder)
    assert re.search(r"^test +ok$", said, re.MULTILINE)
    # What is new fails, in a file of theirs too.
    module = next(
        path
        for path in came_with
        if path.endswith(".py") and "/" in path and "test" not in path and "doc" not in path
    )
    (folder / module).write_text((folder / module).read_text() + "\nimport a_new_thing_that_is_not_used\n")
    said = machine.run("make -f levels.mk check", folder, code=2)  # so says make; the check itself says 1
    assert re.search(rf"^{module}:\d+: F401: .*a_new_thing_that_is_not_used", said, re.MULTILINE), said
