"""The move by itself: what the scheduled workflow of level 2 does, against a bare repository and a stand-in
of GitHub's API.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from extensions.cli import main
from extensions.evolution.proposal import EMAIL, MARKER
from tests.support.github_api import serving
from tests.support.github_stand_in import REPOSITORY, TOKEN, GitHub
from tests.support.projects import Project, git, release
from tests.support.proofs import Machine, fresh_machine, publish

pytestmark = pytest.mark.proof

# A business that asks for 99.9% makes level 3 due at once.
DUE = ("uptime_requirement: null", "uptime_requirement: 99.9%")
# The right `workflows`, without which GitHub takes no push that changes one.
HOOK = """#!/bin/sh
[ -e {folder}/may-change-workflows ] && exit 0
while read old new name; do
  git diff-tree -r --name-only main "$new" -- .github/workflows | grep -q . || continue
  echo "refusing to allow a Personal Access Token to create or update workflow without \\`workflow\\` scope" >&2
  exit 1
done
"""

Propose = Callable[..., tuple[int, str, str]]


class Remote:
    """A project at level 2 in a bare repository, its runner's checkout, and the stand-in."""

    def __init__(self, folder: Path, made: Project) -> None:
        self.bare = folder / "shop.git"
        git(folder, "clone", "--quiet", "--bare", str(made.folder), str(self.bare))
        git(self.bare, "symbolic-ref", "HEAD", "refs/heads/main")
        hook = self.bare / "hooks/pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(HOOK.format(folder=folder))
        hook.chmod(0o755)
        self.rights = folder / "may-change-workflows"
        self.rights.touch()
        git(folder, "clone", "--quiet", str(self.bare), "checkout")
        self.checkout = Project(folder / "checkout", made.template)
        self.github = GitHub(self.bare)

    def branches(self) -> list[str]:
        return git(self.bare, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def push(self) -> None:
        """Bring what changed in the checkout to the default branch."""
        self.checkout.commit()
        git(self.checkout.folder, "push", "--quiet", "origin", "HEAD:main")


@pytest.fixture(scope="module")
def level_2(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Project:
    """A project at level 2 whose checklist has nothing to do."""
    project = Project(tmp_path_factory.mktemp("level-2") / "shop", template)
    project.copy("v1.0.0", level=2)
    git(project.folder, "branch", "-M", "main")
    finish_the_checklist(project)
    return project.commit()


def finish_the_checklist(project: Project) -> None:
    """Exempt what is to do on the first day, as its people may."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            main(["todo", "--json", "--offline"])
    todo = [
        item["key"]
        for item in json.loads(said.getvalue())["items"]
        if item["state"] == "todo" and item["level"] <= 2
    ]
    evolution = yaml.safe_load(project.read("config/evolution.yml"))
    assert "exempt" not in evolution or not evolution["exempt"]
    lines = "".join(f"  {key}: the test has none\n" for key in todo)
    text = re.sub(r"(?m)^exempt:.*\n", "", project.read("config/evolution.yml"))
    project.write("config/evolution.yml", f"{text}\nexempt:\n{lines}" if lines else text)


@pytest.fixture
def remote(tmp_path: Path, level_2: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    made = Remote(tmp_path, level_2)
    with serving(made.github) as address:
        monkeypatch.setenv("GITHUB_API_URL", address)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
        monkeypatch.chdir(made.checkout.folder)
        yield made


@pytest.fixture
def propose(remote: Remote, capfd: pytest.CaptureFixture[str]) -> Propose:
    def run(*options: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["propose", *options])
        assert git(remote.checkout.folder, "status", "--porcelain") == "", "the checkout stays as it is"
        return code, *capfd.readouterr()

    return run


def test_where_nothing_is_missing_nothing_is_opened(remote: Remote, propose: Propose) -> None:
    code, out, _ = propose()
    assert (code, out) == (0, "no issue: nothing is missing\n")
    assert remote.github.writes == [] and remote.branches() == ["main"]


def test_a_level_that_is_due_comes_as_one_pull_request(
    remote: Remote, propose: Propose, level_2: Project, tmp_path: Path
) -> None:
    remote.checkout.replace("config/evolution.yml", *DUE)
    remote.push()
    code, out, err = propose()
    assert code == 0, err
    [request], [issue] = remote.github.requests(), remote.github.issues()
    assert (request["head"]["ref"], request["title"]) == ("levels/level-3", "Move to level 3")
    assert (
        "99.9%" in request["body"]
        and "make upgrade LEVEL=2` goes back" in request["body"]
        and "- [ ] " in request["body"]
    )
    assert f"Pull request #{request['number']} brings it" in issue["body"]
    # It is the move and nothing else: new files too, secrets not.
    moved = Project(tmp_path / "moved", level_2.template)
    git(tmp_path, "clone", "--quiet", "--branch", "levels/level-3", str(remote.bare), "moved")
    assert git(moved.folder, "log", "-1", "--format=%ce %s").split() == [EMAIL, "Move", "to", "level", "3"]
    by_hand = remote.checkout.move(3)
    assert moved.tree() == by_hand.tree()
    assert ".github/workflows/security.yml" in moved.tree() and moved.answers()["level"] == 3
    git(remote.checkout.folder, "reset", "--quiet", "--hard")

    writes, tips = list(remote.github.writes), git(remote.bare, "for-each-ref")
    code, out, _ = propose()
    assert (code, remote.github.writes, git(remote.bare, "for-each-ref")) == (
        0,
        writes,
        tips,
    ), "a second run changes nothing"
    assert f"issue #{issue['number']} says so already" in out


def test_a_request_that_was_closed_is_not_opened_again(remote: Remote, propose: Propose) -> None:
    remote.checkout.replace("config/evolution.yml", *DUE)
    remote.push()
    propose()
    [request] = remote.github.requests()
    request["state"] = "closed"
    code, _, _ = propose()
    assert code == 0 and remote.github.requests() == [request]
    assert f"#{request['number']} was closed, which says no" in remote.github.issues()[0]["body"]


def test_a_move_that_conflicts_is_told_in_the_issue_and_nothing_is_pushed(
    remote: Remote, propose: Propose
) -> None:
    remote.checkout.replace("config/evolution.yml", *DUE)
    remote.checkout.replace("config/evolution.yml", "current_level: 2", "current_level: 2  # since spring")
    remote.push()
    code, out, _ = propose()
    [issue] = remote.github.issues()
    assert code == 0 and "conflicts in config/evolution.yml" in out
    assert "`config/evolution.yml`" in issue["body"] and "make upgrade LEVEL=3" in issue["body"]
    assert remote.github.requests() == [] and remote.branches() == ["main"]


def test_what_is_missing_stands_in_one_issue_until_it_is_done(remote: Remote, propose: Propose) -> None:
    text = remote.checkout.read("config/evolution.yml")
    remote.checkout.write("config/evolution.yml", text[: text.index("\nexempt:")])
    remote.push()
    assert propose()[0] == 0
    [issue] = remote.github.issues()
    assert MARKER in issue["body"] and "- [ ] **" in issue["body"] and "`make install`" in issue["body"]
    git(remote.checkout.folder, "revert", "--no-edit", "HEAD")
    remote.push()
    code, out, _ = propose()
    assert (code, issue["state"]) == (0, "closed") and "nothing is missing" in out


# A new version of the template


@pytest.fixture
def released(remote: Remote, tmp_path: Path) -> Callable[..., None]:
    """Publish a version of a template of this test's own, with `changes` to its files."""
    template = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", str(remote.checkout.template), str(template))
    answers = remote.checkout.read(".copier-answers.yml").replace(
        str(remote.checkout.template), str(template)
    )
    remote.checkout.write(".copier-answers.yml", answers)
    remote.push()

    def publish_version(tag: str, **changes: tuple[str, str]) -> None:
        for path, (old, new) in changes.items():
            file = template / "levels" / {"docs": "1-basic/docs/branches.md.jinja"}[path]
            assert old in file.read_text()
            file.write_text(file.read_text().replace(old, new))
        release(template, tag)

    return publish_version


def test_a_new_version_comes_as_one_pull_request(
    remote: Remote, propose: Propose, released: Callable[..., None], tmp_path: Path
) -> None:
    assert propose()[1] == "no issue: nothing is missing\n"
    released("v1.1.0", docs=("# Branches and pull requests", "# Branches, and pull requests"))
    code, out, err = propose()
    assert code == 0, err
    [request], [issue] = remote.github.requests(), remote.github.issues()
    assert (request["head"]["ref"], request["title"]) == (
        "levels/version",
        "Take version v1.1.0 of the template",
    )
    assert "stands at v1.0.0" in request["body"] and "`make update`" in request["body"]
    assert "## The template has a new version\n\nPull request #" in issue["body"]
    git(tmp_path, "clone", "--quiet", "--branch", "levels/version", str(remote.bare), "moved")
    moved = Project(tmp_path / "moved", remote.checkout.template)
    assert moved.answers()["_commit"] == "v1.1.0" and moved.answers()["level"] == 2
    assert moved.read("docs/branches.md").startswith("# Branches, and pull requests\n")
    # A second run changes nothing, also where yet another version has come: one is open at a time.
    writes, tips = list(remote.github.writes), git(remote.bare, "for-each-ref")
    assert propose()[0] == 0
    released("v1.2.0")
    code, out, _ = propose()
    assert (code, remote.github.writes, git(remote.bare, "for-each-ref")) == (0, writes, tips)
    assert f"pull request #{request['number']} is open" in out


def test_a_no_to_a_version_is_none_to_the_next(
    remote: Remote, propose: Propose, released: Callable[..., None]
) -> None:
    released("v1.1.0")
    assert propose()[0] == 0
    [request] = remote.github.requests()
    request["state"] = "closed"
    assert propose()[0] == 0 and remote.github.requests() == [request]
    assert (
        f"#{request['number']} was closed, which says no; reopen it, or run `make update`"
        in remote.github.issues()[0]["body"]
    )
    released("v1.2.0")
    assert propose()[0] == 0
    assert [one["title"] for one in remote.github.requests() if one["state"] == "open"] == [
        "Take version v1.2.0 of the template"
    ]


def test_a_version_that_conflicts_is_told_in_the_issue(
    remote: Remote, propose: Propose, released: Callable[..., None]
) -> None:
    remote.checkout.replace("docs/branches.md", "# Branches and pull requests\n", "# How we branch\n")
    remote.push()
    released("v1.1.0", docs=("# Branches and pull requests", "# Branches, and pull requests"))
    code, out, _ = propose()
    [issue] = remote.github.issues()
    assert code == 0 and "the update to version v1.1.0 conflicts in docs/branches.md" in out
    assert "`docs/branches.md`: run `make update` yourself" in issue["body"]
    assert remote.github.requests() == [] and remote.branches() == ["main"]


def test_a_level_waits_for_the_version_and_a_version_for_the_level(
    remote: Remote, propose: Propose, released: Callable[..., None]
) -> None:
    remote.checkout.replace("config/evolution.yml", *DUE)
    remote.push()
    released("v1.1.0")
    for _ in range(2):
        assert propose()[0] == 0
        [request] = remote.github.requests()
        assert request["head"]["ref"] == "levels/version"
        assert f"It waits for pull request #{request['number']}" in remote.github.issues()[0]["body"]
    request["state"] = "closed"
    assert propose()[0] == 0
    level = remote.github.requests()[-1]
    assert (level["head"]["ref"], level["state"]) == ("levels/level-3", "open")
    released("v1.2.0")
    assert propose()[0] == 0 and remote.github.requests()[-1] is level, "one at a time"


def test_an_issue_of_a_stranger_is_left_alone(remote: Remote, propose: Propose) -> None:
    fake = remote.github.add(f"{MARKER} click here")
    for _ in range(120):  # and the list has more than one page
        remote.github.add("a bug")
    remote.checkout.replace("config/evolution.yml", *DUE)
    remote.push()
    assert propose()[0] == 0 == propose()[0]
    assert fake["body"].endswith("click here")
    assert sum(MARKER in (one["body"] or "") and one is not fake for one in remote.github.issues()) == 1


def test_a_branch_with_somebodys_commits_is_not_overwritten(remote: Remote, propose: Propose) -> None:
    git(remote.bare, "branch", "levels/level-3", "main")
    remote.checkout.replace("config/evolution.yml", *DUE)
    remote.push()
    tip = git(remote.bare, "rev-parse", "levels/level-3")
    code, out, _ = propose()
    assert code == 0 and "holds commits that aren't ours" in out
    assert git(remote.bare, "rev-parse", "levels/level-3") == tip and remote.github.requests() == []
    # What a run left behind that ended between push and request is its own.
    git(remote.bare, "branch", "-D", "levels/level-3")
    remote.github.rights.discard("pull_requests")
    code, _, err = propose()
    assert (code, err.splitlines()[-1]) == (
        2,
        (
            "levels: GitHub: the token may not read this (403: Resource not accessible by personal access"
            " token) at POST /pulls"
        ),
    )
    remote.github.rights.add("pull_requests")
    assert propose()[0] == 0 and len(remote.github.requests()) == 1


@pytest.mark.parametrize("without", ["a token", "the right token", "workflows", "issues"])
def test_a_right_that_is_missing_is_told_in_one_line(
    remote: Remote, propose: Propose, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    remote.checkout.replace("config/evolution.yml", *DUE)
    remote.push()
    if without == "a token":
        monkeypatch.delenv("GITHUB_TOKEN")
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
    elif without == "the right token":
        monkeypatch.setenv("GITHUB_TOKEN", "another-one")
    elif without == "workflows":
        remote.rights.unlink()
    else:
        remote.github.rights.discard("issues")
    code, _, err = propose()
    last = err.splitlines()[-1]
    assert code == 2 and last.startswith("levels: ") and "Traceback" not in err and TOKEN not in err
    assert {"a token": "no token", "the right token": "401", "workflows": "workflow", "issues": "403"}[
        without
    ] in last
    assert remote.github.issues() == []


def test_looking_first_asks_github_nothing(
    remote: Remote, propose: Propose, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.checkout.replace("config/evolution.yml", *DUE)
    remote.push()
    monkeypatch.delenv("GITHUB_TOKEN")
    code, out, _ = propose("--dry-run")
    assert (
        code == 0 and "a pull request from levels/level-3 would be opened" in out and "Level 3 is due" in out
    )
    assert remote.github.writes == [] and remote.branches() == ["main"]


def test_names_of_others_are_not_called_in_the_issue(remote: Remote, propose: Propose) -> None:
    week = datetime.now(UTC) - timedelta(days=7)
    entry = {
        "kind": "deploy",
        "environment": "production",
        "version": "abc",
        "at": f"{week:%Y-%m-%dT%H:%M:%SZ}",
        "by": "@everybody #1",
    }
    remote.checkout.write("config/deploys.jsonl", json.dumps({**entry, "outcome": "success"}) + "\n")
    remote.checkout.replace("config/evolution.yml", *DUE)
    remote.push()
    assert propose()[0] == 0
    for text in (remote.github.issues()[0]["body"], remote.github.requests()[0]["body"]):
        assert not re.search(
            r"(?<!`)[@]\w|\s#\d", text.replace(f"#{remote.github.requests()[0]['number']} brings", "")
        )


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


def test_the_workflow_s_step_runs_as_it_stands(machine: Machine, tmp_path: Path) -> None:
    """The command of the workflow, on a fresh machine, with the engine from the template's repository."""
    published = publish(machine, tmp_path)
    project = tmp_path / "shop"
    project.mkdir()
    address = f"git+{published.as_uri()}"
    data = "--data project_name=shop --data level=2 --data default_branch=main"
    machine.run(f"uvx --quiet --from '{address}' levels new . --defaults {data}", project)
    machine.commit(project)
    made = Project(project, published)
    made.replace("config/evolution.yml", *DUE)
    finish_the_checklist(made)
    made.commit()
    remote = Remote(tmp_path, made)
    workflow = yaml.safe_load(made.read(".github/workflows/evolution.yml"))
    step = workflow["jobs"]["propose"]["steps"][-1]
    assert list(step["env"]) == ["GITHUB_TOKEN"]
    with serving(remote.github) as api:
        environment = {
            "GITHUB_API_URL": api,
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_ACTIONS": "true",
        }
        first = machine.run(step["run"], remote.checkout.folder, **environment)
        writes = list(remote.github.writes)
        second = machine.run(step["run"], remote.checkout.folder, **environment)
    assert (
        len(remote.github.requests()) == 1 == len(remote.github.issues())
        and "opened from levels/level-3" in first
    )
    assert remote.github.writes == writes and "says so already" in second
