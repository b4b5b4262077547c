"""What is released: releases.toml, the changelog, the workflow, and what the package says of itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.projects import ROOT, git
from tests.support.released import missing, module, to_start_from

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RELEASED = module.releases()
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
A, B = "a" * 40, "b" * 40


def entry(version: str, commit: str) -> str:
    return f'[[release]]\nversion = "{version}"\ncommit = "{commit}"\n'


# The file


@pytest.mark.parametrize("release", to_start_from())
def test_a_release_is_an_ancestor_of_this_commit_and_has_its_version(release: module.Release) -> None:
    if why := missing(release.commit):
        pytest.skip(why)
    git(ROOT, "merge-base", "--is-ancestor", release.commit, "HEAD")
    then = tomllib.loads(git(ROOT, "show", f"{release.commit}:pyproject.toml"))
    assert then["project"]["version"] == release.version
    assert release.version in headings(git(ROOT, "show", f"{release.commit}:CHANGELOG.md"))


def test_the_first_release_and_the_last_two_are_started_from(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [module.Release(f"1.{minor}.0", A) for minor in range(5)]
    for count, chosen in {1: [0], 2: [0, 1], 3: [0, 1, 2], 5: [0, 3, 4]}.items():
        monkeypatch.setattr(module, "releases", lambda count=count: listed[:count])
        assert [parameter.values[0] for parameter in to_start_from()] == [listed[number] for number in chosen]
    monkeypatch.setattr(module, "releases", list)
    (none,) = to_start_from()
    assert none.marks[0].kwargs["reason"] == "releases.toml lists no release yet"


def test_the_file_is_read_in_order() -> None:
    assert module.releases("# nothing yet\n") == []
    listed = module.releases(entry("0.9.0", A) + entry("0.10.0", B))
    assert [(release.tag, release.commit) for release in listed] == [("v0.9.0", A), ("v0.10.0", B)]


@pytest.mark.parametrize(
    ("text", "told"),
    {
        entry("1.0", A): "entry 1: expected a version such as 1.2.0",
        entry("01.0.0", A): "entry 1: expected a version such as 1.2.0",
        entry("1.0.0", "main"): "1.0.0: expected the 40 digits of a commit, got 'main'",
        entry("1.0.0", A) + "date = 2026-11-25\n": "entry 1: expected a version such as 1.2.0, and a commit",
        entry("0.10.0", A) + entry("0.9.0", B): "0.9.0: expected a version above 0.10.0",
        'version = "1.0.0"\n': "expected nothing but [[release]], got version",
    }.items(),
)
def test_rejects_an_entry_that_is_none(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        module.releases(text)


def test_a_shallow_clone_says_how_to_get_an_old_release(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "full")
    full = tmp_path / "full"
    for number in range(3):
        git(full, "commit", "--quiet", "--allow-empty", "--message", str(number))
    first = git(full, "rev-list", "--max-parents=0", "HEAD").strip()
    git(tmp_path, "clone", "--quiet", "--depth=1", full.as_uri(), "shallow")
    assert missing(first, full) == ""
    assert (
        missing(first, tmp_path / "shallow")
        == f"this clone is shallow and has no commit {first[:12]}: `git fetch --unshallow` brings it"
    )
    assert "never pushed" in missing(A, full)


# The changelog


def headings(text: str) -> dict[str, str]:
    """The versions of a changelog with their dates, in its order."""
    return dict(re.findall(r"^## \[([^]]+)\](?: - (.*))?$", text, re.MULTILINE))


def test_changelog_and_releases_agree() -> None:
    told = headings(CHANGELOG)
    versions = list(told)
    assert versions[0] == "Unreleased"
    released = [release.version for release in reversed(RELEASED)]
    # The commit that is about to be released has its heading already; its entry comes in the one after it.
    assert versions[1:] in (released, [PYPROJECT["project"]["version"], *released])
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", told[version]) for version in versions[1:])
    assert set(re.findall(r"^\[([^]]+)\]: https://", CHANGELOG, re.MULTILINE)) == set(told), (
        "each has its link"
    )


def test_notes_are_what_the_changelog_says_of_a_version() -> None:
    text = "# Changelog\n\n## [Unreleased]\n\n## [1.1.0] - 2026-12-01\n\n### Fixed\n\n- That.\n\n"
    text += "## [1.0.0] - 2026-11-30\n\n- All.\n\n[1.0.0]: https://example.com\n"
    assert module.notes("1.1.0", text) == "### Fixed\n\n- That."
    assert module.notes("1.0.0", text) == "- All."
    for version in ("Unreleased", "2.0.0"):
        with pytest.raises(ValueError, match=f"expected what is new in {version}"):
            module.notes(version, text)


# The workflow


def run_script(folder: Path, releases: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The script of the workflow, in a folder with these releases."""
    (folder / ".ci").mkdir()
    (folder / ".ci/releases.py").write_text((ROOT / ".ci/releases.py").read_text(encoding="utf-8"))
    (folder / "releases.toml").write_text(releases)
    return subprocess.run(
        [sys.executable, ".ci/releases.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_workflow_publishes_the_last_entry(tmp_path: Path) -> None:
    done = run_script(tmp_path, entry("1.0.0", A) + entry("1.1.0", B))
    assert (done.returncode, done.stdout) == (0, f"version=1.1.0\ncommit={B}\n")
    outputs = WORKFLOW["jobs"]["tag"]["outputs"]
    assert outputs == {name: f"${{{{ steps.last.outputs.{name} }}}}" for name in ("version", "commit")}


def test_the_workflow_stops_in_one_line_where_nothing_is_to_be_released(tmp_path: Path) -> None:
    done = run_script(tmp_path, "# nothing\n")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "releases.toml: there is no release yet\n")


@pytest.mark.parametrize(("tag", "code"), [("", 0), ("v1.1.0", 0), ("v1.0.0", 1)])
def test_the_tag_is_made_once_and_never_moved(tmp_path: Path, tag: str, code: int) -> None:
    """The step as it stands, with a stand-in for gh that says what it is asked."""
    repository = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", str(repository))
    for message in ("one", "two", "three"):
        git(repository, "commit", "--quiet", "--allow-empty", "--message", message)
    older, commit, _ = git(repository, "rev-list", "--reverse", "HEAD").split()
    if tag:  # v1.1.0 as releases.toml says, or a tag of that name elsewhere
        git(repository, "tag", "v1.1.0", commit if tag == "v1.1.0" else older)
    gh = tmp_path / "bin/gh"
    gh.parent.mkdir()
    gh.write_text('#!/bin/sh\necho gh "$@"\n')
    gh.chmod(0o755)
    (step,) = [step for step in WORKFLOW["jobs"]["tag"]["steps"] if step.get("name") == "Make the tag"]
    env = {
        "PATH": f"{gh.parent}:/usr/bin:/bin",
        "GITHUB_REPOSITORY": "o/r",
        "VERSION": "1.1.0",
        "COMMIT": commit,
    }
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]],
        cwd=repository,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    asked = f"gh api --silent repos/o/r/git/refs -f ref=refs/tags/v1.1.0 -f sha={commit}\n"
    assert done.stdout == (
        asked if not tag else "" if code == 0 else f"::error::{done.stdout.removeprefix('::error::')}"
    )


