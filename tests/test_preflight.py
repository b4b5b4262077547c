"""What stands in the way of adopting a project: told, and refused, before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from extensions.rendering import preflight, proposals
from tests.support.strangers import git, project, repository

APP = "from flask import Flask\napp = Flask(__name__)\n"


def test_what_stands_already_is_named(tmp_path: Path) -> None:
    project(
        tmp_path,
        {
            "Makefile": "",
            "config/a.yml": "",
            "readme.md": "",
            "CI/check.py": "",
            ".github/workflows/mine.yml": "",
        },
    )
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    ours = [
        "Makefile",
        "README.md",
        "ci/check.py",
        "ci/other.py",
        "config/a.yml",
        "config/b.yml",
        "link",
        "loop",
        "folder",
    ]
    assert preflight.standing(
        tmp_path, [*ours, ".github/workflows/quality.yml", "docs/x/y/z.md", "Makefile/x"]
    ) == [
        "Makefile",
        "README.md",
        "ci/check.py",
        "config/a.yml",
        "link",
        "loop",
    ]


def test_nothing_stands_in_a_missing_project(tmp_path: Path) -> None:
    assert preflight.standing(tmp_path / "new", ["a", "b/c"]) == []


def test_each_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, {"config/a.yml": ""})
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(
        os, "scandir", lambda path: listed.append(os.path.relpath(path, tmp_path)) or scandir(path)
    )
    preflight.standing(
        tmp_path, [*(f"config/{n}.yml" for n in range(100)), *(f"missing/deep/{n}" for n in range(100))]
    )
    assert sorted(listed) == [".", "config"]


# What is refused


def test_nothing_is_refused_where_nothing_is_in_the_way(tmp_path: Path) -> None:
    paths = ["Makefile", "ci/check.py", ".github/workflows/quality.yml", ".copier-answers.yml"]
    assert preflight.refusals(tmp_path / "missing", paths) == []
    assert preflight.refusals(tmp_path, paths) == []
    plain = project(tmp_path / "plain", {"Makefile": "", "ci/mine.py": ""})
    assert preflight.refusals(plain, paths) == []
    assert preflight.refusals(repository(tmp_path / "repo", {"Makefile": "", "ci/mine.py": ""}), paths) == []


def test_a_folder_inside_a_repository(tmp_path: Path) -> None:
    repository(tmp_path, {"apps/shop/app.py": APP})
    assert preflight.refusals(tmp_path / "apps" / "shop", ["Makefile"]) == [
        f"apps/shop: a sub-folder of the repository {tmp_path}, and GitHub runs no workflows from there:"
        " adopt the repository's root, or run `git init` in the sub-folder and commit"
    ]


def test_a_worktree_is_a_root(tmp_path: Path) -> None:
    repository(tmp_path / "repo", {"x": ""})
    git(tmp_path / "repo", "worktree", "add", "../tree")
    assert preflight.refusals(tmp_path / "tree", ["Makefile"]) == []


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init")
    assert preflight.refusals(tmp_path, ["Makefile"]) == []
    project(tmp_path, {"app.py": APP})
    refused = ".git: the repository holds files but no commit, so nothing could be undone: commit them first"
    assert preflight.refusals(tmp_path, ["Makefile"]) == [refused]
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "first")
    assert preflight.refusals(tmp_path, ["Makefile"]) == []


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("_commit: v1\n_src_path: gh:a/b\nproject: x\n", True),
        ("_src_path: https://u:s3cret@example.org/b\n", True),
        ("_src_path: gh:a/b\nlevel: 1\n", False),
        ("_src_path: gh:a/b\nservices: []\n", False),
        ("_src_path: gh:a/b\nnested:\n  level: 1\n", True),
        ("# nothing yet\n", False),
        ("", False),
    ],
)
def test_a_project_of_another_template(tmp_path: Path, text: str, refused: bool) -> None:
    message = (
        ".copier-answers.yml: the project was made by another Copier template, and one file can't hold the"
        " answers of both: stay with that template, or delete the file and commit"
    )
    project(tmp_path, {".copier-answers.yml": text})
    assert preflight.refusals(tmp_path, []) == ([message] if refused else [])


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    project(tmp_path, {"config": "", "docs/runbooks": ""})
    assert preflight.refusals(tmp_path, ["config/a.yml", "config/b.yml", "docs/runbooks/deploy.md"]) == [
        "config: a file where the template needs a folder: rename it (for config/a.yml)",
        "docs/runbooks: a file where the template needs a folder: rename it (for docs/runbooks/deploy.md)",
    ]


def test_a_folder_where_a_file_must_stand(tmp_path: Path) -> None:
    project(tmp_path, {"Makefile/x": "", "dockerfile/x": ""})
    assert preflight.refusals(tmp_path, ["Makefile", "Dockerfile"]) == [
        "Makefile: a folder stands where the template has a file: rename it",
        "dockerfile: a folder stands where the template has a file: rename it",
    ]


def test_links_on_the_way(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo", {"inside/x": "", "Makefile": ""})
    (tmp_path / "elsewhere").mkdir()
    (root / "docs").symlink_to("../elsewhere")
    (root / "ci").symlink_to("nowhere")
    (root / "config").symlink_to("config")
    (root / "tests").symlink_to("inside")
    (root / "up").symlink_to("..")
    assert preflight.refusals(
        root, ["docs/a.md", "ci/b.py", "config/c.yml", "tests/d.py", "up/e", "Makefile/f"]
    ) == [
        "docs: a symbolic link that leads out of the project: make it a folder (for docs/a.md)",
        "ci: a broken symbolic link where the template needs a folder: remove it (for ci/b.py)",
        "config: a broken symbolic link where the template needs a folder: remove it (for config/c.yml)",
        "up: a symbolic link that leads out of the project: make it a folder (for up/e)",
        "Makefile: a file where the template needs a folder: rename it (for Makefile/f)",
    ]


def test_a_project_that_is_itself_reached_by_a_link(tmp_path: Path) -> None:
    repository(tmp_path / "repo", {"ci/x.py": ""})
    (tmp_path / "link").symlink_to("repo")
    assert preflight.refusals(tmp_path / "link", ["ci/y.py"]) == []
    (tmp_path / "loop").symlink_to("loop")
    assert preflight.refusals(tmp_path / "loop", []) == [
        f"{tmp_path}/loop: a broken symbolic link: remove it, or choose another folder"
    ]


def test_a_file_in_place_of_the_project(tmp_path: Path) -> None:
    project(tmp_path, {"file": ""})
    assert preflight.refusals(tmp_path / "file", []) == [
        f"{tmp_path}/file: can't be read (Not a directory): choose a folder that can"
    ]


def test_folders_that_differ_by_case(tmp_path: Path) -> None:
    project(tmp_path, {"Config/x.yml": "", "docs/x.md": "", "Docs/x.md": "", "readme.md": ""})
    assert preflight.refusals(tmp_path, ["config/a.yml", "config/b.yml", "docs/a.md", "README.md"]) == [
        "Config: differs only by case from the template's config, and some disks take the two for one: rename"
        " it (for config/a.yml)"
    ]


def test_rules_that_would_hide_our_files(tmp_path: Path) -> None:
    rules = "*.md\n!README.md\nci/\n"
    root = repository(tmp_path, {".gitignore": rules, "docs/.gitignore": "\n\nb?.txt\n", "docs/here.md": ""})
    paths = [
        "docs/here.md",
        "README.md",
        "docs/a.md",
        *(f"ci/{n}.py" for n in range(5)),
        "docs/b1.txt",
        "Makefile",
    ]
    assert preflight.refusals(root, paths) == [
        ".gitignore:1: the rule *.md would hide docs/a.md from git: narrow it, or add a ! rule below it",
        (
            ".gitignore:3: the rule ci/ would hide ci/0.py, ci/1.py, ci/2.py and 2 more from git: narrow it,"
            " or add a ! rule below it"
        ),
        (
            "docs/.gitignore:3: the rule b?.txt would hide docs/b1.txt from git: narrow it, or add a ! rule"
            " below it"
        ),
    ]


def test_a_personal_rule_is_named_by_its_file(tmp_path: Path) -> None:
    root = repository(tmp_path, {"x": ""})
    (root / ".git/info/exclude").write_text("*.mk\n")
    assert preflight.refusals(root, ["levels.mk"]) == [
        ".git/info/exclude:1: the rule *.mk would hide levels.mk from git: narrow it, or add a ! rule"
        " below it"
    ]


def test_links_do_not_keep_git_from_judging_the_rest(tmp_path: Path) -> None:
    root = repository(tmp_path, {".gitignore": "*.mk\n", "inside/x": ""})
    (root / "tests").symlink_to("inside")
    assert preflight.refusals(root, ["tests/d.py", "levels.mk"]) == [
        ".gitignore:1: the rule *.mk would hide levels.mk from git: narrow it, or add a ! rule below it"
    ]


def test_everything_at_once_is_one_line_each(tmp_path: Path) -> None:
    repository(
        tmp_path,
        {".gitignore": "*.mk\n", ".copier-answers.yml": "_src_path: x\n", "config": "", "Docs/x": ""},
    )
    refused = preflight.refusals(tmp_path, ["levels.mk", "config/a.yml", "docs/a.md"])
    assert [line.split(":")[0] for line in refused] == [".copier-answers.yml", "config", "Docs", ".gitignore"]
    assert all(line.isprintable() for line in refused)


def test_no_program_of_the_repositorys_choice_runs(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo", {".gitignore": "*.mk\n"})
    git(root, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    git(root, "config", "core.pager", f"touch {tmp_path}/ran")
    proposals.propose(root)
    assert len(preflight.refusals(root, ["levels.mk"])) == 1
    assert not (tmp_path / "ran").exists()
