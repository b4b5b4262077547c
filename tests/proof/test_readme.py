"""Every command that the README shows, run as it stands there: with an empty home, and git, make and Python;
uv where it says so.

The template's address is told to git as another name of a repository made from this work tree (`insteadOf`).
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import termios
import time
from pathlib import Path

import pytest
import yaml

from tests.support.projects import ROOT
from tests.support.proofs import ADDRESS, Machine, answers, fresh_machine, publish

pytestmark = pytest.mark.proof

README = (ROOT / "README.md").read_text(encoding="utf-8")
CLONE = f"git clone {ADDRESS}\ncd copier-levels\nmake new DEST=../my-service\n"
LEVELS_NEW = f"uvx --from git+{ADDRESS} levels new my-service\n"
COPY = f"uvx --with copier-template-extensions copier copy --trust --defaults {ADDRESS} my-service\n"
MOVE = "make preview LEVEL=2\nmake upgrade LEVEL=2\n"
UPDATE = (
    "uvx --with copier-template-extensions copier update --trust --defaults --vcs-ref=:current: --data"
    " level=2\n"
)
TELL = "make evolution\nmake todo\nmake api-docs\nmake stubs\nmake record WHAT=deploy\n"

# Each block, and each command in a sentence, with the test that runs it.
RUN_BY = {
    CLONE: "test_a_clone_makes_a_project_that_is_green_and_answers",
    LEVELS_NEW: "test_levels_new_makes_the_same_project",
    COPY: "test_plain_copier_makes_the_same_project",
    MOVE: "test_preview_changes_nothing_and_upgrade_moves",
    UPDATE: "test_plain_copier_moves_to_the_same_project",
    "make install check": "test_a_clone_makes_a_project_that_is_green_and_answers",
    "make run": "test_a_clone_makes_a_project_that_is_green_and_answers",
    "make update": "test_update_stays_where_there_is_nothing_newer",
    "make owner FILE=levels.mk": "test_owner",
    TELL: "test_the_project_tells_what_it_is_and_needs",
    **dict.fromkeys(
        ["make evolution", "make todo", "make api-docs", "make stubs"],
        "test_the_project_tells_what_it_is_and_needs",
    ),
    "make evolution HTML=evolution.html": "test_the_project_tells_what_it_is_and_needs",
    "make flags ENV=staging": "test_preview_changes_nothing_and_upgrade_moves",
    "make help": "test_a_clone_makes_a_project_that_is_green_and_answers",
    "make -f levels.mk check": "test_a_repository_with_a_makefile_of_its_own_is_adopted",
}
# A test can't run the suite that it is part of.
RUN_BY_CI = {"make test\n", "make proof"}
RUN_BY_HAND = {"make bench", "make soak"}  # minutes, and figures that a loaded machine would get wrong


def test_every_command_of_the_readme_is_run_by_a_test() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    sentences = re.findall(
        r"`((?:make|uvx?|copier|levels|git|pip) [^`]+)`",
        re.sub(r"^```.*?^```$", "", README, flags=re.M | re.S),
    )
    assert {*blocks, *sentences} == {*RUN_BY, *RUN_BY_CI, *RUN_BY_HAND}
    assert set(RUN_BY.values()) <= set(globals())
    assert all(command.strip() in (ROOT / ".ci/run").read_text() for command in RUN_BY_CI)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    made = fresh_machine(tmp_path_factory)
    publish(made, tmp_path_factory.mktemp("published"))
    return made


@pytest.fixture(scope="module")
def start(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the first block was run, without uv, and what it said."""
    folder = tmp_path_factory.mktemp("start")
    return folder, machine.run(CLONE, folder, uv=False)


@pytest.fixture
def mine(machine: Machine, start: tuple[Path, str], tmp_path: Path) -> Path:
    """The project of the first block, committed, for a test of its own."""
    folder = tmp_path / "my-service"
    shutil.copytree(
        start[0] / "my-service",
        folder,
        symlinks=True,
        ignore=shutil.ignore_patterns(".venv", "*_cache", "__pycache__"),
    )
    machine.commit(folder)
    return folder


@pytest.fixture
def clone(start: tuple[Path, str], tmp_path: Path) -> Path:
    """The clone of the first block, with its environment, for a test of its own."""
    return Path(shutil.copytree(start[0] / "copier-levels", tmp_path / "copier-levels", symlinks=True))