def test_a_right_is_given_to_the_job_that_needs_it_only() -> None:
    jobs = WORKFLOW["jobs"]
    assert jobs["publish"]["environment"]["name"] == "pypi" and jobs["publish"]["permissions"] == {
        "id-token": "write"
    }
    assert jobs["build"]["permissions"] == {"contents": "read", "id-token": "write", "attestations": "write"}
    assert jobs["build"]["steps"][0]["with"]["ref"] == "${{ needs.tag.outputs.commit }}", (
        "what is built is the commit of the entry"
    )
    assert [
        name
        for name, job in jobs.items()
        if "contents" in job["permissions"] and job["permissions"]["contents"] == "write"
    ] == [
        "tag",
        "announce",
    ]
    assert WORKFLOW[True] == {"push": {"branches": ["main"], "paths": ["releases.toml"]}}, (
        "no pull request publishes"
    )


# The package


def test_the_package_says_licence_python_and_where_it_comes_from() -> None:
    project = PYPROJECT["project"]
    assert (project["license"], project["license-files"]) == ("MIT", ["LICENSE"])
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n")
    assert not [one for one in project["classifiers"] if one.startswith("License ::")], (
        "PEP 639: the expression says it"
    )
    assert set(project["urls"]) == {"Repository", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith(project["urls"]["Repository"]) for url in project["urls"].values())
    assert project["scripts"]["copier-levels"] == project["scripts"]["levels"]
