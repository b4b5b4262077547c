"""The `levels` command: what it says, what it changes, and its exit codes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from copier.errors import UserMessageError

from extensions import cli
from extensions.cli import main
from extensions.errors import NotAProject, Refused, Stopped
from tests.support.projects import LEVELS, ROOT, Project, git

AtLevel = Callable[..., Project]


@pytest.fixture
def levels(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in a project; gives exit code, output and errors."""

    def run(project: Project, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(project.folder)
        capfd.readouterr()
        try:
            code = main(arguments)
        except SystemExit as ended:  # argparse ends the program by itself
            code = int(ended.code or 0)
        return code, *capfd.readouterr()

    return run


Levels = Callable[..., tuple[int, str, str]]


def test_upgrade_moves_and_says_what_to_do_next(at_level: AtLevel, fresh: AtLevel, levels: Levels) -> None:
    project = at_level(1)
    code, out, err = levels(project, "upgrade", "2")
    assert code == 0
    assert "Next, once:" in out and "STAGING_HOST" in out
    assert "level 2: config/staging.env is there to be filled in" in err
    assert {p: e for p, e in project.tree().items() if p != ".copier-answers.yml"} == {
        p: e for p, e in fresh(2).tree().items() if p != ".copier-answers.yml"
    }


def test_a_conflict_is_listed_and_the_exit_code_is_1(at_level: AtLevel, levels: Levels) -> None:
    project = at_level(1)
    project.replace("config/evolution.yml", "current_level: 1\n", "current_level: 1  # mine\n")
    project.commit()
    code, _, err = levels(project, "upgrade", "2")
    assert code == 1
    assert "conflict: config/evolution.yml: both you and the template changed the same lines" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("upgrade", "7"), "levels: LEVEL: expected a level from 1 to 4, got 7\n"),
        (("upgrade", ""), "levels: LEVEL: expected a level, as in LEVEL=2\n"),
        (("upgrade", "two"), 'levels: LEVEL: expected a level from 1 to 4, got "two"\n'),
        (("owner", ""), "levels: owner: expected a file"),
        (("preview", "0"), "levels: LEVEL: expected a level from 1 to 4, got 0\n"),
        (("service", "Two Words"), "levels: NAME: expected a name of a-z"),
        (("service", ""), "levels: NAME: expected a name for the service, as in NAME=shop"),
        (("service", "api"), "levels: NAME: api stands at services[0] already"),
        (
            ("owner", "nope"),
            "levels: nope: there is no such file here, and the template brings none of that name\n",
        ),
        (("owner", "config"), "levels: config: a folder; expected a file, such as config/evolution.yml\n"),
        (("owner", "config/"), "levels: config/: a folder; expected a file, such as config/evolution.yml\n"),
        (("owner", "."), "levels: .: a folder; expected a file, such as .copier-answers.yml\n"),
        (
            ("owner", "/etc/passwd"),
            "levels: /etc/passwd: expected a file of this project, which stands in /",
        ),
        (("owner", "../up"), "levels: ../up: expected a file of this project, which stands in /"),
        (("owner", "/"), "levels: /: expected a file of this project, which stands in /"),
        (
            ("record", "deploy", "--environment", "$(x)"),
            "levels: --environment '$(x)': expected a name such as production\n",
        ),
        (("record", "incident", "--note", "two\nlines"), "levels: --note: expected one line"),
        (
            ("record", "deploy", "--version", "nope"),
            "levels: --version nope: git knows no such commit or tag here",
        ),
        (
            ("record", "deploy", "--outcome", "maybe"),
            "levels record: argument --outcome: invalid choice: 'maybe'",
        ),
        (
            ("record", "nope"),
            "levels record: argument WHAT: invalid choice: 'nope' (choose from 'deploy', 'rollback', 'incident',",
        ),
        (
            ("record", "incident", "--outcome", "failure"),
            "levels: --outcome failure: expected for a deploy or a rollback only, and this is 'incident'\n",
        ),
        (
            ("record", "deploy", "--at", "2099-01-01"),
            "levels: --at '2099-01-01': expected a time in the past ten years\n",
        ),
        (
            ("record", "deploy", "--at", "yesterday"),
            "levels: --at 'yesterday': expected a time such as 2026-11-24T09:30\n",
        ),
        (
            ("record", "restored"),
            "levels: restored: nothing is recorded as broken in production; record the incident first (WHAT=incident)\n",
        ),
        (
            ("new", "/dev/null/x"),
            "levels: /dev/null/x: expected a folder, new or existing; /dev/null is a file\n",
        ),
        (("new", "x", "--data", "level"), "levels: --data level: expected KEY=VALUE\n"),
    ],
)
def test_bad_input_is_told_in_one_line_and_changes_nothing(
    at_level: AtLevel, levels: Levels, arguments: tuple[str, ...], message: str
) -> None:
    project = at_level(1)
    code, out, err = levels(project, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message) and err.count("\n") == 1
    assert git(project.folder, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["record", "WHAT=incident", "AT=noon"],
            "levels: AT='noon': expected a time such as 2026-11-24T09:30\n",
        ),
        (
            ["record", "WHAT=incident", "OUTCOME=failure"],
            "levels: OUTCOME=failure: expected for a deploy or a rollback only, and this is 'incident'\n",
        ),
        (
            ["record", "WHAT=deploy", "OUTCOME=maybe"],
            "levels record: argument OUTCOME: invalid choice: 'maybe'",
        ),
        (["record"], "levels record: argument WHAT: invalid choice: '' (choose from 'deploy', "),
        (["record", "WHAT=deploy", "ENV=A b"], "levels: ENV='A b': expected a name such as production\n"),
        (["record", "WHAT=deploy", "VERSION=nope"], "levels: VERSION=nope: git knows no such commit or tag"),
        (
            ["record", "WHAT=incident", f"NOTE={'x' * 501}"],
            "levels: NOTE: expected one line, 500 characters at most\n",
        ),
        (["service", "NAME=Two Words"], "levels: NAME: expected a name of a-z"),
        (["todo", "LEVEL=9"], "levels: LEVEL: expected a level from 1 to 4, got 9\n"),
        (["evolution", "HTML=/dev/null/x"], "levels: HTML=/dev/null/x: expected a file that can be written"),
    ],
)
def test_whoever_called_make_is_told_in_the_words_of_make(
    at_level: AtLevel, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """The project's own targets run here, with the command of this checkout in place of the one by uvx."""
    command = tmp_path / "python"
    command.write_text(f'#!/bin/sh\nshift\nPYTHONPATH={ROOT} exec {sys.executable} -m extensions "$@"\n')
    command.chmod(0o755)
    quiet = [f"PYTHON={command}", "--no-print-directory", "-f", "levels.mk"]
    done = subprocess.run(
        ["make", *quiet, *arguments], cwd=at_level(1).folder, capture_output=True, text=True, check=False
    )
    assert done.stderr.startswith(message), done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1, said


def test_that_a_template_has_no_tags_is_said_once(
    template: Path, tmp_path: Path, levels: Levels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copier says so for each of the copies of the template that an update makes."""
    from extensions.moving import moves

    untagged = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", "--no-tags", str(template), str(untagged))
    project = Project(tmp_path / "shop", untagged)
    git(untagged, "remote", "remove", "origin")
    monkeypatch.setattr(moves, "root", lambda: untagged)
    assert main(["new", str(project.folder), "--defaults"]) == 0
    git(project.folder, "init", "--quiet")
    project.commit()
    for command in (["update"], ["propose", "--dry-run"]):
        code, out, err = levels(project, *command)
        assert code == 0 and err.count("No git tags found in template; using HEAD as ref\n") == 1, err
        assert "\n\n" not in err
        assert command == ["update"] or "Done" not in out + err, "what was done to a clone"


def test_a_dirty_project_is_not_moved(at_level: AtLevel, levels: Levels) -> None:
    project = at_level(1)
    project.write("README.md", "changed\n")
    project.write("new/file", "mine\n")
    code, out, err = levels(project, "upgrade", "2")
    assert (code, out) == (2, "")
    assert err == (
        "levels: not committed: README.md, new/: commit or stash it first (`git stash -u`), so that what is"
        " yours and what the move does can be told apart\n"
    )
    assert git(project.folder, "status", "--porcelain") == " M README.md\n?? new/\n"


@pytest.mark.parametrize(
    ("line", "value", "message"),
    [
        ("_commit: v1.0.0", "_commit: v9.9.9", "levels: copier: Unknown revision: 'v9.9.9'"),
        ("_src_path: ", "_src_path: /nowhere/", "levels: "),
    ],
)
def test_a_version_that_is_not_to_be_had_is_told_in_one_line(
    at_level: AtLevel, levels: Levels, line: str, value: str, message: str
) -> None:
    project = at_level(1)
    project.replace(".copier-answers.yml", line, value)
    project.commit()
    code, out, err = levels(project, "upgrade", "2")
    assert (code, out) == (2, "")
    assert err.startswith(message) and err.count("\n") == 1


def test_outside_of_a_project_it_says_where_to_run_it(tmp_path: Path, levels: Levels) -> None:
    code, _, err = levels(Project(tmp_path, tmp_path), "upgrade", "2")
    assert code == 2
    assert "expected the answers of this template" in err


@pytest.mark.parametrize("level", LEVELS)
def test_preview_tells_just_what_the_move_then_does(at_level: AtLevel, levels: Levels, level: int) -> None:
    project = at_level(2)
    before = project.tree()
    code, out, _ = levels(project, "preview", str(level), "--json")
    assert code == 0 and project.tree() == before, "it changes nothing"
    seen = json.loads(out)
    project.commit().move(level)
    after = project.tree()
    assert seen["added"] == sorted(set(after) - set(before))
    assert seen["removed"] == sorted(set(before) - set(after))
    assert sorted(seen["changed"]) == sorted(
        p for p in set(before) & set(after) if before[p] != after[p] and p != ".copier-answers.yml"
    )


def test_preview_for_people(at_level: AtLevel, levels: Levels) -> None:
    project = at_level(2)
    up = levels(project, "preview", "3")[1]
    assert "Level 3, Professional" in up and "CodeQL" in up and ".github/workflows/security.yml" in up
    assert "-current_level: 2" in up and "+current_level: 3" in up
    down = levels(project, "preview", "1")[1]
    assert "keeps running until you stop it" in down and "Files that go" in down
    project.commit()
    assert "Keeps running until you stop it: what was deployed" in levels(project, "upgrade", "1")[1]
    project.commit().move(2).commit()
    seen = levels(at_same(project, 1), "preview", "2")[1]
    assert "image_registry (default ghcr.io)" in seen
    assert "environments (default [staging, production])" in seen
    assert "nothing would change" in levels(project, "preview", "1")[1]


def test_preview_of_answers_that_are_edited_and_not_committed(at_level: AtLevel, levels: Levels) -> None:
    project = at_level(2)
    text = project.read(".copier-answers.yml")
    assert text.endswith("environments:\n- name: staging\n  url: ''\n- name: production\n  url: ''\n")
    project.write(".copier-answers.yml", text.replace("- name: production", "- name: qa\n- name: production"))
    code, seen, _ = levels(project, "preview", "2")
    assert code == 0 and "With the answers as they stand, not committed, at level 2." in seen
    assert "  config/qa.env.template\n" in seen and "Files that go" not in seen
    assert "config/qa.env.template" in levels(project, "preview", "3")[1]
    project.write(".copier-answers.yml", text.replace("- name: production", "- name: local"))
    code, seen, errors = levels(project, "preview", "2")
    assert code == 2 and seen == "" and errors.startswith("levels: environments[1].name: expected")


def at_same(project: Project, level: int) -> Project:
    return project.move(level).commit()


def test_preview_says_which_workflow_checks_a_push(at_level: AtLevel, levels: Levels) -> None:
    project, workflow = at_level(1), ".github/workflows/staging-deploy.yml"
    said = (
        f"  pushes    {workflow} checks a push from here on, by the same checks; so the other workflows lose"
    )
    assert said in levels(project, "preview", "2")[1]
    assert said in levels(project, "preview", "3")[1], "also where the level is only passed"
    project.replace(".copier-answers.yml", "keep: []\n", f"keep:\n- {workflow}\n")
    assert "pushes    " not in levels(project, "preview", "2")[1], "quality.yml keeps its push then"


def test_preview_of_a_way_down_says_who_checks_a_push(at_level: AtLevel, levels: Levels) -> None:
    workflow = ".github/workflows/staging-deploy.yml"
    again = f"  pushes    are checked by the other workflows again, as {workflow} goes"
    assert again in levels(at_level(2), "preview", "1")[1]


def test_preview_shows_a_changed_item_of_a_list(at_level: AtLevel, levels: Levels) -> None:
    changed = json.loads(levels(at_level(1), "preview", "2", "--json")[1])["changed"]["docs/branches.md"]
    assert any(line[:3] in ("+- ", "-- ") for line in changed), changed


def test_tells_who_owns_a_file(at_level: AtLevel, levels: Levels) -> None:
    project = at_level(2)
    assert levels(project, "owner", "levels.mk")[1].startswith("levels.mk: ours, level 1: ")
    assert levels(project, "owner", "./services/api/app.py")[1].startswith(
        "services/api/app.py: yours, level 1: "
    )
    assert levels(project, "owner", str(project.folder / "README.md"))[1].startswith(
        "README.md: shared, level 1: "
    )
    project.write("notes.txt", "")
    assert levels(project, "owner", "notes.txt")[1] == "notes.txt: yours: not from the template\n"
    said = json.loads(levels(project, "owner", "--json", ".github/workflows/staging-deploy.yml")[1])
    assert (said["owner"], said["level"]) == ("shared", 2)


def test_owner_takes_a_path_as_people_write_it(at_level: AtLevel, levels: Levels) -> None:
    project = at_level(1)
    for path in ("levels.mk", "./levels.mk", "config/../levels.mk", f"{project.folder}/levels.mk"):
        assert levels(project, "owner", path)[1].startswith("levels.mk: ours, level 1"), path
    project.write("mine.py", "")
    (project.folder / "link").symlink_to("/etc/passwd")
    for path in ("mine.py", "link"):
        assert levels(project, "owner", path)[1] == f"{path}: yours: not from the template\n"
    (project.folder / "empty").mkdir()
    assert levels(project, "owner", "empty")[2] == "levels: empty: a folder; expected a file\n"


def test_owner_knows_what_the_readme_lists(fresh: AtLevel, levels: Levels) -> None:
    project = fresh(4)
    for path in project.tree():
        assert "not from the template" not in levels(project, "owner", path)[1]


def test_a_service_is_added(at_level: AtLevel, levels: Levels) -> None:
    project = at_level(1)
    assert levels(project, "service", "price-bot", "--worker")[0] == 0
    assert project.answers()["services"][1] == {
        "name": "price-bot",
        "path": "services/price_bot",
        "kind": "worker",
        "code": "ours",
        "app": "services.price_bot.worker",
    }
    assert (project.folder / "tests/unit/price_bot/test_price_bot_worker.py").is_file()


def test_a_second_service_needs_no_commit_in_between(
    at_level: AtLevel, levels: Levels, tmp_path: Path
) -> None:
    project = at_level(1)
    other = Project(Path(shutil.copytree(project.folder, tmp_path / "other")), project.template)
    assert levels(project, "service", "orders")[0] == 0
    assert levels(project, "service", "price-bot", "--worker")[0] == 0
    assert [service["name"] for service in project.answers()["services"]] == ["api", "orders", "price-bot"]
    assert levels(project, "upgrade", "2")[0] == 0, "another move does not, either"
    for command in (["service", "orders"], ["service", "price-bot", "--worker"], ["upgrade", "2"]):
        assert levels(other, *command)[0] == 0
        other.commit()
    assert project.tree() == other.tree(), "it is the same as with commits"


@pytest.mark.parametrize("edit", ["a new file", "another line", "a deletion", "a commit"])
def test_with_an_edit_in_between_a_second_service_is_refused_and_nothing_is_lost(
    at_level: AtLevel, levels: Levels, edit: str
) -> None:
    project = at_level(1)
    assert levels(project, "service", "orders")[0] == 0
    if edit == "a new file":
        project.write("notes.txt", "mine\n")
    elif edit == "another line":
        project.write("services/orders/app.py", project.read("services/orders/app.py") + "# mine\n")
    elif edit == "a deletion":
        (project.folder / "README.md").unlink()
    else:
        git(project.folder, "commit", "--quiet", "--allow-empty", "-m", "mine")
    before = {
        path: path.read_bytes()
        for path in project.folder.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }
    code, _, said = levels(project, "service", "billing")
    assert code == 2 and "commit or stash" in said
    after = {
        path: path.read_bytes()
        for path in project.folder.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }
    assert after == before


def test_a_second_service_that_fails_leaves_the_first(
    at_level: AtLevel, levels: Levels, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = at_level(1)
    assert levels(project, "service", "orders")[0] == 0
    before = git(project.folder, "status", "--porcelain")
    read = {
        path: path.read_bytes()
        for path in project.folder.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }

    def fails(*ignored: object, **named: object) -> None:
        project.write("half.txt", "half\n")
        raise UserMessageError("no")

    monkeypatch.setattr("copier.run_update", fails)
    assert levels(project, "service", "billing")[0] == 2
    (project.folder / "half.txt").unlink(missing_ok=True)
    assert git(project.folder, "status", "--porcelain") == before
    assert {path: path.read_bytes() for path in read} == read


def test_a_folder_with_code_becomes_a_service_of_theirs(at_level: AtLevel, levels: Levels) -> None:
    project = at_level(1)
    project.write("services/orders/app.py", "mine = True\n")
    project.commit()
    assert levels(project, "service", "orders")[0] == 0
    assert project.answers()["services"][1]["code"] == "theirs"
    assert project.read("services/orders/app.py") == "mine = True\n"
    assert project.answers()["keep"] == []
    assert (project.folder / "pyproject.toml").exists(), "the project is as new as it was"
    for path in ("ci/baseline.py", "ci/ways.py", "ci/poetry.py"):
        assert (project.folder / path).exists(), "what code of theirs is checked and installed by"
    assert re.search(r"^[a-z ]*\bbaseline\b[a-z ]*:", project.read("levels.mk"), re.MULTILINE)


def test_an_answers_file_that_was_edited_and_not_committed_is_what_is_asked_for(
    at_level: AtLevel, fresh: AtLevel, levels: Levels
) -> None:
    project = at_level(1)
    text = project.read(".copier-answers.yml")
    text = text.replace("keep: []\n", "keep:\n- Dockerfile\n").replace("branch: main", "branch: trunk")
    project.write(".copier-answers.yml", text + "image_registry: registry.example.com\n")
    assert levels(project, "upgrade", "2")[0] == 0
    assert project.answers()["image_registry"] == "registry.example.com"
    assert '["trunk"]' in project.read(".github/workflows/staging-deploy.yml")
    assert (project.answers()["level"], project.answers()["keep"]) == (2, ["Dockerfile"])

    project.commit()
    project.write(
        ".copier-answers.yml",
        project.read(".copier-answers.yml").replace("branch: trunk", "branch: two words"),
    )
    before = project.read(".copier-answers.yml")
    code, _, err = levels(project, "upgrade", "2")
    assert (code, err.count("\n")) == (2, 1)
    assert project.read(".copier-answers.yml") == before, "what a person wrote isn't lost"


def test_an_answers_file_without_later_answers_is_read_with_their_defaults(
    at_level: AtLevel, levels: Levels
) -> None:
    project = at_level(1)
    text = project.read(".copier-answers.yml")
    project.write(".copier-answers.yml", text.replace("keep: []\n", "").replace("adopted: false\n", ""))
    project.commit()
    assert levels(project, "upgrade", "2")[0] == 0
    assert (project.answers()["keep"], project.answers()["adopted"]) == ([], False)


def test_a_dirty_project_with_edited_answers_loses_neither(at_level: AtLevel, levels: Levels) -> None:
    project = at_level(1)
    project.write("README.md", "changed\n")
    project.replace(".copier-answers.yml", "branch: main", "branch: trunk")
    assert levels(project, "upgrade", "2")[0] == 2
    assert project.read("README.md") == "changed\n"
    assert "branch: trunk" in project.read(".copier-answers.yml")


def test_a_file_is_taken_over_and_given_back(at_level: AtLevel, levels: Levels) -> None:
    project = at_level(1)
    project.write("Dockerfile", "FROM scratch\n")
    project.commit()
    assert levels(project, "set", "keep=+Dockerfile")[0] == 0
    assert project.read("Dockerfile") == "FROM scratch\n"
    assert project.answers()["keep"] == ["Dockerfile"]
    assert "you took it over" in levels(project, "owner", "Dockerfile")[1]
    assert "`make set keep=-Dockerfile` shows how it differs" in levels(project, "owner", "Dockerfile")[1]
    project.commit()
    code, out, _ = levels(project, "set", "keep=-Dockerfile")
    assert code == 0
    assert "--- the template's Dockerfile" in out and "+FROM scratch" in out
    assert project.answers()["keep"] == []
    assert (project.folder / ".dockerignore").exists(), (
        "it came back with the Dockerfile that it means something beside"
    )
    assert "keep: Dockerfile is given back" in levels(project, "upgrade", "2")[2]
    assert project.commit().move(2).conflicts() == []
    assert project.read("Dockerfile") == "FROM scratch\n"


def test_deploys_and_incidents_are_recorded(at_level: AtLevel, levels: Levels) -> None:
    project = at_level(1)
    head = git(project.folder, "rev-parse", "--short", "HEAD").strip()
    assert levels(project, "record", "deploy")[0] == 0
    assert (
        levels(project, "record", "incident", "--note", "the café 🚀 closed", "--environment", "staging")[0]
        == 0
    )
    deploy, incident = (json.loads(line) for line in project.read("config/deploys.jsonl").splitlines())
    assert {k: deploy[k] for k in ("kind", "environment", "version", "outcome", "by")} == {
        "kind": "deploy",
        "environment": "production",
        "version": head,
        "outcome": "success",
        "by": "A Tester",
    }
    assert (incident["kind"], incident["environment"], incident["note"]) == (
        "incident",
        "staging",
        "the café 🚀 closed",
    )
    assert "outcome" not in incident
    git(project.folder, "tag", "v1")
    assert (
        levels(
            project,
            "record",
            "rollback",
            "--version",
            "v1",
            "--outcome",
            "failure",
            "--at",
            "2026-01-02T03:04:05+00:00",
        )[0]
        == 0
    )
    assert levels(project, "record", "restored", "--environment", "staging")[0] == 0
    rollback, restored = (json.loads(line) for line in project.read("config/deploys.jsonl").splitlines()[2:])
    assert (rollback["version"], rollback["outcome"], rollback["at"]) == (
        "v1",
        "failure",
        "2026-01-02T03:04:05Z",
    )
    assert (restored["kind"], restored["version"]) == ("restored", incident["version"])


def test_make_hands_all_of_a_record_to_the_command_as_it_stands(at_level: AtLevel) -> None:
    given = [
        "WHAT=incident",
        "ENV=staging",
        "VERSION=v1",
        "OUTCOME=failure",
        "AT=2026-01-02T03:04",
        'NOTE=it\'s $$(touch x) "down"',
    ]
    printed = ["PYTHON=printf '%s\\n'", "--no-print-directory", "-f", "levels.mk", "record"]
    done = subprocess.run(
        ["make", *printed, *given], cwd=at_level(1).folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1:] == [
        *("record", "incident", "--environment", "staging", "--version", "v1", "--outcome", "failure"),
        *("--at", "2026-01-02T03:04", "--note", 'it\'s $(touch x) "down"'),
    ]


def test_new_from_a_checkout_says_when_others_cannot_update_the_result(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from extensions.moving import moves

    bare = tmp_path / "origin.git"
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--bare", str(template), str(bare))
    git(tmp_path, "clone", "--quiet", str(bare), str(clone))
    monkeypatch.setattr(moves, "root", lambda: clone)
    head = git(clone, "rev-parse", "HEAD").strip()
    assert moves.where_from() == (str(bare), head, [])
    assert main(["new", str(tmp_path / "one"), "--defaults"]) == 0
    assert Project(tmp_path / "one", template).answers()["_src_path"] == str(bare)
    assert Project(tmp_path / "one", template).answers()["_commit"] == "v1.0.0"

    (clone / "README.md").write_text("changed\n")
    assert "not committed, so others can't update" in moves.where_from()[2][0]
    git(clone, "commit", "--quiet", "--all", "--message", "unpushed")
    assert "not pushed" in moves.where_from()[2][0]
    git(clone, "remote", "remove", "origin")
    assert "has no origin" in moves.where_from()[2][0]


@pytest.mark.parametrize(
    "typed", [[], ["recrod"], ["owner"], ["upgrade", "2", "3"], ["preview", "--jsn", "2"]]
)
def test_a_command_line_that_cannot_be_taken_is_told_in_one_line(
    typed: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(typed)
    out, err = capfd.readouterr()
    assert (stop.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("levels") and "--help" in err


def test_each_command_is_a_module_with_its_help_its_options_and_its_work() -> None:
    names = {path.stem for path in (ROOT / "extensions/commands").glob("*.py")} - {"__init__", "arguments"}
    assert {command.__name__.rpartition(".")[2] for command in cli.COMMANDS} == names
    for command in cli.COMMANDS:
        assert command.HELP and command.add_options and command.run


def test_what_a_command_needs_is_imported_when_it_runs() -> None:
    code = (
        "import sys, extensions.cli; print({'copier', 'rich', 'jinja2', 'extensions.source'} &"
        " set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_each_class_of_failure_has_an_exit_code_and_says_what_to_do() -> None:
    assert (Refused.exit_code, str(Refused("level: expected 1"))) == (2, "level: expected 1")
    assert (NotAProject.exit_code, str(NotAProject("here: no answers"))) == (
        2,
        "here: no answers; run it in the project's folder",
    )
    assert (Stopped.exit_code, str(Stopped("stopped"))) == (130, "stopped; nothing more is done")


def test_a_stopped_command_ends_as_a_shell_says_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stop(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.update, "run", stop)
    assert main(["update"]) == 130
    assert capfd.readouterr() == ("", "levels: stopped; nothing more is done\n")
