"""config/gates.toml at level 2: each gate holds, doesn't hold, has no limit, or can't tell."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support.projects import Project
from tests.support.proofs import Machine, fresh_machine

pytestmark = pytest.mark.proof

FILE = "config/gates.toml"
# Two lines of code, of which the tests run none.
NEW = "def price() -> int:\n    value = 7\n    return value * 6\n"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


@pytest.fixture(scope="module")
def made(machine: Machine, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project at level 2 on a branch with one commit after main, installed, whose tests have run."""
    project = Project(tmp_path_factory.mktemp("gates") / "shop", template).copy(level=2, services=["api"])
    machine.run("git init --quiet --initial-branch=main", project.folder)
    machine.commit(project.folder)
    machine.run("make install && git checkout --quiet -b change", project.folder)
    project.write("services/api/prices.py", NEW)
    machine.commit(project.folder)
    machine.run("make test", project.folder)
    return project.folder


@pytest.fixture
def gates(machine: Machine, made: Path) -> Gates:
    found = Gates(machine, made)
    found.limits("")
    return found


class Gates:
    """The check `gates` of that project."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder

    def limits(self, text: str) -> None:
        (self.folder / FILE).write_text(text)

    def run(self, code: int, command: str = "python3 ci/check.py gates", **env: str) -> str:
        said = self.machine.run(command, self.folder, code, **env)
        assert "Traceback" not in said
        return said


def test_without_limits_the_values_are_shown_and_nothing_fails(gates: Gates) -> None:
    said = gates.run(0)
    no_limit = "no limit is recorded (`make gates RECORD=1`)\n"
    assert re.search(rf"^coverage: \d\d\.\d% of 44 lines; {re.escape(no_limit)}", said, re.MULTILINE), said
    assert f"changed lines: 0.0% of 3 lines; no test runs services/api/prices.py:1,2,3; {no_limit}" in said


def test_what_holds_is_ok_and_what_does_not_fails(gates: Gates) -> None:
    gates.limits("floor = 50\nchanged = 0\n")
    said = gates.run(0)
    assert "at least 50%\n" in said and "at least 0%\n" in said and said.endswith("gates   ok\n")
    gates.limits("floor = 99.5\n")
    assert "; at least 99.5%\n" in (said := gates.run(1)) and said.endswith("gates   to fix\n")
    gates.limits("changed = 80\n")
    assert "no test runs services/api/prices.py:1,2,3; at least 80%\n" in gates.run(1)
    gates.run(2, "make check")  # make's own code for a command that failed


def test_what_can_not_be_told_fails_where_there_is_a_limit(gates: Gates) -> None:
    source = gates.folder / "services/api/prices.py"
    newer = "services/api/prices.py is newer than the last run of the tests: `make test`"
    stood = source.stat()
    os.utime(source, None)
    try:
        assert f"coverage: unknown: {newer}; no limit" in gates.run(0)
        for name in ("floor", "changed"):
            gates.limits(f"{name} = 0\n")
            assert f"unknown: {newer}; at least 0%\n" in gates.run(2)
    finally:
        os.utime(source, ns=(stood.st_atime_ns, stood.st_mtime_ns))
    gates.limits("floor = 0\n")
    (gates.folder / ".coverage").rename(gates.folder / "kept")
    try:
        assert (
            "coverage: unknown: nothing measured it: `make test` does, where pytest-cov is installed; at least 0%\n"
            in gates.run(2)
        )
    finally:
        (gates.folder / "kept").rename(gates.folder / ".coverage")


def test_a_checkout_without_the_commit_before_can_not_tell_what_changed(gates: Gates, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    gates.machine.run(f"git clone --quiet --depth 1 file://{gates.folder} {shallow}", tmp_path)
    gates.machine.run(f"ln -s {gates.folder}/.venv .venv; cp -p {gates.folder}/.coverage .", shallow)
    gates.machine.run("touch .coverage .venv/.installed", shallow)
    (shallow / FILE).write_text("changed = 0\n")
    said = gates.machine.run("python3 ci/check.py gates", shallow, 2)
    assert (
        "changed lines: unknown: there is no commit before this one here to compare with; at least 0%\n"
        in said
    )


def test_record_writes_what_holds_today_and_never_lowers_the_floor(gates: Gates) -> None:
    comment = "# Ours: why.\nfloor = 10.5  # since March\n"
    gates.limits(comment)
    gates.run(0, RECORD="1")
    text = (gates.folder / FILE).read_text()
    found = re.fullmatch(r"# Ours: why\.\nfloor = ([\d.]+)  # since March\nchanged = 0\n", text)
    assert found, text
    floor = float(found[1])
    assert floor > 80
    gates.run(0)
    gates.limits(text.replace(found[1], "99.9"))
    gates.run(1, RECORD="1")
    assert "floor = 99.9  # since March\n" in (gates.folder / FILE).read_text()


def test_record_raises_the_limit_of_changed_lines_to_80_at_most(gates: Gates) -> None:
    test = gates.folder / "tests/unit/test_prices.py"
    test.write_text(
        "from services.api.prices import price\n\n\ndef test_price():\n    assert price() == 42\n"
    )
    try:
        gates.machine.run("make test", gates.folder)
        gates.limits("changed = 60\n")
        assert "changed lines: 100.0% of 3 lines; at least 60%\n" in gates.run(0, RECORD="1")
        assert (gates.folder / FILE).read_text().startswith("changed = 80\n")
        gates.limits("changed = 90\n")
        gates.run(0, RECORD="1")
        assert (gates.folder / FILE).read_text().startswith("changed = 90\n")
    finally:
        test.unlink()
        gates.machine.run("make test", gates.folder)


def test_a_project_without_any_coverage_starts_green(gates: Gates) -> None:
    data = gates.folder / ".coverage"
    data.rename(gates.folder / "kept")
    try:
        none_of_them = ".venv/bin/python -m pytest -q --cov=services/api docs || [ $? = 5 ]"
        gates.machine.run(none_of_them, gates.folder)
        gates.run(0, RECORD="1")
        assert (gates.folder / FILE).read_text() == "floor = 0\nchanged = 0\n"
        assert "coverage: 0.0% of 44 lines; at least 0%\n" in gates.run(0)
    finally:
        (gates.folder / "kept").replace(data)


@pytest.mark.parametrize(
    ("text", "told"),
    {
        "floor = 101\n": "floor is 101, expected percent: a number from 0 to 100",
        'floor = "80"\n': "floor is '80', expected percent",
        "changed = true\n": "changed is True, expected percent",
        "lines = 80\n": "lines is unknown, expected floor or changed",
        "floor =\n": "expected TOML",
    }.items(),
)
def test_a_mistake_in_the_limits_is_told_in_one_line(gates: Gates, text: str, told: str) -> None:
    gates.limits(text)
    assert f"gates: config/gates.toml: {told}" in gates.run(2)
