"""Git that isn't ours: what hooks, settings, owners and repositories of other people do to a move."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from extensions.project.git_and_files import OF_ONE_REPOSITORY
from tests.support.as_a_person import TICKET, edited, for_all_repositories, hooks, levels, moved, settings
from tests.support.projects import ROOT, Project, git

AtLevel = Callable[..., Project]


# Hooks and settings


def test_hooks_for_all_repositories_do_not_stop_a_move(at_level: AtLevel, tmp_path: Path) -> None:
    project = edited(at_level(1))
    moved(project, **settings(core_hooksPath=hooks(tmp_path / "hooks")))
    git(project.folder, "config", "core.hooksPath", str(tmp_path / "hooks"))
    git(project.folder, "add", "--all")
    later = subprocess.run(
        ["git", "commit", "-m", "x"], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert later.returncode != 0 and "ticket number missing" in later.stderr, (
        "the person's own commits have their hooks"
    )


def test_hooks_from_a_template_folder_or_a_git_c_do_not_stop_a_move(
    at_level: AtLevel, tmp_path: Path
) -> None:
    (tmp_path / "template").mkdir()
    hooks(tmp_path / "template/hooks")
    own = for_all_repositories(tmp_path, f"[init]\n\ttemplateDir = {tmp_path / 'template'}\n")
    moved(edited(at_level(1)), **own, GIT_CONFIG_PARAMETERS=f"'core.hooksPath={tmp_path / 'template/hooks'}'")


@pytest.mark.parametrize(
    "text",
    [
        "[core]\n\tautocrlf = true\n\tsafecrlf = true\n",
        (
            "[apply]\n\twhitespace = error\n\tignoreWhitespace = change\n[core]\n\twhitespace ="
            " tab-in-indent,trailing-space\n"
        ),
        (
            "[apply]\n\twhitespace = fix\n[commit]\n\tgpgSign = true\n[user]\n\tuseConfigOnly ="
            " true\n[gpg]\n\tprogram = false\n"
        ),
        (
            "[status]\n\tshowUntrackedFiles = no\n\trelativePaths = true\n[core]\n\tquotePath ="
            " false\n\tfsmonitor = false\n"
        ),
        (
            "[merge]\n\tconflictStyle = zdiff3\n[diff]\n\texternal = false\n\tnoprefix ="
            " true\n\tmnemonicPrefix = true\n\tcolorMoved = zebra\n"
        ),
        (
            "[init]\n\tdefaultObjectFormat = sha256\n\tdefaultBranch = trunk\n[color]\n\tui ="
            " always\n[safe]\n\tbareRepository = explicit\n"
        ),
    ],
)
def test_a_persons_settings_change_nothing(
    at_level: AtLevel, fresh: AtLevel, tmp_path: Path, text: str
) -> None:
    project = edited(at_level(1))
    moved(project, **for_all_repositories(tmp_path, text))
    git(project.folder, "checkout", "HEAD", "--", "README.md")
    ours = {
        path: entry
        for path, entry in fresh(2).tree().items()
        if path not in (".copier-answers.yml", "README.md")
    }
    assert {path: entry for path, entry in project.tree().items() if path in ours} == ours


def test_files_that_a_person_ignores_or_calls_binary_everywhere_keep_their_edits(
    at_level: AtLevel, tmp_path: Path
) -> None:
    (tmp_path / "ignored").write_text("README.md\nfeature-flags.yml\n")
    (tmp_path / "attributes").write_text("*.md -diff\n*.yml binary\n")
    own = for_all_repositories(
        tmp_path, f"[core]\n\texcludesFile = {tmp_path}/ignored\n\tattributesFile = {tmp_path}/attributes\n"
    )
    project = edited(at_level(1))
    project.write("config/feature-flags.yml", project.read("config/feature-flags.yml") + "# ours\n")
    moved(project.commit(), **own)
    assert project.read("config/feature-flags.yml").endswith("# ours\n")


def test_a_repository_with_sha256_names_is_moved(project: Project) -> None:
    project.folder.mkdir()
    git(project.folder, "init", "--quiet", "--object-format=sha256")
    moved(edited(project.copy(level=1)))


def test_a_hook_that_stops_git_all_the_same_is_named() -> None:
    from plumbum import ProcessExecutionError

    from extensions.moving.moves import _complaint

    stopped = ProcessExecutionError(
        ["/usr/bin/git", "-c", "a=b", "clone", "--", "x"], 1, "", "ticket number missing\n"
    )
    assert _complaint(stopped).startswith(
        "git clone: ticket number missing (not git's own words but a hook's"
    )
    stopped = ProcessExecutionError(
        ["/usr/bin/git", "clone"], 128, "", "Cloning\nfatal: repository '/x' does not exist\n"
    )
    assert _complaint(stopped) == "git clone: repository '/x' does not exist"


def test_plain_copier_has_no_hooks_either(at_level: AtLevel, tmp_path: Path) -> None:
    letters = "\nÄrger, 価格, цена\n".encode()
    project = edited(at_level(1), letters)
    # A clone of the template comes before we are asked.
    for name in ("pre-commit", "commit-msg", "prepare-commit-msg"):
        (tmp_path / name).write_text(TICKET)
        (tmp_path / name).chmod(0o755)
    own = for_all_repositories(tmp_path, f"[core]\n\thooksPath = {tmp_path}\n[apply]\n\twhitespace = error\n")
    command = [
        sys.executable,
        "-m",
        "copier",
        "update",
        "--trust",
        "--defaults",
        "--vcs-ref=:current:",
        "--data",
        "level=2",
        "-q",
    ]
    done = subprocess.run(
        command,
        cwd=project.folder,
        env={**os.environ, **own, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (project.folder / "README.md").read_bytes().endswith(letters)
    assert project.answers()["level"] == 2


# Variables that git sets for hooks


def test_the_variables_of_one_repository_are_those_that_git_lists() -> None:
    listed = set(git(ROOT, "rev-parse", "--local-env-vars").split())
    assert listed - set(OF_ONE_REPOSITORY) == {
        "GIT_CONFIG_PARAMETERS",
        "GIT_CONFIG_COUNT",
    }, "which hold settings of a person or of CI"


@pytest.mark.parametrize(
    "command", [("preview", "2"), ("record", "deploy"), ("evolution", "--offline"), ("propose", "--dry-run")]
)
def test_a_command_in_a_hook_speaks_of_the_folder_that_it_is_run_in(
    at_level: AtLevel, tmp_path: Path, command: tuple[str, ...]
) -> None:
    project = at_level(1)
    other = tmp_path / "other"
    git(tmp_path, "init", "--quiet", "other")
    git(other, "commit", "--quiet", "--allow-empty", "--message", "other")
    plain = levels(project.folder, *command)
    set_by_git = {
        "GIT_DIR": f"{other}/.git",
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": f"{other}/.git/index.lock",
        "GIT_PREFIX": "sub/",
        "GIT_OBJECT_DIRECTORY": f"{other}/.git/objects",
        "GIT_QUARANTINE_PATH": f"{other}/.git/objects/x",
    }
    hooked = levels(project.folder, *command, **set_by_git)
    assert (hooked.returncode, hooked.stdout, hooked.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert "Traceback" not in hooked.stderr
    assert git(other, "status", "--porcelain") == ""


def test_a_move_with_a_hooks_variables_is_the_move_without(at_level: AtLevel, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "other")
    other = str(tmp_path / "other")
    moved(
        edited(at_level(1)),
        GIT_DIR=f"{other}/.git",
        GIT_WORK_TREE=other,
        GIT_EXTERNAL_DIFF="false",
        GIT_LITERAL_PATHSPECS="1",
    )


def test_a_preview_in_a_hook_of_a_linked_worktree(at_level: AtLevel, tmp_path: Path) -> None:
    project = at_level(1)
    hook = project.folder / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nPYTHONPATH={ROOT} {sys.executable} -m extensions preview 2 >&2\n")
    hook.chmod(0o755)
    git(project.folder, "worktree", "add", "--quiet", "../tree", "-b", "side")
    done = subprocess.run(
        ["git", "commit", "--allow-empty", "-m", "x"],
        cwd=tmp_path / "tree",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr.startswith("Moving from level 1 to 2."), done.stderr


# Git that refuses

root_only = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root can give a folder to another owner"
)


@root_only
@pytest.mark.parametrize(
    "command",
    [
        ("upgrade", "2"),
        ("update",),
        ("preview", "2"),
        ("record", "deploy"),
        ("evolution",),
        ("todo",),
        ("set", "runner=x"),
    ],
)
def test_a_project_of_another_owner_is_told_by_gits_own_reason(
    at_level: AtLevel, command: tuple[str, ...]
) -> None:
    project = at_level(1)
    for path in (project.folder, project.folder / ".git"):
        os.chown(path, 12345, 12345)
    done = levels(project.folder, *command)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(
        f"levels: git: detected dubious ownership in repository at '{project.folder}'"
    )
    assert f"git config --global --add safe.directory {project.folder}" in done.stderr
    assert not (project.folder / "config/deploys.jsonl").exists()


@root_only
def test_a_template_of_another_owner_is_told_by_gits_own_reason(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from extensions.moving import moves

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(template), str(clone))
    for path in (clone, clone / ".git"):
        os.chown(path, 12345, 12345)
    monkeypatch.setattr(moves, "root", lambda: clone)
    with pytest.raises(moves.Refused, match="git: detected dubious ownership in repository"):
        moves.where_from()


def test_a_damaged_repository_and_a_missing_git_are_told_in_one_line(at_level: AtLevel) -> None:
    project = at_level(1)
    assert "git isn't there" in levels(project.folder, "record", "deploy", PATH="/nowhere").stderr
    shutil.rmtree(project.folder / ".git/objects/pack", ignore_errors=True)
    for folder in (project.folder / ".git/objects").glob("??"):
        shutil.rmtree(folder)
    for command in (("record", "deploy"), ("upgrade", "2")):
        done = levels(project.folder, *command)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith("levels: git: ")
    assert not (project.folder / "config/deploys.jsonl").exists()


# Repositories inside the project

APP = "from flask import Flask\n\napp = Flask(__name__)\n"


def inner_repository(folder: Path, file: str = "app.py") -> None:
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    (folder / file).write_text(APP)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "inner")


def submodule(project: Path, pay: Path, path: str) -> None:
    inner_repository(pay)
    git(project, "submodule", "--quiet", "add", str(pay), path)


def worktree(project: Path, pay: Path, path: str) -> None:
    inner_repository(pay)
    git(pay, "worktree", "add", "--quiet", str(project / path), "-b", "side")


def clone(project: Path, pay: Path, path: str) -> None:
    inner_repository(project / path)


def starting(project: Path) -> None:
    """A repository with a service of its own."""
    (project / "services/api").mkdir(parents=True)
    (project / "services/api/app.py").write_text(APP)
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "start")


def adopt(project: Path, *data: str) -> subprocess.CompletedProcess[str]:
    given = [part for one in data for part in ("--data", one)]
    return levels(project.parent, "new", str(project), "--defaults", "--data", "seed_tests=none", *given)


@pytest.mark.parametrize("kind", [submodule, worktree, clone])
def test_a_service_in_another_repository_is_left_out_with_a_line(
    tmp_path: Path, kind: Callable[[Path, Path, str], None]
) -> None:
    project = tmp_path / "shop"
    starting(project)
    kind(project, tmp_path / "pay", "services/pay")
    inner = git(project / "services/pay", "status", "--porcelain")
    done = adopt(project)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert (
        said.count(
            "services/pay: left out, a git repository of its own, such as a submodule: nothing is written"
            " there"
        )
        == 1
    )
    assert git(project / "services/pay", "status", "--porcelain") == inner == ""
    assert [one["name"] for one in Project(project, project).answers()["services"]] == ["api"]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (("services=[api, {name: pay, path: services/pay}]",), "services/pay: a git repository of its own"),
        (("services=[api, {name: pay, path: link}]",), "link: a git repository of its own"),
        (
            ("services=[api, {name: pay, path: services/pay/inner}]",),
            "services/pay: a git repository of its own",
        ),
    ],
)
def test_nothing_is_written_into_another_repository_that_a_person_names(
    tmp_path: Path, data: tuple[str, ...], what: str
) -> None:
    project = tmp_path / "shop"
    starting(project)
    submodule(project, tmp_path / "pay", "services/pay")
    (project / "link").symlink_to("services/pay")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "inner")
    done = adopt(project, *data)
    assert done.returncode == 2 and what in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert git(project, "status", "--porcelain") == ""


def test_a_docs_folder_that_is_a_submodule_is_left_alone_when_asked_for(tmp_path: Path) -> None:
    project = tmp_path / "shop"
    starting(project)
    submodule(project, tmp_path / "pages", "docs")
    git(project, "commit", "--quiet", "--message", "docs")
    # As in a clone without --recurse-submodules.
    git(project, "submodule", "--quiet", "deinit", "--force", "docs")
    done = adopt(project)
    assert done.returncode == 2 and "docs: a git repository of its own" in done.stderr
    assert "--data 'keep=[docs]'" in done.stderr and git(project, "status", "--porcelain") == ""
    done = adopt(project, "keep=[docs]")
    assert done.returncode == 0, done.stderr
    assert list((project / "docs").iterdir()) == []


# Where the template stands


def test_an_address_that_others_cannot_reach_is_told_at_the_copy_with_the_way_out(
    template: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--data", "project_name=shop"]
    relative = os.path.relpath(template, tmp_path)
    done = subprocess.run(
        [*command, relative, "deep/shop"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    told = [line for line in done.stderr.splitlines() if "_src_path" in line]
    assert len(told) == 1 and "a full path, and commit it" in told[0], done.stderr
    project = Project(tmp_path / "deep/shop", template)
    git(project.folder, "init", "--quiet")
    project.commit()
    wrapper = [sys.executable, "ci/levels.py", "upgrade", "2"]
    said = subprocess.run(wrapper, cwd=project.folder, capture_output=True, text=True, check=False)
    assert said.returncode == 2 and said.stderr.count("\n") == 1 and "and commit it" in said.stderr
    project.replace(".copier-answers.yml", f"_src_path: {relative}", f"_src_path: {template}")
    refused = levels(project.folder, "upgrade", "2")
    assert refused.returncode == 2 and "_src_path: commit the template's new address first" in refused.stderr
    assert levels(project.commit().folder, "upgrade", "2").returncode == 0
    done = subprocess.run(
        [*command, str(template), "full"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    told = [line for line in done.stderr.splitlines() if "_src_path" in line]
    assert len(told) == 1 and f"is {template}, which is on this machine only" in told[0], done.stderr


def test_a_moved_template_is_told_in_one_line(at_level: AtLevel) -> None:
    project = at_level(1)
    project.replace(".copier-answers.yml", "_src_path: ", "_src_path: /nowhere")
    project.commit()
    wrapper = [sys.executable, "ci/levels.py", "preview", "2"]
    said = subprocess.run(wrapper, cwd=project.folder, capture_output=True, text=True, check=False)
    assert said.returncode == 2 and said.stderr.count("\n") == 1
    assert (
        "no folder on this machine: write the template's address there, such as gh:owner/name, and commit it"
        in said.stderr
    )