def tree(folder: Path) -> dict[str, bytes]:
    """What stands in a folder, but for what git doesn't keep."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if not re.match(r"\.(git|venv|cache|\w+_cache)/|.*__pycache__/|\.coverage", name)
    }


def test_a_clone_makes_a_project_that_is_green_and_answers(machine: Machine, start: tuple[Path, str]) -> None:
    folder, said = start
    project = folder / "my-service"
    assert "others can't update" not in said
    assert "make run" in said and str(project.name) in said
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert recorded["level"] == 1
    assert recorded["_src_path"] == ADDRESS, (
        "the address that the person cloned, not what their git makes of it"
    )
    helped = machine.run("make help", folder / "copier-levels", uv=False)
    assert {"new", "test", "proof"} <= set(re.findall(r"make (\w+)", helped))

    said = machine.run("make install check", project, uv=False)
    assert re.search(r"\d+ passed", said)
    with machine.serving("make run", project, uv=False) as address:
        assert json.loads(answers(f"{address}/health"))["status"] == "healthy"
        assert json.loads(answers(f"{address}/readiness"))["ready"] is True
    assert "make owner" in machine.run("make help", project, uv=False)


def test_what_make_new_says_to_do_next_works_as_it_stands(
    machine: Machine, start: tuple[Path, str], tmp_path: Path
) -> None:
    said = machine.run(f"make new DEST={tmp_path}/next", start[0] / "copier-levels", uv=False)
    steps = re.findall(r"^  (cd .*|make .*|git .*)$", said.partition("Next:")[2], re.MULTILINE)
    assert len(steps) >= 4
    steps = [re.sub(r"^make( \S+)* run\b.*", ":", step) for step in steps]  # it doesn't end
    machine.run(
        "\n".join(steps).replace("git commit", "git commit -m first"), start[0] / "copier-levels", uv=False
    )
    assert machine.run("git log --format=%s; git status --porcelain", tmp_path / "next") == "first\n"


QUESTIONS = [
    "The project's name",
    "What it does",
    "Where it stands on GitHub",
    "pull requests go to",
    "How much CI/CD",
    "The Python that services run on",
]


def in_a_terminal(machine: Machine, command: list[str], folder: Path, keys: dict[str, bytes]) -> str:
    """Run a command that asks, and send it keys, each once the text before them has come; returns what it
    said.
    """
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (50, 200))
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=machine.environment(False, TERM="xterm"),
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    said, seen, end, waiting = b"", 0, time.monotonic() + 90, list(keys.items())
    while time.monotonic() < end:
        if select.select([parent], [], [], 0.5)[0]:
            try:
                said += os.read(parent, 65536)
            except OSError:  # the other side is gone
                break
        elif waiting and (at := said.find(waiting[0][0].encode(), seen)) >= 0:
            seen = at
            os.write(parent, waiting.pop(0)[1])
    text = said.decode("utf-8", "replace")
    assert process.wait(10) == 0, text
    assert not waiting, text
    return text


def test_make_new_asks_where_there_is_a_terminal(machine: Machine, clone: Path) -> None:
    in_a_terminal(machine, ["make", "new", "DEST=../asked"], clone, dict.fromkeys(QUESTIONS, b"\r"))
    assert yaml.safe_load((clone.parent / "asked/.copier-answers.yml").read_text())["project_name"] == "asked"


def test_who_does_not_take_the_services_that_were_found_is_asked_which(machine: Machine, clone: Path) -> None:
    app = "from flask import Flask\n\napp = Flask(__name__)\n"
    for path in ("services/api/app.py", "orders/__init__.py"):
        (clone.parent / "theirs" / path).parent.mkdir(parents=True)
        (clone.parent / "theirs" / path).write_text(app)
    kill_line = b"\x15"
    keys = {
        **dict.fromkeys(QUESTIONS, b"\r"),
        "Take these?": b"n",
        "Which, then?": kill_line + b"[api, {name: orders, path: orders}]\r",
        "Tests from your source": b"\r",
    }
    text = in_a_terminal(machine, ["make", "new", "DEST=../theirs"], clone, keys)
    assert "orders/__init__.py:3 builds the Flask app app: no service unless" in text
    recorded = yaml.safe_load((clone.parent / "theirs/.copier-answers.yml").read_text())
    assert [(one["name"], one["app"]) for one in recorded["services"]] == [
        ("api", "app:app"),
        ("orders", "orders:app"),
    ]


def test_make_new_without_a_destination_says_what_it_expects(machine: Machine, clone: Path) -> None:
    said = machine.run("make new", clone, code=2, uv=False)
    assert "expected DEST, as in make new DEST=../my-service" in said


def test_make_new_from_a_clone_with_changes_says_that_others_cannot_update(
    machine: Machine, clone: Path
) -> None:
    (clone / "README.md").write_text("changed\n")
    said = machine.run("make new DEST=../dirty", clone, uv=False)
    assert "changes that are not committed, so others can't update the result" in said
    assert (clone.parent / "dirty/levels.mk").exists()


def test_make_new_from_a_clone_with_unpushed_commits_says_that_others_cannot_update(
    machine: Machine, clone: Path
) -> None:
    machine.run("git commit --quiet --allow-empty --message mine", clone)
    said = machine.run("make new DEST=../unpushed", clone, uv=False)
    assert "commits that are not pushed" in said and "so others can't update the result" in said
    assert (clone.parent / "unpushed/levels.mk").exists()


def test_a_repository_with_a_makefile_of_its_own_is_adopted(machine: Machine, clone: Path) -> None:
    theirs = clone.parent / "my-service"
    theirs.mkdir()
    (theirs / "app.py").write_text("from flask import Flask\n\napp = Flask(__name__)\n")
    (theirs / "requirements.txt").write_text("flask\n")
    (theirs / "Makefile").write_text("check:\n\t@echo their own\n")
    machine.commit(theirs)
    before = tree(theirs)
    said = machine.run("make new DEST=../my-service", clone, uv=False)
    assert "make -f levels.mk install baseline" in said
    assert {path: text for path, text in tree(theirs).items() if path in before} == before
    machine.run("make -f levels.mk install baseline", theirs, uv=False)
    assert re.search(r"^test +ok$", machine.run("make -f levels.mk check", theirs, uv=False), re.MULTILINE)
    assert machine.run("make check", theirs, uv=False) == "their own\n"


def test_levels_new_makes_the_same_project(machine: Machine, start: tuple[Path, str], tmp_path: Path) -> None:
    machine.run(LEVELS_NEW, tmp_path)
    expected = {path: text for path, text in tree(start[0] / "my-service").items() if path != "uv.lock"}
    assert tree(tmp_path / "my-service") == expected
    machine.commit(tmp_path / "my-service")
    assert "levels.mk: ours" in machine.run("make owner FILE=levels.mk", tmp_path / "my-service")


def test_plain_copier_makes_the_same_project(
    machine: Machine, start: tuple[Path, str], tmp_path: Path
) -> None:
    machine.run(COPY, tmp_path)
    expected = {path: text for path, text in tree(start[0] / "my-service").items() if path != "uv.lock"}
    assert tree(tmp_path / "my-service") == expected


def test_preview_changes_nothing_and_upgrade_moves(machine: Machine, mine: Path) -> None:
    preview, upgrade = MOVE.splitlines()
    before = tree(mine)
    said = machine.run(preview, mine, uv=False)
    assert ".github/workflows/staging-deploy.yml" in said and "STAGING_HOST" in said
    assert tree(mine) == before
    said = machine.run(upgrade, mine, uv=False)
    assert "STAGING_HOST" in said and "Done." in said
    assert (mine / ".github/workflows/staging-deploy.yml").exists()
    assert yaml.safe_load((mine / ".copier-answers.yml").read_text())["level"] == 2
    assert "staging_deployment" in machine.run("make flags ENV=staging", mine, uv=False)


def test_the_project_tells_what_it_is_and_needs(machine: Machine, mine: Path) -> None:
    evolution, todo, api_docs, stubs, record = TELL.splitlines()
    machine.run("make install", mine, uv=False)
    assert "Stay at level 1" in machine.run(evolution, mine, uv=False)
    machine.run("make evolution HTML=evolution.html", mine, uv=False)
    assert (mine / "evolution.html").read_text().startswith("<!doctype html>")
    (mine / "evolution.html").unlink()
    said = machine.run(todo, mine, code=2, uv=False)  # 2 is make's own for a command that ends with 1
    assert "`make api-docs`" in said
    machine.run(api_docs, mine, uv=False)
    assert "/changes/<symbol>" in (mine / "docs/api.md").read_text()
    machine.commit(mine)
    machine.run(todo, mine, uv=False)
    (mine / "services/api/prices.py").write_text(
        'def total(count: int) -> int:\n    """\n    >>> total(2)\n    4\n    """\n    return count * 2\n'
    )
    assert "test_api_prices.py" in machine.run(stubs, mine, uv=False)
    assert "total(2) == 4" in (mine / "tests/unit/api/test_api_prices.py").read_text()
    machine.run(record, mine, uv=False)
    assert json.loads((mine / "config/deploys.jsonl").read_text())["kind"] == "deploy"
    assert "passed" in machine.run("make check", mine, uv=False)


def test_plain_copier_moves_to_the_same_project(machine: Machine, mine: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(mine, tmp_path / "other" / "my-service", symlinks=True))
    machine.run(UPDATE, mine)
    machine.run("make upgrade LEVEL=2", other)
    assert "ci/deploy/__main__.py" in tree(mine)
    assert tree(mine) == tree(other)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    machine.run(COPY.replace(" --defaults ", " --defaults --data level=2 "), fresh)
    # A move makes the two for people to fill in, and git ignores them; `make install` made the lock file.
    filled_in = {"config/staging.env", "config/production.env", "uv.lock"}
    got, want = tree(mine), tree(fresh / "my-service")
    assert {path: text for path, text in got.items() if path not in filled_in} == want


def test_the_trust_setting_takes_the_place_of_the_flag(
    tmp_path_factory: pytest.TempPathFactory, machine: Machine, tmp_path: Path
) -> None:
    asked = machine.run(COPY.replace(" --trust", ""), tmp_path, code=4)
    assert "unsafe" in asked or "trust" in asked
    block = re.search(r"^```yaml\n(trust:.*?)^```$", README, re.MULTILINE | re.DOTALL)
    where = re.search(r"\(`~/(\S+)` on Linux\)", README)
    assert block and where
    settings = machine.home / where[1]
    settings.parent.mkdir(parents=True)
    settings.write_text(block[1])
    try:
        machine.run(COPY.replace(" --trust", ""), tmp_path)
        machine.commit(tmp_path / "my-service")
        machine.run(UPDATE.replace(" --trust", ""), tmp_path / "my-service")
    finally:
        settings.unlink()
    assert (tmp_path / "my-service/ci/deploy/__main__.py").exists()


def test_owner(machine: Machine, mine: Path) -> None:
    assert (
        machine.run("make owner FILE=levels.mk", mine, uv=False)
        .strip()
        .endswith("levels.mk: ours, level 1: the make targets")
    )


def test_update_stays_where_there_is_nothing_newer(machine: Machine, mine: Path) -> None:
    before = tree(mine)
    assert machine.run("make update", mine).startswith("Nothing changed: ")
    assert tree(mine) == before


def test_a_version_between_two_tags_is_found_again(machine: Machine, clone: Path) -> None:
    """`git describe` gives v1.0.0-1-gabc1234, and a repository without a tag abc1234: `make` finds both
    again.
    """
    machine.run(
        "git commit --quiet --allow-empty --message next; git push --quiet origin HEAD:refs/heads/between",
        clone,
    )
    for name, before in (
        ("described", ":"),
        ("untagged", "git push --quiet origin :refs/tags/v1.0.0; git tag --delete v1.0.0"),
    ):
        machine.run(before, clone)
        try:
            machine.run(f"make new DEST=../{name}", clone, uv=False)
            project = clone.parent / name
            recorded = yaml.safe_load((project / ".copier-answers.yml").read_text())["_commit"]
            assert re.fullmatch(
                r"v1\.0\.0-1-g[0-9a-f]+" if name == "described" else r"[0-9a-f]{7,}", recorded
            )
            machine.commit(project)
            assert "levels.mk: ours" in machine.run("make owner FILE=levels.mk", project)
            machine.run("make upgrade LEVEL=2", project)
        finally:
            if name == "untagged":
                machine.run(
                    "git tag v1.0.0 HEAD~1; git push --quiet origin v1.0.0 :refs/heads/between", clone
                )
